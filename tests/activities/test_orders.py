"""Order steps as the workers perform them: once, also when they are performed twice."""

from collections.abc import Awaitable, Callable
from datetime import UTC
from typing import Any

import pytest
from sqlalchemy import text

from activities.orders import OrderActivities
from domain.attention import Concern
from domain.deadlines import Term
from domain.errors import Refusal
from domain.inventory import StockLevel
from domain.orders import AwaitCustomer, OrderAttention, OrderStatus, PlacedOrder, Placement
from domain.payments import Answer, PaymentAuthorization, PaymentStatus
from runtime.resources import Resources
from tests.support.catalog import a_product, stock_of
from tests.support.orders import (
    AnOrder,
    a_cart,
    a_confirmed_order,
    a_placed_order,
    timeline_of,
    to_cancel,
    to_confirm,
    to_place,
    written_about,
)


@pytest.fixture
def activities(resources: Resources) -> OrderActivities:
    return OrderActivities(resources.sessions, provider="stripe", return_term=Term(days=30, zone=UTC))


async def twice(resources: Resources, order: AnOrder, perform: Callable[[Any], Awaitable[Any]], request: Any) -> Any:
    first = await perform(request)
    before = await written_about(resources.sessions, order.order_id, order.cart_id)
    assert await perform(request) == first
    assert await written_about(resources.sessions, order.order_id, order.cart_id) == before
    return first


async def test_an_order_is_placed_with_the_provider_that_the_worker_was_given(
    resources: Resources, activities: OrderActivities
) -> None:
    product = await a_product(resources.sessions, price="10.00", stock=5)
    request = await to_place(resources.sessions, await a_cart(resources.sessions, (product.variant_id, 2)))

    first, second = await activities.place(request), await activities.place(request)

    assert first == second
    assert isinstance(first.order, PlacedOrder)
    assert (first.order.total.minor, first.order.units, first.refused) == (2499, 2, None)
    async with resources.sessions() as session:
        provider = await session.scalar(
            text("SELECT provider FROM payments WHERE order_id = :id"), {"id": request.order_id}
        )
    assert provider == "stripe"


async def test_a_refusal_is_an_answer_and_sets_the_cart_free(resources: Resources, activities: OrderActivities) -> None:
    product = await a_product(resources.sessions, stock=1)
    cart = await a_cart(resources.sessions, (product.variant_id, 2))
    request = await to_place(resources.sessions, cart)

    placement = await activities.place(request)

    assert placement.order is None
    assert placement.refused is not None
    assert placement.refused.code == "out_of_stock"
    assert placement == Placement(refused=placement.refused)
    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=1, reserved=0)
    again = await to_place(resources.sessions, cart)
    assert again.order_id != request.order_id


async def test_a_payer_who_must_act_is_noted_once(resources: Resources, activities: OrderActivities) -> None:
    product = await a_product(resources.sessions)
    order = await a_placed_order(resources.sessions, (product.variant_id, 1))
    must_act = PaymentAuthorization(answer=Answer.REQUIRES_ACTION, reference=order.reference)

    state = await twice(
        resources,
        order,
        activities.await_customer,
        AwaitCustomer(order_id=order.order_id, payment_id=order.payment_id, authorization=must_act),
    )

    assert (state.status, state.payment_status) == (OrderStatus.PENDING, PaymentStatus.REQUIRES_ACTION)


async def test_an_order_is_confirmed_and_cancelled_once(resources: Resources, activities: OrderActivities) -> None:
    product = await a_product(resources.sessions, stock=5)
    order = await a_placed_order(resources.sessions, (product.variant_id, 1))

    confirmed = await twice(resources, order, activities.confirm, to_confirm(order))
    cancelled = await twice(resources, order, activities.cancel, to_cancel(order))

    assert (confirmed.status, cancelled.status) == (OrderStatus.CONFIRMED, OrderStatus.CANCELLED)
    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=5, reserved=0)


async def test_a_confirmation_that_the_shop_refuses_is_raised_for_the_engine(
    resources: Resources, activities: OrderActivities
) -> None:
    product = await a_product(resources.sessions, stock=5)
    order = await a_placed_order(resources.sessions, (product.variant_id, 1))

    with pytest.raises(Refusal, match="amount_mismatch"):
        await activities.confirm(to_confirm(order, amount_minor=1))


async def test_a_call_for_a_person_is_noted_once_and_taken_back_once(
    resources: Resources, activities: OrderActivities
) -> None:
    product = await a_product(resources.sessions, stock=5)
    order = await a_confirmed_order(resources.sessions, (product.variant_id, 1))

    await twice(
        resources,
        order,
        activities.attend,
        OrderAttention(order_id=order.order_id, concern=Concern.CAPTURE_REFUSED, detail="capture refused"),
    )
    await twice(
        resources,
        order,
        activities.attend,
        OrderAttention(order_id=order.order_id, concern=Concern.CAPTURE_REFUSED, detail=None),
    )

    assert await timeline_of(resources.sessions, order.order_id) == [
        "order.placed",
        "order.confirmed",
        "order.needs_attention",
        "order.needs_no_attention",
    ]
