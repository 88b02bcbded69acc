"""Units that are given up before they are sent."""

import asyncio
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from db import cancellations, parcels
from db.base import new_id
from db.cancellations import CancellationWish
from domain.errors import Refusal
from domain.inventory import StockLevel
from domain.orders import OrderStatus
from domain.shipping import CancelUnits, ShipmentCharge, Units, UnitsCancelled
from runtime.resources import Resources
from tests.db.test_parcels import do, refused, shipped
from tests.support.catalog import AProduct, a_product, ledger_of, stock_of
from tests.support.orders import (
    AnOrder,
    a_confirmed_order,
    a_placed_order,
    lines_of,
    timeline_of,
    to_move,
    to_plan,
    to_ship,
    written_about,
)


@pytest.fixture
async def product(resources: Resources) -> AProduct:
    return await a_product(resources.sessions, price="10.00", stock=9)


async def to_cancel(resources: Resources, order: AnOrder, *items: tuple[UUID, int]) -> CancelUnits:
    """The request of a wish that is written down."""
    wish = CancellationWish(cancellation_id=new_id(), order_id=order.order_id, reason="too many", actor="customer:1")
    async with resources.sessions.begin() as session:
        made = await cancellations.take_in(session, wish)
    return CancelUnits(
        cancellation_id=made.id,
        order_id=order.order_id,
        actor="customer:1",
        items=[Units(order_line_id=line, quantity=quantity) for line, quantity in items],
    )


async def cancelled(resources: Resources, order: AnOrder, *items: tuple[UUID, int]) -> UnitsCancelled:
    """What the step leaves; a second time it answers the same and changes nothing."""
    request = await to_cancel(resources, order, *items)
    first: UnitsCancelled = await do(resources, cancellations.cancel_units, request)
    before = await written_about(resources.sessions, order.order_id, order.cart_id)
    assert await do(resources, cancellations.cancel_units, request) == first
    assert await written_about(resources.sessions, order.order_id, order.cart_id) == before
    return first


async def line_of(resources: Resources, order: AnOrder) -> UUID:
    [line] = (await lines_of(resources.sessions, order)).values()
    return line


async def cancelled_units(resources: Resources, order: AnOrder) -> int:
    async with resources.sessions() as session:
        units = await session.execute(
            text(
                """
                SELECT (SELECT sum(cancelled) FROM order_lines WHERE order_id = :id),
                       (SELECT coalesce(sum(quantity), 0) FROM cancellation_items
                        JOIN cancellations ON cancellations.id = cancellation_id WHERE order_id = :id)
                """
            ),
            {"id": order.order_id},
        )
        on_lines, by_wish = units.one()
    assert on_lines == by_wish
    return int(on_lines)


async def test_units_are_given_up_and_less_is_captured(resources: Resources, product: AProduct) -> None:
    order = await a_confirmed_order(resources.sessions, (product.variant_id, 3))
    line = await line_of(resources, order)

    state = await cancelled(resources, order, (line, 1))

    assert (state.is_everything, state.order_status, state.open_units, state.is_complete) == (
        False,
        OrderStatus.CONFIRMED,
        2,
        False,
    )
    assert await cancelled_units(resources, order) == 1
    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=9, reserved=2)
    assert await ledger_of(resources.sessions, product.variant_id) == StockLevel(on_hand=9, reserved=2)
    assert await shipped(resources, order) == 2499
    written = await written_about(resources.sessions, order.order_id, order.cart_id)
    assert written.order is not None
    assert written.payment is not None
    assert written.order[:4] == ("shipped", "captured", "shipped", 3499)
    assert (written.payment[0], written.payment[2], written.payment[3]) == ("captured", 3499, 2499)
    assert "order.units_cancelled" in await timeline_of(resources.sessions, order.order_id)


async def test_with_the_last_open_units_the_order_has_shipped(resources: Resources, product: AProduct) -> None:
    order = await a_confirmed_order(resources.sessions, (product.variant_id, 3))
    line = await line_of(resources, order)
    assert await shipped(resources, order, (line, 1)) == 1499

    state = await cancelled(resources, order, (line, 2))

    assert (state.order_status, state.open_units, state.is_complete) == (OrderStatus.SHIPPED, 0, True)
    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=8, reserved=0)


async def test_with_the_last_open_units_an_order_that_arrived_is_delivered(
    resources: Resources, product: AProduct
) -> None:
    order = await a_confirmed_order(resources.sessions, (product.variant_id, 2))
    line = await line_of(resources, order)
    plan = to_plan(order, (line, 1))
    await do(resources, parcels.plan, plan)
    await do(resources, parcels.charge, to_ship(order, plan.fulfillment_id))
    await do(resources, parcels.ship, to_ship(order, plan.fulfillment_id))
    await do(resources, parcels.deliver, to_move(order, plan.fulfillment_id))

    state = await cancelled(resources, order, (line, 1))

    assert (state.order_status, state.is_complete) == (OrderStatus.DELIVERED, True)
    assert (await timeline_of(resources.sessions, order.order_id))[-1] == "order.delivered"


async def test_all_units_of_an_order_that_has_not_left_are_the_order_itself(
    resources: Resources, product: AProduct
) -> None:
    order = await a_confirmed_order(resources.sessions, (product.variant_id, 2))
    line = await line_of(resources, order)
    await do(resources, parcels.plan, to_plan(order, (line, 1)))
    before = await written_about(resources.sessions, order.order_id, order.cart_id)

    state = await cancelled(resources, order, (line, 2))

    assert state.is_everything
    assert await written_about(resources.sessions, order.order_id, order.cart_id) == before


async def test_parcels_are_unpacked_only_as_far_as_it_takes(resources: Resources, product: AProduct) -> None:
    order = await a_confirmed_order(resources.sessions, (product.variant_id, 5))
    line = await line_of(resources, order)
    first, second = to_plan(order, (line, 2)), to_plan(order, (line, 2))
    for plan in (first, second):
        await do(resources, parcels.plan, plan)

    assert (await cancelled(resources, order, (line, 1))).open_units == 0
    assert await statuses(resources, order) == {first.fulfillment_id: "pending", second.fulfillment_id: "pending"}
    assert (await cancelled(resources, order, (line, 1))).open_units == 1
    assert await statuses(resources, order) == {first.fulfillment_id: "pending", second.fulfillment_id: "cancelled"}
    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=9, reserved=3)


async def statuses(resources: Resources, order: AnOrder) -> dict[UUID, str]:
    written = await written_about(resources.sessions, order.order_id, order.cart_id)
    return {parcel[0]: parcel[1] for parcel in written.parcels}


async def test_a_parcel_whose_capture_was_refused_is_charged_anew_when_it_has_become_the_last(
    resources: Resources, product: AProduct
) -> None:
    order = await a_confirmed_order(resources.sessions, (product.variant_id, 3))
    line = await line_of(resources, order)
    plan = to_plan(order, (line, 1))
    await do(resources, parcels.plan, plan)
    refused_charge: ShipmentCharge = await do(resources, parcels.charge, to_ship(order, plan.fulfillment_id))
    assert not refused_charge.is_final

    await cancelled(resources, order, (line, 2))

    charge: ShipmentCharge = await do(resources, parcels.charge, to_ship(order, plan.fulfillment_id))
    assert (charge.amount.minor, charge.is_final) == (1499, True)


@pytest.mark.parametrize("units", [3, 99])
async def test_units_that_have_left_are_not_cancelled(resources: Resources, product: AProduct, units: int) -> None:
    order = await a_confirmed_order(resources.sessions, (product.variant_id, 3))
    line = await line_of(resources, order)
    await shipped(resources, order, (line, 1))

    refusal = await refused(
        resources, order, cancellations.cancel_units, await to_cancel(resources, order, (line, units))
    )

    assert (refusal.code, refusal.facts) == (
        "units_not_cancellable",
        {"items": [{"order_item_id": str(line), "cancellable": 2}]},
    )
    assert await cancelled_units(resources, order) == 0


async def test_another_orders_units_are_not_cancelled(resources: Resources, product: AProduct) -> None:
    order, other = [await a_confirmed_order(resources.sessions, (product.variant_id, 2)) for _ in range(2)]
    theirs = await line_of(resources, other)

    refusal = await refused(
        resources, order, cancellations.cancel_units, await to_cancel(resources, order, (theirs, 1))
    )

    assert refusal.facts == {"items": [{"order_item_id": str(theirs), "cancellable": 0}]}


async def test_an_order_that_is_not_paid_or_has_left_is_refused(resources: Resources, product: AProduct) -> None:
    unpaid = await a_placed_order(resources.sessions, (product.variant_id, 2))
    sent = await a_confirmed_order(resources.sessions, (product.variant_id, 2))
    await shipped(resources, sent)

    for order, status, allowed in ((unpaid, "pending", ["confirmed"]), (sent, "shipped", ["delivered"])):
        request = await to_cancel(resources, order, (await line_of(resources, order), 1))
        refusal = await refused(resources, order, cancellations.cancel_units, request)
        assert refusal.code == "order_not_cancellable"
        assert refusal.facts == {"current_status": status, "allowed": allowed}


async def test_a_wish_that_is_written_down_again_is_the_same_one(resources: Resources, product: AProduct) -> None:
    order = await a_confirmed_order(resources.sessions, (product.variant_id, 3))
    wish = CancellationWish(cancellation_id=new_id(), order_id=order.order_id, reason="too many", actor="customer:1")

    async def taken_in() -> UUID:
        async with resources.sessions.begin() as session:
            return (await cancellations.take_in(session, wish)).id

    assert set(await asyncio.gather(*(taken_in() for _ in range(10)))) == {wish.cancellation_id}
    async with resources.sessions() as session:
        written = await session.scalar(
            text("SELECT count(*) FROM cancellations WHERE order_id = :id"), {"id": order.order_id}
        )
    assert written == 1


async def test_units_are_shipped_or_cancelled_but_never_both(resources: Resources) -> None:
    product = await a_product(resources.sessions, stock=100)
    on_hand = 100
    for _ in range(20):
        order = await a_confirmed_order(resources.sessions, (product.variant_id, 2))
        line = await line_of(resources, order)
        plan, request = to_plan(order), await to_cancel(resources, order, (line, 1))
        await do(resources, parcels.plan, plan)
        outcomes = await asyncio.gather(
            do(resources, parcels.ship, to_ship(order, plan.fulfillment_id)),
            do(resources, cancellations.cancel_units, request),
            return_exceptions=True,
        )
        is_shipped, is_cancelled = (not isinstance(outcome, Refusal) for outcome in outcomes)
        assert is_shipped is not is_cancelled
        on_hand -= 2 if is_shipped else 0
        if is_cancelled:
            await shipped(resources, order)
            on_hand -= 1

    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=on_hand, reserved=0)
    assert await ledger_of(resources.sessions, product.variant_id) == StockLevel(on_hand=on_hand, reserved=0)


@pytest.mark.parametrize("cancelled", [-1, 4])
async def test_the_database_itself_refuses_to_cancel_more_than_was_ordered(
    resources: Resources, product: AProduct, cancelled: int
) -> None:
    order = await a_confirmed_order(resources.sessions, (product.variant_id, 3))

    with pytest.raises(IntegrityError, match="cancelled_within_ordered"):
        async with resources.sessions.begin() as session:
            await session.execute(
                text("UPDATE order_lines SET cancelled = :units WHERE order_id = :id"),
                {"units": cancelled, "id": order.order_id},
            )
