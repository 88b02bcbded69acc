"""Parcel steps as the workers perform them: once, also when they are performed twice."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from activities.shipping import ShippingActivities
from domain.errors import Refusal
from domain.inventory import StockLevel
from domain.money import Money
from domain.orders import OrderStatus
from domain.shipping import FulfillmentStatus
from runtime.resources import Resources
from tests.support.catalog import a_product, stock_of
from tests.support.orders import AnOrder, a_confirmed_order, to_move, to_plan, to_ship, written_about


@pytest.fixture
def activities(resources: Resources) -> ShippingActivities:
    return ShippingActivities(resources.sessions, resources.carrier)


async def twice(resources: Resources, order: AnOrder, perform: Callable[[Any], Awaitable[Any]], request: Any) -> Any:
    first = await perform(request)
    before = await written_about(resources.sessions, order.order_id, order.cart_id)
    assert await perform(request) == first
    assert await written_about(resources.sessions, order.order_id, order.cart_id) == before
    return first


async def test_a_parcel_goes_its_way_one_step_at_a_time(resources: Resources, activities: ShippingActivities) -> None:
    product = await a_product(resources.sessions, price="10.00", stock=5)
    order = await a_confirmed_order(resources.sessions, (product.variant_id, 2))
    plan = to_plan(order)

    planned = await twice(resources, order, activities.plan, plan)
    charge = await twice(resources, order, activities.charge, to_ship(order, plan.fulfillment_id))
    shipped = await twice(resources, order, activities.ship, to_ship(order, plan.fulfillment_id))
    delivered = await twice(resources, order, activities.deliver, to_move(order, plan.fulfillment_id))

    assert (planned.units, charge.amount, charge.is_final) == (2, Money(2499, "USD"), True)
    assert (shipped.status, shipped.order_status) == (FulfillmentStatus.SHIPPED, OrderStatus.SHIPPED)
    assert (delivered.status, delivered.order_status) == (FulfillmentStatus.DELIVERED, OrderStatus.DELIVERED)
    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=3, reserved=0)


async def test_a_parcel_is_unpacked_once(resources: Resources, activities: ShippingActivities) -> None:
    product = await a_product(resources.sessions, stock=5)
    order = await a_confirmed_order(resources.sessions, (product.variant_id, 2))
    plan = to_plan(order)
    await activities.plan(plan)

    state = await twice(resources, order, activities.cancel, to_move(order, plan.fulfillment_id))

    assert (state.status, state.open_units) == (FulfillmentStatus.CANCELLED, 2)


async def test_a_parcel_that_never_was_is_refused(resources: Resources, activities: ShippingActivities) -> None:
    product = await a_product(resources.sessions, stock=5)
    order = await a_confirmed_order(resources.sessions, (product.variant_id, 2))
    never = to_plan(order).fulfillment_id

    for perform in (activities.charge, activities.ship):
        with pytest.raises(Refusal, match="not_found"):
            await perform(to_ship(order, never))
    for move in (activities.deliver, activities.cancel):
        with pytest.raises(Refusal, match="not_found"):
            await move(to_move(order, never))
