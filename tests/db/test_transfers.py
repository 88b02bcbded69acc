"""Bank transfers in the books: asked for once, counted once, and nothing that only a transfer may have."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from db import audit_log, checkouts, orders
from db.base import new_id
from domain.errors import Refusal
from domain.orders import CancelReason, ConfirmOrder, PlaceOrder
from domain.payments import (
    Answer,
    AwaitTransfer,
    MoneyBack,
    PaymentAuthorization,
    PaymentStatus,
    RemindOfTransfer,
    TransferReceived,
)
from runtime.databases import migrated
from runtime.resources import Resources, opened
from runtime.settings import Settings
from tests.db.test_parcels import do
from tests.support.catalog import a_product
from tests.support.orders import a_cart, a_placed_order, place, timeline_of, to_cancel, to_place, written_about

DUE_AT = datetime(2026, 12, 24, 18, 0, tzinfo=UTC)
EXPECTED = PaymentAuthorization(answer=Answer.EXPECTED, reference=None)


@pytest.fixture(scope="module")
async def resources(settings: Settings) -> AsyncIterator[Resources]:
    """A shop of its own, where nobody else leaves checkouts that never began."""
    schema = f"transfers_{uuid4().hex[:8]}"
    database = settings.database.model_copy(update={"shop_schema": schema})
    await asyncio.to_thread(migrated, database)
    async with opened(settings.model_copy(update={"database": database})) as own:
        yield own


async def an_expected_transfer(resources: Resources) -> PlaceOrder:
    """Of 14.99."""
    product = await a_product(resources.sessions, price="10.00", stock=5)
    cart = await a_cart(resources.sessions, (product.variant_id, 1))
    request = await to_place(resources.sessions, cart, is_manual=True)
    await place(resources.sessions, request)
    await do(resources, orders.await_transfer, to_await(request))
    return request


def to_await(request: PlaceOrder) -> AwaitTransfer:
    return AwaitTransfer(order_id=request.order_id, payment_id=request.payment_id, due_at=DUE_AT)


async def a_note(resources: Resources, request: PlaceOrder) -> UUID:
    async with resources.sessions.begin() as session:
        return await audit_log.note(session, "operator:1", "payment_received", order_id=request.order_id, words="12")


async def letters_about(resources: Resources, request: PlaceOrder) -> list[str]:
    async with resources.sessions() as session:
        rows = await session.scalars(
            text("SELECT occasion FROM letters WHERE about = :id ORDER BY occasion"), {"id": request.order_id}
        )
        return list(rows)


async def payment_of(resources: Resources, request: PlaceOrder) -> tuple[str, int, int]:
    async with resources.sessions() as session:
        row = await session.execute(
            text("SELECT status, authorized, captured FROM payments WHERE order_id = :id"), {"id": request.order_id}
        )
        return tuple(row.one())


async def test_a_customer_is_asked_once_and_reminded_once(resources: Resources) -> None:
    request = await an_expected_transfer(resources)
    before = await written_about(resources.sessions, request.order_id, request.cart_id)

    await do(resources, orders.await_transfer, to_await(request))
    for _ in range(2):
        await do(resources, orders.remind_of_transfer, RemindOfTransfer(order_id=request.order_id))

    assert await written_about(resources.sessions, request.order_id, request.cart_id) == before
    assert await letters_about(resources, request) == ["transfer_awaited", "transfer_reminder"]
    assert await timeline_of(resources.sessions, request.order_id) == ["order.placed", "order.transfer_awaited"]


async def test_a_transfer_that_has_come_confirms_the_order_and_is_captured_once(resources: Resources) -> None:
    request = await an_expected_transfer(resources)
    confirmed = ConfirmOrder(
        order_id=request.order_id,
        payment_id=request.payment_id,
        authorization=PaymentAuthorization(
            answer=Answer.AUTHORIZED, reference=None, amount_minor=1499, is_captured=True
        ),
        actor="operator:1",
        note_id=await a_note(resources, request),
    )

    states = [await do(resources, orders.confirm, confirmed) for _ in range(2)]

    assert {state.payment_status for state in states} == {PaymentStatus.CAPTURED}
    assert await payment_of(resources, request) == ("captured", 1499, 1499)
    assert (await timeline_of(resources.sessions, request.order_id)).count("order.confirmed") == 1


async def test_a_transfer_that_comes_after_the_goods_were_let_go_is_counted_once(resources: Resources) -> None:
    request = await an_expected_transfer(resources)
    let_go = ConfirmOrder(order_id=request.order_id, payment_id=request.payment_id, authorization=EXPECTED)
    await do(resources, orders.confirm, let_go)
    assert await payment_of(resources, request) == ("pending", 0, 0)
    note_id = await a_note(resources, request)

    for _ in range(2):
        word = TransferReceived(order_id=request.order_id, actor="operator:1", note_id=note_id)
        state = await do(resources, orders.receive_transfer, word)
        assert state.payment_status is PaymentStatus.CAPTURED

    assert await payment_of(resources, request) == ("captured", 1499, 1499)
    assert (await timeline_of(resources.sessions, request.order_id)).count("order.transfer_received") == 1


async def test_a_transfer_for_an_order_that_is_not_confirmed_is_not_counted(resources: Resources) -> None:
    request = await an_expected_transfer(resources)
    await do(resources, orders.cancel, to_cancel_expired(request))
    before = await written_about(resources.sessions, request.order_id, request.cart_id)

    word = TransferReceived(order_id=request.order_id, actor="operator:1", note_id=new_id())
    with pytest.raises(Refusal) as refused:
        await do(resources, orders.receive_transfer, word)

    assert refused.value.code == "order_transition_not_allowed"
    assert await written_about(resources.sessions, request.order_id, request.cart_id) == before
    assert await letters_about(resources, request) == ["transfer_awaited", "transfer_expired"]


def to_cancel_expired(request: PlaceOrder) -> object:
    expired = PaymentAuthorization(answer=Answer.DECLINED, reference=None, decline_code="expired")
    facts = {"reason": CancelReason.PAYMENT_EXPIRED, "money": MoneyBack.NOTHING_TAKEN, "declined": expired}
    return to_cancel(request, **facts)  # type: ignore[arg-type]


async def test_a_card_that_came_to_nothing_is_not_mailed_about_a_transfer(resources: Resources) -> None:
    product = await a_product(resources.sessions, stock=5)
    order = await a_placed_order(resources.sessions, (product.variant_id, 1))

    await do(resources, orders.cancel, to_cancel(order, reason=CancelReason.PAYMENT_EXPIRED))

    async with resources.sessions() as session:
        assert await session.scalar(text("SELECT count(*) FROM letters WHERE about = :id"), {"id": order.order_id}) == 0


async def test_an_order_that_waits_for_its_transfer_is_not_taken_for_one_that_never_began(resources: Resources) -> None:
    product = await a_product(resources.sessions, stock=5)
    request = await to_place(
        resources.sessions, await a_cart(resources.sessions, (product.variant_id, 1)), is_manual=True
    )
    await place(resources.sessions, request)
    assert request.order_id in await unstarted(resources)

    await do(resources, orders.await_transfer, to_await(request))

    assert request.order_id not in await unstarted(resources)


async def unstarted(resources: Resources) -> set[UUID]:
    async with resources.sessions() as session:
        found = await checkouts.unstarted(session, older_than=0, hold_seconds=2100)
    return {checkout.intake.order_id for checkout in found}


async def test_the_database_itself_refuses_to_wait_for_money_that_a_card_pays(resources: Resources) -> None:
    product = await a_product(resources.sessions, stock=5)
    order = await a_placed_order(resources.sessions, (product.variant_id, 1))

    for change in ("due_at = now()", f"received_note_id = '{uuid4()}'"):
        with pytest.raises(IntegrityError, match="only_transfers_are_awaited"):
            async with resources.sessions.begin() as session:
                await session.execute(
                    text(f"UPDATE payments SET {change} WHERE order_id = :id"),  # noqa: S608 (the test's own text)
                    {"id": order.order_id},
                )
