"""Payments: what a provider promised, took and gave back for an order, and what it told us by webhook."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, Row, func, select, text, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, Id, Now, one_of
from domain.orders import OrderStatus
from domain.payments import MANUAL, Listener, MoneyBack, Notice, PaymentAuthorization, PaymentStatus, ProviderEvent


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
    credited: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    """What of it the shop keeps, since the customer got it back as store credit."""
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
        CheckConstraint("provider <> 'nothing' OR amount = 0", name="nothing_is_asked_of_nobody"),
        CheckConstraint("amount >= 0 AND authorized >= 0", name="amounts_not_negative"),
        CheckConstraint("captured BETWEEN 0 AND authorized", name="captured_within_authorized"),
        CheckConstraint(
            "least(refunded, refunding, credited) >= 0 AND refunded + refunding + credited <= captured",
            name="refunded_within_captured",
        ),
        CheckConstraint(
            "provider = 'manual' OR (due_at IS NULL AND received_note_id IS NULL)", name="only_transfers_are_awaited"
        ),
    )

    @property
    def left(self) -> int:
        """What was taken and can still go back."""
        return self.captured - self.refunded - self.refunding - self.credited


class WebhookEvent(Base):
    """The inbox: a provider's event is a row here before the provider is answered."""

    __tablename__ = "webhook_events"

    provider: Mapped[str] = mapped_column(primary_key=True)
    event_id: Mapped[str] = mapped_column(primary_key=True)
    type: Mapped[str]
    payload: Mapped[dict[str, Any]] = mapped_column(JSONB)
    """Ids and amounts only; whoever needs more asks the provider."""
    listener: Mapped[str | None]
    """Which story has to hear of it; ``None`` when it is handled by being noted."""
    received_at: Mapped[Now]
    handled_at: Mapped[datetime | None]

    __table_args__ = (
        Index("ix_webhook_events_unhandled", "received_at", postgresql_where=text("handled_at IS NULL")),
        Index("ix_webhook_events_handled", "received_at", postgresql_where=text("handled_at IS NOT NULL")),
        CheckConstraint(one_of("listener", Listener), name="listener"),
        CheckConstraint("listener IS NOT NULL OR handled_at IS NOT NULL", name="unheard_has_listener"),
    )


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


async def released(session: AsyncSession, order_id: UUID) -> bool:
    """Nothing more will be captured; false when that was noted before, or when something was refunded since."""
    payment = await _of(session, order_id)
    is_news = payment.status == PaymentStatus.AUTHORIZED
    if is_news:
        payment.status, payment.updated_at = PaymentStatus.CAPTURED, func.now()
        await session.flush()
    return is_news


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


async def chosen_method(session: AsyncSession, order_id: UUID) -> str:
    """The provider's token of the card that the customer chose in the checkout."""
    method = await session.scalar(
        text("SELECT payment_method FROM checkouts WHERE order_id = :order_id"), {"order_id": order_id}
    )
    return str(method)


async def renew(session: AsyncSession, order_id: UUID, reference: str) -> bool:
    """The provider has the payment under another name now; true unless that was noted before."""
    payment = await _of(session, order_id)
    is_news = payment.provider_reference != reference
    if is_news:
        payment.provider_reference, payment.updated_at = reference, func.now()
        await session.flush()
    return is_news


async def _of(session: AsyncSession, order_id: UUID) -> Payment:
    found = await session.scalars(select(Payment).where(Payment.order_id == order_id).with_for_update())
    return found.one()


@dataclass(frozen=True, kw_only=True)
class Owner:
    """The order that a payment belongs to, as our books have it."""

    order_id: UUID
    payment_id: UUID
    order_status: OrderStatus
    payment_status: PaymentStatus
    reference: str | None

    def wants(self, reference: str) -> bool:
        """Is the order paid with what the provider has under this id, or will its story still see to that?"""
        if self.order_status is OrderStatus.PENDING:
            return True
        is_given_up = self.payment_status in (PaymentStatus.VOIDED, PaymentStatus.FAILED)
        return self.reference == reference and not is_given_up


async def owner_of(session: AsyncSession, payment_id: UUID | None, reference: str) -> Owner | None:
    """Whose payment the provider has under its own id, or under ours."""
    found = await session.execute(OWNER, {"payment_id": payment_id, "reference": reference})
    row = found.one_or_none()
    if row is None:
        return None
    return Owner(
        order_id=row.order_id,
        payment_id=row.id,
        order_status=OrderStatus(row.order_status),
        payment_status=PaymentStatus(row.status),
        reference=row.provider_reference,
    )


_OWNER = """
    SELECT payments.id, payments.order_id, payments.status, payments.provider_reference,
           orders.status AS order_status, orders.pending_step
    FROM payments JOIN orders ON orders.id = payments.order_id
    WHERE payments.provider_reference = CAST(:reference AS text) OR payments.id = CAST(:payment_id AS uuid)
    ORDER BY payments.provider_reference IS NOT DISTINCT FROM CAST(:reference AS text) DESC LIMIT 1
"""

OWNER = text(_OWNER)


async def receive(session: AsyncSession, provider: str, event: ProviderEvent) -> Notice | None:
    """Put a webhook's event into the inbox; the notice, when a story has to hear of it and was not told yet.

    For most events the provider's answer to our call has decided, and they are handled by being noted.
    """
    found = await session.execute(
        RECEIVE,
        {
            "provider": provider,
            "event_id": event.event_id,
            "type": event.type,
            "payment_id": event.payment_id,
            "reference": event.reference,
            "brings_money": event.brings_money,
            "is_ours": event.is_ours,
        },
    )
    row = found.one_or_none()
    return None if row is None else _notice(event.event_id, row)


RECEIVE = text(
    f"""
    WITH owner AS ({_OWNER}), heard AS (
        SELECT owner.id, owner.order_id, CASE
            WHEN owner.status = 'requires_action' THEN 'payment'
            WHEN owner.pending_step = 'payment_unknown' THEN 'order'
            WHEN NOT :brings_money OR owner.order_status = 'pending' THEN NULL
            WHEN owner.id IS NULL THEN CASE WHEN :is_ours THEN 'stray' END
            WHEN owner.provider_reference IS DISTINCT FROM CAST(:reference AS text) THEN 'stray'
            WHEN owner.status IN ('voided', 'failed') THEN 'stray'
        END AS listener
        FROM (SELECT) AS always LEFT JOIN owner ON true
    ), stored AS (
        INSERT INTO webhook_events (provider, event_id, type, payload, listener, handled_at)
        SELECT :provider, :event_id, :type,
               jsonb_build_object(
                   'payment_id', coalesce(heard.id, CAST(:payment_id AS uuid)), 'order_id', heard.order_id,
                   'reference', CAST(:reference AS text)
               ),
               heard.listener, CASE WHEN heard.listener IS NULL THEN now() END
        FROM heard
        ON CONFLICT DO NOTHING
    )
    SELECT heard.listener, coalesce(heard.id, CAST(:payment_id AS uuid)) AS payment_id, heard.order_id,
           CAST(:reference AS text) AS reference
    FROM heard
    WHERE heard.listener IS NOT NULL AND NOT EXISTS (
        SELECT FROM webhook_events
        WHERE provider = :provider AND event_id = :event_id AND handled_at IS NOT NULL
    )
    """  # noqa: S608 (constant text)
)


async def unheard(session: AsyncSession, provider: str, *, older_than: float) -> list[Notice]:
    """Events whose story could not be told for so many seconds, the oldest first."""
    rows = await session.execute(UNHEARD, {"provider": provider, "age": older_than})
    return [_notice(row.event_id, row) for row in rows]


UNHEARD = text(
    """
    SELECT event_id, listener, CAST(payload ->> 'payment_id' AS uuid) AS payment_id,
           CAST(payload ->> 'order_id' AS uuid) AS order_id, payload ->> 'reference' AS reference
    FROM webhook_events
    WHERE provider = :provider AND handled_at IS NULL AND received_at < now() - make_interval(secs => :age)
    ORDER BY received_at LIMIT 200
    """
)


def _notice(event_id: str, row: Row[Any]) -> Notice:
    return Notice(
        event_id=event_id,
        listener=Listener(row.listener),
        payment_id=row.payment_id,
        order_id=row.order_id,
        reference=row.reference,
    )


async def handled(session: AsyncSession, provider: str, event_id: str) -> None:
    await session.execute(
        update(WebhookEvent)
        .where(WebhookEvent.provider == provider, WebhookEvent.event_id == event_id)
        .values(handled_at=func.now())
    )


async def forget_events(session: AsyncSession, *, kept: timedelta, most: int) -> int:
    """Remove the oldest events that were received so long ago, unless they are still unheard; how many there were."""
    removed = await session.execute(FORGET_EVENTS, {"kept": kept, "most": most})
    return len(removed.all())


FORGET_EVENTS = text(
    """
    DELETE FROM webhook_events WHERE (provider, event_id) IN (
        SELECT provider, event_id FROM webhook_events
        WHERE handled_at IS NOT NULL AND received_at < now() - CAST(:kept AS interval)
        ORDER BY received_at LIMIT :most FOR UPDATE SKIP LOCKED
    ) RETURNING event_id
    """
)
