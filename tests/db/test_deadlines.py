"""What an order waits for, since when, and until when."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from db import cancellations, deadlines, order_holds, orders, parcels, undelivered
from domain.deadlines import PATIENCE, Wait, Waiting
from domain.orders import AwaitCustomer
from domain.payments import Answer, PaymentAuthorization
from domain.shipping import HoldOrder, ReleaseOrder, Remedy
from runtime.resources import Resources
from tests.db.test_cancellations import to_cancel as to_cancel_units
from tests.db.test_parcels import do
from tests.db.test_undelivered import sent, to_give_up
from tests.support.catalog import AProduct, a_product
from tests.support.orders import (
    AnOrder,
    a_confirmed_order,
    a_placed_order,
    lines_of,
    to_cancel,
    to_move,
    to_plan,
    to_ship,
)

Waits = list[tuple[Waiting, int, UUID | None]]


@pytest.fixture
async def product(resources: Resources) -> AProduct:
    return await a_product(resources.sessions, price="10.00", stock=9)


@pytest.fixture
async def order(resources: Resources, product: AProduct) -> AnOrder:
    return await a_confirmed_order(resources.sessions, (product.variant_id, 3))


async def waits(resources: Resources, order: AnOrder) -> list[Wait]:
    async with resources.sessions() as session:
        return await deadlines.waits(session, order.order_id)


async def waiting(resources: Resources, order: AnOrder) -> Waits:
    return [(wait.what, wait.units, wait.fulfillment_id) for wait in await waits(resources, order)]


async def line_of(resources: Resources, order: AnOrder) -> UUID:
    [line] = (await lines_of(resources.sessions, order)).values()
    return line


async def test_an_order_waits_for_one_thing_after_the_other_and_in_the_end_for_nothing(
    resources: Resources, order: AnOrder
) -> None:
    assert await waiting(resources, order) == [(Waiting.TO_BE_PACKED, 3, None), (Waiting.TO_BE_CAPTURED, 3, None)]
    plan = to_plan(order)
    parcel = plan.fulfillment_id
    await do(resources, parcels.plan, plan)
    assert await waiting(resources, order) == [(Waiting.TO_BE_SHIPPED, 3, parcel), (Waiting.TO_BE_CAPTURED, 3, None)]
    await do(resources, parcels.ship, to_ship(order, parcel))
    assert await waiting(resources, order) == [(Waiting.TO_BE_DELIVERED, 3, parcel)]
    await do(resources, parcels.deliver, to_move(order, parcel))
    assert await waiting(resources, order) == []


async def test_each_parcel_and_what_is_in_none_wait_on_their_own_what_is_due_first_on_top(
    resources: Resources, order: AnOrder
) -> None:
    line = await line_of(resources, order)
    left = await sent(resources, order, (line, 1))
    packed = to_plan(order, (line, 1))
    await do(resources, parcels.plan, packed)

    found = await waits(resources, order)

    assert [(wait.what, wait.units, wait.fulfillment_id) for wait in found] == [
        (Waiting.TO_BE_PACKED, 1, None),
        (Waiting.TO_BE_SHIPPED, 1, packed.fulfillment_id),
        (Waiting.TO_BE_DELIVERED, 1, left),
        (Waiting.TO_BE_CAPTURED, 2, None),
    ]
    assert [wait.deadline - wait.since for wait in found] == [
        timedelta(hours=24),
        timedelta(hours=24),
        timedelta(days=5),
        timedelta(days=6),
    ]


async def test_units_that_were_unpacked_begin_to_wait_anew(resources: Resources, order: AnOrder) -> None:
    [before, _] = await waits(resources, order)
    plan = to_plan(order)
    await do(resources, parcels.plan, plan)
    await do(resources, parcels.cancel, to_move(order, plan.fulfillment_id))

    [after, _] = await waits(resources, order)

    assert (after.what, after.units) == (Waiting.TO_BE_PACKED, 3)
    assert after.since > before.since


async def test_a_parcel_that_replaces_a_lost_one_has_to_be_shipped(resources: Resources, order: AnOrder) -> None:
    request = to_give_up(order, await sent(resources, order), Remedy.RESHIP)
    await do(resources, undelivered.give_up, request)

    assert await waiting(resources, order) == [(Waiting.TO_BE_SHIPPED, 3, request.replacement_id)]


async def test_nobody_waits_for_units_that_were_refunded_or_cancelled(resources: Resources, order: AnOrder) -> None:
    line = await line_of(resources, order)
    await do(resources, cancellations.cancel_units, await to_cancel_units(resources, order, (line, 1)))
    assert await waiting(resources, order) == [(Waiting.TO_BE_PACKED, 2, None), (Waiting.TO_BE_CAPTURED, 2, None)]
    lost, other = await sent(resources, order, (line, 1)), await sent(resources, order, (line, 1))
    await do(resources, undelivered.give_up, to_give_up(order, lost, Remedy.REFUND))

    assert await waiting(resources, order) == [(Waiting.TO_BE_DELIVERED, 1, other)]


async def test_a_cancelled_order_waits_for_nothing(resources: Resources, order: AnOrder) -> None:
    await do(resources, parcels.plan, to_plan(order, (await line_of(resources, order), 1)))
    await do(resources, orders.cancel, to_cancel(order))

    assert await waiting(resources, order) == []


async def test_a_customer_at_the_bank_has_half_an_hour(resources: Resources, product: AProduct) -> None:
    order = await a_placed_order(resources.sessions, (product.variant_id, 2))
    assert await waiting(resources, order) == []
    asked = PaymentAuthorization(
        answer=Answer.REQUIRES_ACTION, reference=f"pi_{uuid4().hex}", redirect_url="https://bank.example/3ds"
    )
    request = AwaitCustomer(order_id=order.order_id, payment_id=order.payment_id, authorization=asked)
    await do(resources, orders.await_customer, request)

    [wait] = await waits(resources, order)

    assert (wait.what, wait.units) == (Waiting.TO_BE_APPROVED, 2)
    assert wait.deadline - wait.since == PATIENCE[Waiting.TO_BE_APPROVED] == timedelta(minutes=30)


@pytest.mark.parametrize("what", Waiting)
def test_every_wait_says_what_waits_and_since_when(what: Waiting) -> None:
    parcel = uuid4()
    wait = Wait(what=what, since=datetime(2026, 11, 25, 9, 5, tzinfo=UTC), units=3, fulfillment_id=parcel)

    assert "since 25 Nov 09:05 UTC" in wait.words
    told = {
        Waiting.TO_BE_APPROVED: "payment",
        Waiting.TO_BE_PACKED: "3 units",
        Waiting.TO_BE_CAPTURED: "until 02 Dec 09:05 UTC",
    }
    assert told.get(what, str(parcel)) in wait.words


async def test_of_a_held_order_nobody_has_to_pack_or_ship_anything_and_afterwards_they_have_the_whole_time(
    resources: Resources, order: AnOrder
) -> None:
    line = await line_of(resources, order)
    packed = to_plan(order, (line, 1))
    await do(resources, parcels.plan, packed)
    before = {wait.what: wait.since for wait in await waits(resources, order)}

    await do(resources, order_holds.hold, HoldOrder(order_id=order.order_id, actor="operator:1", note_id=uuid4()))
    await do(resources, order_holds.hold, HoldOrder(order_id=order.order_id, actor="operator:1", note_id=uuid4()))

    assert await waiting(resources, order) == [(Waiting.TO_BE_CAPTURED, 3, None)]
    for _ in range(2):
        await do(resources, order_holds.release, ReleaseOrder(order_id=order.order_id, actor="operator:1"))
    after = {wait.what: wait.since for wait in await waits(resources, order)}
    assert after[Waiting.TO_BE_CAPTURED] == before[Waiting.TO_BE_CAPTURED]
    assert after[Waiting.TO_BE_PACKED] > before[Waiting.TO_BE_PACKED]
    assert after[Waiting.TO_BE_SHIPPED] > before[Waiting.TO_BE_SHIPPED]
    async with resources.sessions() as session:
        told = await session.scalars(
            text("SELECT type FROM order_events WHERE order_id = :id AND type IN ('order.held', 'order.released')"),
            {"id": order.order_id},
        )
        assert list(told) == ["order.held", "order.released"]
