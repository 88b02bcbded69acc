"""Parcels: which units they carry, what they capture, and what an order becomes with them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from db import orders, parcels
from domain.errors import Refusal
from domain.inventory import StockLevel
from domain.money import Money
from domain.orders import OrderStatus
from domain.shipping import FulfillmentStatus, ShipmentCharge
from runtime.resources import Resources
from tests.support.catalog import a_product, ledger_of, stock_of
from tests.support.orders import (
    AnOrder,
    a_confirmed_order,
    a_placed_order,
    lines_of,
    timeline_of,
    to_cancel,
    to_move,
    to_plan,
    to_ship,
    written_about,
)

Step = Callable[[Any, Any], Awaitable[Any]]


async def do(resources: Resources, step: Step, request: Any) -> Any:
    async with resources.sessions.begin() as session:
        return await step(session, request)


async def twice(resources: Resources, order: AnOrder, step: Step, request: Any) -> Any:
    """What the step leaves; a second time it answers the same and changes nothing."""
    first = await do(resources, step, request)
    before = await written_about(resources.sessions, order.order_id, order.cart_id)
    assert await do(resources, step, request) == first
    assert await written_about(resources.sessions, order.order_id, order.cart_id) == before
    return first


async def refused(resources: Resources, order: AnOrder, step: Step, request: Any) -> Refusal:
    before = await written_about(resources.sessions, order.order_id, order.cart_id)
    with pytest.raises(Refusal) as refusal:
        await do(resources, step, request)
    assert await written_about(resources.sessions, order.order_id, order.cart_id) == before
    return refusal.value


async def shipped(resources: Resources, order: AnOrder, *items: Any) -> int:
    """Plan and ship a parcel; what it captured."""
    plan = to_plan(order, *items)
    await do(resources, parcels.plan, plan)
    charge: ShipmentCharge = await do(resources, parcels.charge, to_ship(order, plan.fulfillment_id))
    await do(resources, parcels.ship, to_ship(order, plan.fulfillment_id))
    return charge.amount.minor


async def test_one_parcel_for_everything_goes_from_planned_to_delivered_each_step_once(resources: Resources) -> None:
    sessions = resources.sessions
    product = await a_product(sessions, price="10.00", stock=5)
    order = await a_confirmed_order(sessions, (product.variant_id, 2))
    plan = to_plan(order)
    parcel = plan.fulfillment_id

    planned = await twice(resources, order, parcels.plan, plan)
    assert (planned.fulfillment_id, planned.units) == (parcel, 2)

    charge = await twice(resources, order, parcels.charge, to_ship(order, parcel))
    assert charge == ShipmentCharge(amount=Money(2499, "USD"), is_final=True, is_shipped=False)
    assert await stock_of(sessions, product.variant_id) == StockLevel(on_hand=5, reserved=2)

    state = await twice(resources, order, parcels.ship, to_ship(order, parcel))
    assert (state.status, state.order_status, state.open_units) == (FulfillmentStatus.SHIPPED, OrderStatus.SHIPPED, 0)
    assert await stock_of(sessions, product.variant_id) == StockLevel(on_hand=3, reserved=0)
    assert await ledger_of(sessions, product.variant_id) == StockLevel(on_hand=3, reserved=0)
    charge = await do(resources, parcels.charge, to_ship(order, parcel))
    assert charge == ShipmentCharge(amount=Money(2499, "USD"), is_final=True, is_shipped=True)

    state = await twice(resources, order, parcels.deliver, to_move(order, parcel))
    assert (state.status, state.order_status) == (FulfillmentStatus.DELIVERED, OrderStatus.DELIVERED)
    written = await written_about(sessions, order.order_id, order.cart_id)
    assert written.order is not None
    assert written.order[:3] == ("delivered", "captured", "delivered")
    assert written.payment is not None
    assert written.payment[:4] == ("captured", order.reference, 2499, 2499)
    assert await timeline_of(sessions, order.order_id) == [
        "order.placed",
        "order.confirmed",
        "fulfillment.created",
        "fulfillment.shipped",
        "order.shipped",
        "fulfillment.delivered",
        "order.delivered",
    ]


async def test_three_parcels_capture_the_whole_total_between_them(resources: Resources) -> None:
    sessions = resources.sessions
    lamp, desk = await a_product(sessions, price="3.33", stock=9), await a_product(sessions, price="7.77", stock=9)
    order = await a_confirmed_order(sessions, (lamp.variant_id, 3), (desk.variant_id, 2))
    lines = await lines_of(sessions, order)

    first = await shipped(resources, order, (lines[lamp.variant_id], 1))
    assert first == 333 + 499  # the shipping costs go with the first parcel
    written = await written_about(sessions, order.order_id, order.cart_id)
    assert written.order is not None
    assert written.order[:3] == ("confirmed", "authorized", "partially_shipped")
    second = await shipped(resources, order, (lines[lamp.variant_id], 1), (lines[desk.variant_id], 1))
    assert second == 333 + 777
    last = await shipped(resources, order)
    assert last == 333 + 777

    assert first + second + last == order.total.minor
    written = await written_about(sessions, order.order_id, order.cart_id)
    assert written.order is not None
    assert written.order[:3] == ("shipped", "captured", "shipped")
    assert written.payment is not None
    assert written.payment[3] == order.total.minor
    assert await stock_of(sessions, lamp.variant_id) == StockLevel(on_hand=6, reserved=0)
    assert await stock_of(sessions, desk.variant_id) == StockLevel(on_hand=7, reserved=0)


async def test_parcels_that_were_planned_before_any_was_shipped_still_add_up(resources: Resources) -> None:
    product = await a_product(resources.sessions, price="10.00", stock=9)
    order = await a_confirmed_order(resources.sessions, (product.variant_id, 3))
    [line] = (await lines_of(resources.sessions, order)).values()
    plans = [to_plan(order, (line, 1)) for _ in range(3)]
    for plan in plans:
        await do(resources, parcels.plan, plan)

    charges: list[ShipmentCharge] = []
    for plan in reversed(plans):
        charges.append(await do(resources, parcels.charge, to_ship(order, plan.fulfillment_id)))
        await do(resources, parcels.ship, to_ship(order, plan.fulfillment_id))

    assert [(charge.amount.minor, charge.is_final) for charge in charges] == [
        (1499, False),
        (1000, False),
        (1000, True),
    ]


async def test_a_parcel_keeps_its_charge_while_its_capture_is_tried_again(resources: Resources) -> None:
    product = await a_product(resources.sessions, price="10.00", stock=9)
    order = await a_confirmed_order(resources.sessions, (product.variant_id, 2))
    [line] = (await lines_of(resources.sessions, order)).values()
    refused_first, other = to_plan(order, (line, 1)), to_plan(order, (line, 1))
    await do(resources, parcels.plan, refused_first)
    await do(resources, parcels.plan, other)

    first = await do(resources, parcels.charge, to_ship(order, refused_first.fulfillment_id))
    second = await do(resources, parcels.charge, to_ship(order, other.fulfillment_id))
    await do(resources, parcels.ship, to_ship(order, other.fulfillment_id))
    again = await do(resources, parcels.charge, to_ship(order, refused_first.fulfillment_id))
    await do(resources, parcels.ship, to_ship(order, refused_first.fulfillment_id))

    assert again.amount == first.amount
    assert (first.is_final, second.is_final, again.is_final) == (False, False, True)
    assert (first.amount.minor, second.amount.minor) == (1499, 1000)
    written = await written_about(resources.sessions, order.order_id, order.cart_id)
    assert written.payment is not None
    assert (written.payment[0], written.payment[3]) == ("captured", 2499)


async def test_delivering_one_of_two_parcels_delivers_the_order_partially(resources: Resources) -> None:
    product = await a_product(resources.sessions, stock=9)
    order = await a_confirmed_order(resources.sessions, (product.variant_id, 2))
    [line] = (await lines_of(resources.sessions, order)).values()
    plans = [to_plan(order, (line, 1)), to_plan(order)]
    for plan in plans:
        await do(resources, parcels.plan, plan)
        await do(resources, parcels.charge, to_ship(order, plan.fulfillment_id))
        await do(resources, parcels.ship, to_ship(order, plan.fulfillment_id))

    first = await do(resources, parcels.deliver, to_move(order, plans[0].fulfillment_id))
    written = await written_about(resources.sessions, order.order_id, order.cart_id)
    last = await do(resources, parcels.deliver, to_move(order, plans[1].fulfillment_id))

    assert (first.order_status, last.order_status) == (OrderStatus.SHIPPED, OrderStatus.DELIVERED)
    assert written.order is not None
    assert written.order[2] == "partially_delivered"


async def test_units_are_put_into_one_parcel_only(resources: Resources) -> None:
    product = await a_product(resources.sessions, stock=9)
    order = await a_confirmed_order(resources.sessions, (product.variant_id, 3))
    [line] = (await lines_of(resources.sessions, order)).values()
    await do(resources, parcels.plan, to_plan(order, (line, 2)))

    refusal = await refused(resources, order, parcels.plan, to_plan(order, (line, 2)))

    assert refusal.code == "units_not_available"
    assert refusal.facts == {"items": [{"order_item_id": str(line), "available": 1}]}


async def test_parcels_planned_at_the_same_time_share_what_there_is(resources: Resources) -> None:
    product = await a_product(resources.sessions, stock=9)
    order = await a_confirmed_order(resources.sessions, (product.variant_id, 3))
    [line] = (await lines_of(resources.sessions, order)).values()

    tries = [do(resources, parcels.plan, to_plan(order, (line, 1))) for _ in range(10)]
    outcomes = await asyncio.gather(*tries, return_exceptions=True)

    planned = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
    assert len(planned) == 3
    assert {outcome.code for outcome in outcomes if isinstance(outcome, Refusal)} == {"units_not_available"}


async def test_nothing_left_to_pack_is_told(resources: Resources) -> None:
    product = await a_product(resources.sessions, stock=9)
    order = await a_confirmed_order(resources.sessions, (product.variant_id, 1))
    await do(resources, parcels.plan, to_plan(order))

    refusal = await refused(resources, order, parcels.plan, to_plan(order))

    assert (refusal.code, refusal.facts) == ("units_not_available", {"items": []})


async def test_another_orders_line_is_not_packed(resources: Resources) -> None:
    product = await a_product(resources.sessions, stock=9)
    order = await a_confirmed_order(resources.sessions, (product.variant_id, 1))
    other = await a_confirmed_order(resources.sessions, (product.variant_id, 1))
    [line] = (await lines_of(resources.sessions, other)).values()

    assert (await refused(resources, order, parcels.plan, to_plan(order, (line, 1)))).code == "units_not_available"


async def test_an_unpaid_order_is_not_packed(resources: Resources) -> None:
    product = await a_product(resources.sessions, stock=9)
    order = await a_placed_order(resources.sessions, (product.variant_id, 1))

    assert (await refused(resources, order, parcels.plan, to_plan(order))).code == "order_transition_not_allowed"


async def test_another_orders_parcel_does_not_exist_for_this_one(resources: Resources) -> None:
    product = await a_product(resources.sessions, stock=9)
    order = await a_confirmed_order(resources.sessions, (product.variant_id, 1))
    other = await a_confirmed_order(resources.sessions, (product.variant_id, 1))
    plan = to_plan(other)
    await do(resources, parcels.plan, plan)

    asked: list[tuple[Step, Any]] = [
        (parcels.charge, to_ship(order, plan.fulfillment_id)),
        (parcels.ship, to_ship(order, plan.fulfillment_id)),
        (parcels.deliver, to_move(order, plan.fulfillment_id)),
        (parcels.cancel, to_move(order, plan.fulfillment_id)),
        (parcels.ship, to_ship(order, uuid4())),
    ]
    for step, request in asked:
        assert (await refused(resources, order, step, request)).code == "not_found"


async def test_the_units_of_an_unpacked_parcel_wait_for_another_one(resources: Resources) -> None:
    product = await a_product(resources.sessions, price="10.00", stock=9)
    order = await a_confirmed_order(resources.sessions, (product.variant_id, 2))
    plan = to_plan(order)
    await do(resources, parcels.plan, plan)

    state = await twice(resources, order, parcels.cancel, to_move(order, plan.fulfillment_id))

    assert (state.status, state.order_status, state.open_units) == (
        FulfillmentStatus.CANCELLED,
        OrderStatus.CONFIRMED,
        2,
    )
    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=9, reserved=2)
    assert await shipped(resources, order) == 2499


async def test_a_parcel_that_was_refused_its_money_and_unpacked_is_not_counted_as_captured(
    resources: Resources,
) -> None:
    product = await a_product(resources.sessions, price="10.00", stock=9)
    order = await a_confirmed_order(resources.sessions, (product.variant_id, 2))
    plan = to_plan(order)
    await do(resources, parcels.plan, plan)
    await do(resources, parcels.charge, to_ship(order, plan.fulfillment_id))
    await do(resources, parcels.cancel, to_move(order, plan.fulfillment_id))
    [line] = (await lines_of(resources.sessions, order)).values()

    assert await shipped(resources, order, (line, 1)) == 1499
    assert await shipped(resources, order) == 1000


@pytest.mark.parametrize("moved", ["shipped", "delivered", "cancelled"])
async def test_a_parcel_moves_only_where_it_can(resources: Resources, moved: str) -> None:
    product = await a_product(resources.sessions, stock=9)
    order = await a_confirmed_order(resources.sessions, (product.variant_id, 1))
    plan = to_plan(order)
    parcel, move = plan.fulfillment_id, to_move(order, plan.fulfillment_id)
    await do(resources, parcels.plan, plan)
    if moved == "cancelled":
        await do(resources, parcels.cancel, move)
        forbidden: list[tuple[Step, Any]] = [
            (parcels.charge, to_ship(order, parcel)),
            (parcels.ship, to_ship(order, parcel)),
            (parcels.deliver, move),
        ]
    else:
        await do(resources, parcels.ship, to_ship(order, parcel))
        forbidden = [(parcels.cancel, move)]
        if moved == "delivered":
            await do(resources, parcels.deliver, move)

    for step, request in forbidden:
        refusal = await refused(resources, order, step, request)
        assert (refusal.code, refusal.facts["current_status"]) == ("order_transition_not_allowed", moved)
        assert refusal.facts["allowed"] == (["cancelled", "delivered"] if moved == "shipped" else [])


async def test_a_parcel_that_has_not_left_cannot_arrive(resources: Resources) -> None:
    product = await a_product(resources.sessions, stock=9)
    order = await a_confirmed_order(resources.sessions, (product.variant_id, 1))
    plan = to_plan(order)
    await do(resources, parcels.plan, plan)

    refusal = await refused(resources, order, parcels.deliver, to_move(order, plan.fulfillment_id))

    assert refusal.code == "order_transition_not_allowed"
    assert refusal.facts == {"current_status": "pending", "allowed": ["cancelled", "shipped"]}


async def test_cancelling_the_order_cancels_its_packed_parcels(resources: Resources) -> None:
    product = await a_product(resources.sessions, stock=9)
    order = await a_confirmed_order(resources.sessions, (product.variant_id, 2))
    plan = to_plan(order)
    await do(resources, parcels.plan, plan)

    await do(resources, orders.cancel, to_cancel(order))

    written = await written_about(resources.sessions, order.order_id, order.cart_id)
    assert [parcel[1] for parcel in written.parcels] == ["cancelled"]
    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=9, reserved=0)
    refusal = await refused(resources, order, parcels.ship, to_ship(order, plan.fulfillment_id))
    assert refusal.code == "order_transition_not_allowed"


async def test_a_shipped_order_is_not_cancelled(resources: Resources) -> None:
    product = await a_product(resources.sessions, stock=9)
    order = await a_confirmed_order(resources.sessions, (product.variant_id, 1))
    await shipped(resources, order)

    refusal = await refused(resources, order, orders.cancel, to_cancel(order))

    assert (refusal.code, refusal.facts) == (
        "order_transition_not_allowed",
        {"current_status": "shipped", "allowed": ["delivered"]},
    )
    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=8, reserved=0)


async def test_an_order_of_which_one_parcel_has_left_is_not_cancelled(resources: Resources) -> None:
    product = await a_product(resources.sessions, stock=9)
    order = await a_confirmed_order(resources.sessions, (product.variant_id, 2))
    [line] = (await lines_of(resources.sessions, order)).values()
    await shipped(resources, order, (line, 1))

    refusal = await refused(resources, order, orders.cancel, to_cancel(order))

    assert (refusal.code, refusal.facts) == (
        "order_transition_not_allowed",
        {"current_status": "confirmed", "allowed": ["shipped"]},
    )
    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=8, reserved=1)


async def test_shipping_and_cancelling_at_once_ship_or_cancel_but_never_both(resources: Resources) -> None:
    product = await a_product(resources.sessions, stock=100)
    on_hand = 100

    for _ in range(20):
        order = await a_confirmed_order(resources.sessions, (product.variant_id, 1))
        plan = to_plan(order)
        await do(resources, parcels.plan, plan)
        outcomes = await asyncio.gather(
            do(resources, parcels.ship, to_ship(order, plan.fulfillment_id)),
            do(resources, orders.cancel, to_cancel(order)),
            return_exceptions=True,
        )
        is_shipped, is_cancelled = (not isinstance(outcome, Refusal) for outcome in outcomes)
        assert is_shipped is not is_cancelled
        on_hand -= 1 if is_shipped else 0

    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=on_hand, reserved=0)
    assert await ledger_of(resources.sessions, product.variant_id) == StockLevel(on_hand=on_hand, reserved=0)


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("status = 'lost'", "ck_fulfillments_status"),
        ("status = 'shipped', shipped_at = NULL", "shipped_has_time"),
        ("charge = -1", "charge_not_negative"),
        ("undelivered = 'eaten', remedy = 'reship'", "ck_fulfillments_undelivered"),
        ("remedy = 'reship'", "undelivered_has_remedy"),
        ("undelivered = 'lost', remedy = 'refund'", "undelivered_had_left"),
        ("replaces_id = id, charge = 1", "replacement_costs_nothing"),
    ],
)
async def test_the_database_itself_refuses_a_parcel_that_cannot_be(
    resources: Resources, change: str, constraint: str
) -> None:
    product = await a_product(resources.sessions, stock=9)
    order = await a_confirmed_order(resources.sessions, (product.variant_id, 1))
    plan = to_plan(order)
    await do(resources, parcels.plan, plan)

    with pytest.raises(IntegrityError, match=constraint):
        async with resources.sessions.begin() as session:
            await session.execute(
                text(f"UPDATE fulfillments SET {change} WHERE id = :id"),  # noqa: S608 (the test's own text)
                {"id": plan.fulfillment_id},
            )
