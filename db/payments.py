"""Payments: what a provider promised, took and gave back for an order, and what it told us by webhook."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, func, select, text, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, Id, Now, one_of
from domain.payments import MANUAL, MoneyBack, PaymentAuthorization, PaymentStatus, ProviderEvent


class Payment(Base):
    """Amounts are minor units. Capture never exceeds what was authorised, nor refund what was captured."""

    __tablename__ = "payments"

    id: Mapped[Id]
    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id"), unique=True)
    provider: Mapped[str]
    provider_reference: Mapped[str | None] = mapped_column(unique=True)
    status: Mapped[str] = mapped_column(server_default=PaymentStatus.PENDING)
    currency: Mapped[str]
    amount: Mapped[int] = mapped_column(BigInteger)
    authorized: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    captured: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    refunded: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    refunding: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    """Set aside for refunds that the provider has not answered yet."""
    decline_code: Mapped[str | None]
    redirect_url: Mapped[str | None]
    due_at: Mapped[datetime | None]
    """Until when a bank transfer is waited for."""
    received_note_id: Mapped[UUID | None]
    """The audit log's entry with the reference of the bank transfer that paid it."""
    created_at: Mapped[Now]
    updated_at: Mapped[Now]

    __table_args__ = (
        CheckConstraint(one_of("status", PaymentStatus), name="status"),
        CheckConstraint("amount >= 0 AND authorized >= 0", name="amounts_not_negative"),
        CheckConstraint("captured BETWEEN 0 AND authorized", name="captured_within_authorized"),
        CheckConstraint(
            "least(refunded, refunding) >= 0 AND refunded + refunding <= captured", name="refunded_within_captured"
        ),
        CheckConstraint(
            "provider = 'manual' OR (due_at IS NULL AND received_note_id IS NULL)", name="only_transfers_are_awaited"
        ),
    )


class WebhookEvent(Base):
    """The inbox: a provider's event is a row here before the provider is answered."""

    __tablename__ = "webhook_events"

    provider: Mapped[str] = mapped_column(primary_key=True)
    event_id: Mapped[str] = mapped_column(primary_key=True)
    type: Mapped[str]
    payload: Mapped[dict[str, Any]] = mapped_column(JSONB)
    """Ids and amounts only; whoever needs more asks the provider."""
    received_at: Mapped[Now]
    handled_at: Mapped[datetime | None]

    __table_args__ = (Index("ix_webhook_events_unhandled", "received_at", postgresql_where=text("handled_at IS NULL")),)


async def requires_action(
    session: AsyncSession, payment_id: UUID, reference: str | None, *, redirect_url: str | None
) -> None:
    await session.execute(
        update(Payment)
        .where(Payment.id == payment_id, Payment.status == PaymentStatus.PENDING)
        .values(
            status=PaymentStatus.REQUIRES_ACTION,
            provider_reference=reference,
            redirect_url=redirect_url,
            updated_at=func.now(),
        )
    )


async def expect(session: AsyncSession, payment_id: UUID, due_at: datetime) -> None:
    """A bank transfer is waited for until then."""
    await session.execute(update(Payment).where(Payment.id == payment_id).values(due_at=due_at, updated_at=func.now()))


async def captured(session: AsyncSession, order_id: UUID, amount: int, *, is_final: bool) -> PaymentStatus:
    """Count what a parcel's capture took. ``authorized`` remains as the status while more can be captured."""
    payment = await _of(session, order_id)
    payment.captured += amount
    if is_final and payment.status == PaymentStatus.AUTHORIZED:
        payment.status = PaymentStatus.CAPTURED
    payment.updated_at = func.now()
    await session.flush()
    return PaymentStatus(payment.status)


async def released(session: AsyncSession, order_id: UUID) -> PaymentStatus:
    """Nothing more will be captured; repeats, and what was refunded since, change nothing."""
    await session.execute(text("SELECT FROM orders WHERE id = :id FOR UPDATE"), {"id": order_id})  # as refunds lock
    payment = await _of(session, order_id)
    if payment.status == PaymentStatus.AUTHORIZED:
        payment.status, payment.updated_at = PaymentStatus.CAPTURED, func.now()
        await session.execute(
            text("UPDATE orders SET payment_status = :status, updated_at = now() WHERE id = :id"),
            {"status": payment.status, "id": order_id},
        )
        await session.flush()
    return PaymentStatus(payment.status)


async def close(
    session: AsyncSession, order_id: UUID, money: MoneyBack, declined: PaymentAuthorization | None
) -> PaymentStatus:
    """How the payment of a cancelled order ended, as the provider said."""
    payment = await _of(session, order_id)
    match money:
        case MoneyBack.REFUNDED:
            payment.authorized = payment.captured = payment.refunded = payment.amount
            payment.status = PaymentStatus.REFUNDED
        case MoneyBack.VOIDED:
            payment.status = PaymentStatus.VOIDED
        case MoneyBack.BY_HAND:
            payment.status = payment.status if payment.captured else PaymentStatus.VOIDED
        case MoneyBack.NOTHING_TAKEN:
            payment.status = PaymentStatus.FAILED if declined else PaymentStatus.VOIDED
    if declined:
        payment.decline_code = declined.decline_code
        payment.provider_reference = declined.reference or payment.provider_reference
    payment.redirect_url = None
    payment.updated_at = func.now()
    await session.flush()
    return PaymentStatus(payment.status)


@dataclass(frozen=True, slots=True)
class KnownPayment:
    provider: str
    reference: str | None
    """The provider's id of the payment, as far as it was ever noted."""


async def received(session: AsyncSession, order_id: UUID, amount: int, *, note_id: UUID) -> PaymentStatus:
    """The bank transfer has come, and is ours."""
    payment = await _of(session, order_id)
    payment.authorized = payment.captured = amount
    payment.status, payment.received_note_id, payment.updated_at = PaymentStatus.CAPTURED, note_id, func.now()
    await session.flush()
    return PaymentStatus(payment.status)


async def expect_no_more(session: AsyncSession, order_id: UUID) -> PaymentStatus:
    """Nothing of the order has arrived: a bank transfer that has not come is not waited for any more."""
    payment = await _of(session, order_id)
    if payment.status == PaymentStatus.PENDING:
        payment.status, payment.updated_at = PaymentStatus.VOIDED, func.now()
        await session.flush()
    return PaymentStatus(payment.status)


async def is_paid_ahead(session: AsyncSession, order_id: UUID) -> bool:
    """Does a bank transfer pay for the order, so that no parcel captures anything?"""
    provider = await session.scalar(select(Payment.provider).where(Payment.order_id == order_id))
    return provider == MANUAL


async def was_expected(session: AsyncSession, order_id: UUID) -> bool:
    """Was the order's money waited for as a bank transfer?"""
    due_at = await session.scalar(select(Payment.due_at).where(Payment.order_id == order_id))
    return due_at is not None


async def known(session: AsyncSession, payment_id: UUID) -> KnownPayment | None:
    """Who has this payment, and under which name; ``None`` for an order that was never placed."""
    found = await session.execute(select(Payment.provider, Payment.provider_reference).where(Payment.id == payment_id))
    row = found.one_or_none()
    return KnownPayment(row.provider, row.provider_reference) if row else None


async def _of(session: AsyncSession, order_id: UUID) -> Payment:
    found = await session.scalars(select(Payment).where(Payment.order_id == order_id).with_for_update())
    return found.one()


async def receive(session: AsyncSession, provider: str, event: ProviderEvent) -> bool:
    """Put a webhook's event into the inbox; true when a workflow waits for it and was not told yet.

    Only a payment whose customer has to act has a workflow of its own. For all others the provider's answer to our
    call decides, and the event is handled by being noted.
    """
    waits = await session.scalar(
        RECEIVE,
        {
            "provider": provider,
            "event_id": event.event_id,
            "type": event.type,
            "payment_id": event.payment_id,
            "reference": event.reference,
        },
    )
    return bool(waits)


RECEIVE = text(
    """
    WITH payment AS (
        SELECT EXISTS (SELECT FROM payments WHERE id = :payment_id AND status = 'requires_action') AS waits
    ), stored AS (
        INSERT INTO webhook_events (provider, event_id, type, payload, handled_at)
        SELECT :provider, :event_id, :type,
               jsonb_build_object('payment_id', CAST(:payment_id AS uuid), 'reference', CAST(:reference AS text)),
               CASE WHEN waits THEN NULL ELSE now() END
        FROM payment
        ON CONFLICT DO NOTHING
    )
    SELECT waits AND NOT EXISTS (
        SELECT FROM webhook_events
        WHERE provider = :provider AND event_id = :event_id AND handled_at IS NOT NULL
    ) FROM payment
    """
)


async def handled(session: AsyncSession, provider: str, event_id: str) -> None:
    await session.execute(
        update(WebhookEvent)
        .where(WebhookEvent.provider == provider, WebhookEvent.event_id == event_id)
        .values(handled_at=func.now())
    )
