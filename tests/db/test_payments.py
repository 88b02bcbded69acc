"""What the shop notes about payments and about what providers tell it."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from db import late_money, orders, payments
from db.payments import KnownPayment
from domain.money import Money
from domain.orders import AwaitCustomer, AwaitProvider
from domain.payments import (
    Answer,
    Listener,
    MoneyBack,
    NoteLateMoney,
    Notice,
    PaymentAuthorization,
    PaymentStatus,
    ProviderEvent,
)
from runtime.resources import Resources
from tests.support.catalog import a_product
from tests.support.orders import AnOrder, a_confirmed_order, a_placed_order, timeline_of, to_cancel


def an_event(payment_id: UUID | None, **otherwise: Any) -> ProviderEvent:
    facts: dict[str, Any] = {
        "event_id": f"evt_{uuid4().hex}",
        "type": "payment_intent.succeeded",
        "payment_id": payment_id,
        "reference": "pi_1",
    }
    return ProviderEvent(**{**facts, **otherwise})


async def receive(resources: Resources, event: ProviderEvent) -> Notice | None:
    async with resources.sessions.begin() as session:
        return await payments.receive(session, "stripe", event)


async def in_the_inbox(resources: Resources, event: ProviderEvent) -> list[tuple[str, bool]]:
    """Type and handled-or-not of the rows with this event's id."""
    async with resources.sessions() as session:
        rows = await session.execute(
            text("SELECT type, handled_at IS NOT NULL FROM webhook_events WHERE event_id = :id"),
            {"id": event.event_id},
        )
        return [tuple(row) for row in rows]


async def test_only_handled_events_of_long_ago_are_forgotten(resources: Resources) -> None:
    old, recent, unheard = an_event(None), an_event(None), an_event(None)
    async with resources.sessions.begin() as session:
        for event in (old, recent, unheard):
            await payments.receive(session, "stripe", event)
        await session.execute(
            text(
                "UPDATE webhook_events SET received_at = now() - interval '900 days', "
                "handled_at = CASE WHEN event_id = :unheard THEN NULL ELSE handled_at END, "
                "listener = CASE WHEN event_id = :unheard THEN 'stray' END WHERE event_id IN (:old, :unheard)"
            ),
            {"old": old.event_id, "unheard": unheard.event_id},
        )
        forgotten = await payments.forget_events(session, kept=timedelta(days=899), most=1)
        again = await payments.forget_events(session, kept=timedelta(days=899), most=1)
        await payments.handled(session, "stripe", unheard.event_id)

    assert (forgotten, again) == (1, 0)
    assert await in_the_inbox(resources, old) == []
    assert await in_the_inbox(resources, recent) == [(recent.type, True)]
    assert await in_the_inbox(resources, unheard) == [(unheard.type, True)]


async def an_order_at_the_bank(resources: Resources) -> AnOrder:
    product = await a_product(resources.sessions)
    order = await a_placed_order(resources.sessions, (product.variant_id, 1))
    must_act = PaymentAuthorization(answer=Answer.REQUIRES_ACTION, reference=order.reference)
    async with resources.sessions.begin() as session:
        await orders.await_customer(
            session, AwaitCustomer(order_id=order.order_id, payment_id=order.payment_id, authorization=must_act)
        )
    return order


async def test_an_event_about_a_payment_at_the_bank_is_to_be_told_until_it_was(resources: Resources) -> None:
    order = await an_order_at_the_bank(resources)
    event = an_event(order.payment_id)

    assert await receive(resources, event)
    assert await in_the_inbox(resources, event) == [(event.type, False)]
    assert await receive(resources, event)  # the first one may have died before it told anybody
    async with resources.sessions.begin() as session:
        await payments.handled(session, "stripe", event.event_id)

    assert not await receive(resources, event)
    assert await in_the_inbox(resources, event) == [(event.type, True)]


async def test_an_event_about_a_payment_that_nobody_waits_for_is_noted_and_done(resources: Resources) -> None:
    product = await a_product(resources.sessions)
    order = await a_confirmed_order(resources.sessions, (product.variant_id, 1))
    event = an_event(order.payment_id)

    assert not await receive(resources, event)
    assert await in_the_inbox(resources, event) == [(event.type, True)]


@pytest.mark.parametrize("payment_id", [None, uuid4()])
async def test_an_event_about_somebody_elses_payment_is_noted_and_done(
    resources: Resources, payment_id: UUID | None
) -> None:
    event = an_event(payment_id, reference=None)

    assert not await receive(resources, event)
    assert await in_the_inbox(resources, event) == [(event.type, True)]


async def test_an_event_that_comes_twenty_times_at_once_is_stored_once(resources: Resources) -> None:
    order = await an_order_at_the_bank(resources)
    event = an_event(order.payment_id)

    await asyncio.gather(*(receive(resources, event) for _ in range(20)))

    assert await in_the_inbox(resources, event) == [(event.type, False)]


async def test_events_of_two_providers_may_have_the_same_id(resources: Resources) -> None:
    event = an_event(None)
    await receive(resources, event)
    async with resources.sessions.begin() as session:
        await payments.receive(session, "another", event)

    assert len(await in_the_inbox(resources, event)) == 2


async def test_the_inbox_keeps_ids_only(resources: Resources) -> None:
    order = await an_order_at_the_bank(resources)
    event = an_event(order.payment_id, reference=order.reference)
    await receive(resources, event)

    async with resources.sessions() as session:
        stored = await session.scalar(
            text("SELECT payload FROM webhook_events WHERE event_id = :id"), {"id": event.event_id}
        )
    assert stored == {
        "payment_id": str(order.payment_id),
        "order_id": str(order.order_id),
        "reference": order.reference,
    }


async def test_the_providers_own_id_is_known_as_soon_as_it_was_noted(resources: Resources) -> None:
    product = await a_product(resources.sessions)
    order = await a_placed_order(resources.sessions, (product.variant_id, 1))

    async with resources.sessions.begin() as session:
        assert await payments.known(session, order.payment_id) == KnownPayment("stripe", None)
        await payments.requires_action(session, order.payment_id, "pi_noted", redirect_url=None)
        assert await payments.known(session, order.payment_id) == KnownPayment("stripe", "pi_noted")
        assert await payments.known(session, uuid4()) is None
        await session.rollback()


async def test_captures_of_several_parcels_add_up_to_a_captured_payment(resources: Resources) -> None:
    product = await a_product(resources.sessions, price="10.00")
    order = await a_confirmed_order(resources.sessions, (product.variant_id, 1))

    async with resources.sessions.begin() as session:
        assert await payments.captured(session, order.order_id, 1000, is_final=False) is PaymentStatus.AUTHORIZED
    async with resources.sessions.begin() as session:
        assert await payments.captured(session, order.order_id, 499, is_final=True) is PaymentStatus.CAPTURED


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("captured = authorized + 1", "captured_within_authorized"),
        ("captured = -1", "captured_within_authorized"),
        ("refunded = captured + 1", "refunded_within_captured"),
        ("amount = -1", "amounts_not_negative"),
        ("status = 'stolen'", "ck_payments_status"),
    ],
)
async def test_the_database_itself_refuses_money_that_cannot_be(
    resources: Resources, change: str, constraint: str
) -> None:
    product = await a_product(resources.sessions)
    order = await a_confirmed_order(resources.sessions, (product.variant_id, 1))

    with pytest.raises(IntegrityError, match=constraint):
        async with resources.sessions.begin() as session:
            await session.execute(
                text(f"UPDATE payments SET {change} WHERE id = :id"),  # noqa: S608 (the test's own text)
                {"id": order.payment_id},
            )


async def test_one_of_the_providers_payments_pays_one_order(resources: Resources) -> None:
    product = await a_product(resources.sessions)
    order = await a_confirmed_order(resources.sessions, (product.variant_id, 1))
    other = await a_placed_order(resources.sessions, (product.variant_id, 1))

    with pytest.raises(IntegrityError, match="provider_reference"):
        async with resources.sessions.begin() as session:
            await payments.requires_action(session, other.payment_id, order.reference, redirect_url=None)


async def a_cancelled_order(resources: Resources, **otherwise: Any) -> AnOrder:
    product = await a_product(resources.sessions)
    order = await a_confirmed_order(resources.sessions, (product.variant_id, 1))
    async with resources.sessions.begin() as session:
        await orders.cancel(session, to_cancel(order, **otherwise))
    return order


def money_came(order: AnOrder, reference: str | None = None, **otherwise: Any) -> ProviderEvent:
    return an_event(order.payment_id, reference=reference or order.reference, brings_money=True, **otherwise)


async def listener_of(resources: Resources, event: ProviderEvent) -> Listener | None:
    notice = await receive(resources, event)
    return notice.listener if notice else None


async def test_whoever_has_to_hear_of_an_event_is_decided_by_where_its_order_stands(resources: Resources) -> None:
    product = await a_product(resources.sessions)
    at_the_bank = await an_order_at_the_bank(resources)
    pending = await a_placed_order(resources.sessions, (product.variant_id, 1))
    unknown = await a_placed_order(resources.sessions, (product.variant_id, 1))
    async with resources.sessions.begin() as session:
        await orders.await_provider(session, AwaitProvider(order_id=unknown.order_id, hold_seconds=60))
    confirmed = await a_confirmed_order(resources.sessions, (product.variant_id, 1))
    cancelled = await a_cancelled_order(resources)
    refunded = await a_cancelled_order(resources, money=MoneyBack.REFUNDED)

    assert await listener_of(resources, money_came(at_the_bank)) is Listener.PAYMENT
    assert await listener_of(resources, money_came(pending)) is None
    assert await listener_of(resources, money_came(unknown)) is Listener.ORDER
    assert await listener_of(resources, money_came(confirmed)) is None
    assert await listener_of(resources, money_came(confirmed, f"pi_{uuid4().hex}")) is Listener.STRAY
    assert await listener_of(resources, money_came(cancelled)) is Listener.STRAY
    assert await listener_of(resources, an_event(cancelled.payment_id, reference=cancelled.reference)) is None
    assert await listener_of(resources, money_came(refunded)) is None
    assert await listener_of(resources, money_came(refunded, f"pi_{uuid4().hex}")) is Listener.STRAY


@pytest.mark.parametrize(("is_ours", "listener"), [(True, Listener.STRAY), (False, None)])
async def test_money_for_an_order_that_is_in_no_book_is_looked_into_when_this_shop_asked_for_it(
    resources: Resources, *, is_ours: bool, listener: Listener | None
) -> None:
    event = an_event(uuid4(), reference=f"pi_{uuid4().hex}", brings_money=True, is_ours=is_ours)

    assert await listener_of(resources, event) is listener


async def test_events_that_nobody_could_be_told_of_wait_in_the_inbox(resources: Resources) -> None:
    order = await an_order_at_the_bank(resources)
    event = money_came(order)
    notice = await receive(resources, event)

    async def waits() -> bool:
        async with resources.sessions() as session:
            return notice in await payments.unheard(session, "stripe", older_than=0)

    assert await waits()
    async with resources.sessions.begin() as session:
        await payments.handled(session, "stripe", event.event_id)
    assert not await waits()


async def test_late_money_is_told_once(resources: Resources) -> None:
    order = await a_cancelled_order(resources)
    request = NoteLateMoney(
        reference=order.reference, amount=Money(1499, "USD"), how=MoneyBack.REFUNDED, order_id=order.order_id
    )

    async def note() -> bool:
        async with resources.sessions.begin() as session:
            return await late_money.note(session, request)

    assert sorted(await asyncio.gather(*(note() for _ in range(5)))) == [False] * 4 + [True]
    assert await timeline_of(resources.sessions, order.order_id) == [
        "order.placed",
        "order.confirmed",
        "order.cancelled",
        "payment.late_money_returned",
    ]
    async with resources.sessions() as session:
        key = f"late_money:{order.reference}"
        assert await session.scalar(text("SELECT about FROM letters WHERE key = :key"), {"key": key}) == order.order_id
        payload = await session.scalar(
            text("SELECT payload FROM outbox WHERE type = 'payment.late_money_returned' AND key = :key"),
            {"key": str(order.order_id)},
        )
        assert {name: payload[name] for name in ("reference", "amount", "how")} == {
            "reference": order.reference,
            "amount": {"amount": "14.99", "currency": "USD"},
            "how": "refunded",
        }


async def test_late_money_without_an_order_is_told_to_other_systems(resources: Resources) -> None:
    request = NoteLateMoney(
        reference=f"pi_{uuid4().hex}", amount=Money(1499, "USD"), how=MoneyBack.VOIDED, order_id=None
    )
    async with resources.sessions.begin() as session:
        assert await late_money.note(session, request)
    async with resources.sessions() as session:
        told = text("SELECT count(*) FROM outbox WHERE key = :key")
        assert await session.scalar(told, {"key": request.reference}) == 1
