"""Disputes: what customers' banks have taken back, and how that ended, in whatever order it was told."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, one_of
from db.orders import Order, attend, locked, record
from db.payments import Payment
from domain.attention import Concern
from domain.disputes import DisputeNews, DisputeStatus
from domain.money import Money
from domain.orders import OrderAttention

ENDS = {DisputeStatus.WON: "payment.dispute_won", DisputeStatus.LOST: "payment.dispute_lost"}


class Dispute(Base):
    """Amounts are minor units. What is open or lost cannot be refunded: a trigger of ``payments`` refuses that."""

    __tablename__ = "disputes"

    reference: Mapped[str] = mapped_column(primary_key=True)
    """The provider's own id."""
    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id"), index=True)
    status: Mapped[str] = mapped_column(server_default=DisputeStatus.OPEN)
    amount: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str]
    reason: Mapped[str]
    evidence_due_at: Mapped[datetime | None]
    opened_at: Mapped[datetime]
    told_at: Mapped[datetime]
    """When the provider said what stands here."""
    closed_at: Mapped[datetime | None]
    known_note_id: Mapped[UUID | None]
    """The audit log's entry of the person who knows that it is lost."""

    __table_args__ = (
        CheckConstraint(one_of("status", DisputeStatus), name="status"),
        CheckConstraint("amount > 0", name="amount_positive"),
        CheckConstraint("(status = 'open') = (closed_at IS NULL)", name="closed_has_time"),
        CheckConstraint("known_note_id IS NULL OR status = 'lost'", name="known_is_lost"),
    )


async def note(session: AsyncSession, news: DisputeNews) -> None:
    """Write down what the provider says, tell of what is new, and call a person or let them go.

    News about payments of nobody, and news that came before, change nothing.
    """
    order_id = await session.scalar(
        select(Payment.order_id).where(Payment.provider_reference == news.payment_reference)
    )
    order = await locked(session, order_id) if order_id is not None else None
    if order is None:
        return
    # Whoever sets money aside for a refund locks the payment, too.
    await session.execute(select(Payment.id).where(Payment.order_id == order.id).with_for_update())
    dispute = await session.get(Dispute, news.reference, populate_existing=True)
    if dispute is None:
        dispute = Dispute(
            reference=news.reference,
            order_id=order.id,
            status=DisputeStatus.OPEN,
            amount=news.amount.minor,
            currency=news.amount.currency,
            reason=news.reason,
            evidence_due_at=news.evidence_due_at,
            opened_at=news.opened_at,
            told_at=news.told_at,
        )
        session.add(dispute)
        await session.flush()
        await _tell(session, dispute, "payment.disputed")
    if dispute.status == DisputeStatus.OPEN:
        await _follow(session, dispute, news)
    await _call(session, order)


async def _follow(session: AsyncSession, dispute: Dispute, news: DisputeNews) -> None:
    if news.status is DisputeStatus.OPEN and news.told_at < dispute.told_at:
        return
    dispute.amount, dispute.reason, dispute.told_at = news.amount.minor, news.reason, news.told_at
    dispute.evidence_due_at = news.evidence_due_at
    if news.status is not DisputeStatus.OPEN:
        dispute.status, dispute.closed_at = news.status, news.told_at
        await session.flush()
        await _tell(session, dispute, ENDS[news.status])
    await session.flush()


async def _tell(session: AsyncSession, dispute: Dispute, happened: str) -> None:
    facts = {"dispute": dispute.reference, "amount": dispute.amount, "currency": dispute.currency}
    await record(session, dispute.order_id, happened, data={**facts, "reason": dispute.reason})


async def _call(session: AsyncSession, order: Order) -> None:
    """An order has one such concern, whose words name all disputes that a person has to know of."""
    waiting = await session.scalars(
        select(Dispute)
        .where(Dispute.order_id == order.id, Dispute.status != DisputeStatus.WON, Dispute.known_note_id.is_(None))
        .order_by(Dispute.opened_at, Dispute.reference)
    )
    detail = "; ".join(in_words(dispute) for dispute in waiting) or None
    await attend(session, OrderAttention(order_id=order.id, concern=Concern.PAYMENT_DISPUTED, detail=detail))


def in_words(dispute: Dispute) -> str:
    amount = Money(dispute.amount, dispute.currency)
    if dispute.status == DisputeStatus.LOST:
        return f"the dispute {dispute.reference} is lost: {amount} went back to the customer ({dispute.reason})"
    due = f"; evidence is due by {dispute.evidence_due_at:%d %B %Y, %H:%M} UTC" if dispute.evidence_due_at else ""
    return f"the customer's bank takes {amount} back ({dispute.reason}, {dispute.reference}){due}"


async def accept(session: AsyncSession, order_id: UUID, *, note_id: UUID) -> bool:
    """A person knows of the order's lost disputes; false when there are none that this note answers."""
    order = await locked(session, order_id)
    if order is None:
        return False
    await session.execute(
        update(Dispute)
        .where(Dispute.order_id == order_id, Dispute.status == DisputeStatus.LOST, Dispute.known_note_id.is_(None))
        .values(known_note_id=note_id)
    )
    known = await session.scalar(select(Dispute.reference).where(Dispute.known_note_id == note_id).limit(1))
    if known is not None:
        await _call(session, order)
    return known is not None
