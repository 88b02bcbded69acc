"""Refunds: the amount is set aside before the provider is asked, so that no two refunds ever share a cent."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, Id, Now, new_id, one_of
from db.orders import Order, attend, locked, record
from db.payments import Payment
from domain.attention import Concern
from domain.errors import Refusal, unacceptable
from domain.money import Money
from domain.orders import OrderAttention, number_of
from domain.payments import MANUAL, PaymentStatus
from domain.refunds import RefundMoney, RefundState, RefundStatus, SettleRefund
from domain.settling import LineCost, worth_of_units


class Refund(Base):
    """Amounts are minor units of the order's currency."""

    __tablename__ = "refunds"

    id: Mapped[Id]
    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id"), index=True)
    status: Mapped[str] = mapped_column(server_default=RefundStatus.REQUESTED)
    amount: Mapped[int] = mapped_column(BigInteger)
    reason: Mapped[str]
    """In the words of whoever asked; it stays in this table."""
    actor: Mapped[str]
    provider_reference: Mapped[str | None] = mapped_column(unique=True)
    refusal: Mapped[str | None]
    paid_note_id: Mapped[UUID | None]
    """The audit log's entry with the reference of the transfer by which a person has sent it."""
    created_at: Mapped[Now]
    settled_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint(one_of("status", RefundStatus), name="status"),
        CheckConstraint("amount > 0", name="amount_positive"),
        CheckConstraint("(status = 'requested') = (settled_at IS NULL)", name="settled_has_time"),
        CheckConstraint("paid_note_id IS NULL OR status = 'succeeded'", name="paid_has_succeeded"),
        Index("ix_refunds_requested", "created_at", postgresql_where=text("status = 'requested'")),
    )


class RefundItem(Base):
    """Units that a refund pays back."""

    __tablename__ = "refund_items"

    refund_id: Mapped[UUID] = mapped_column(ForeignKey("refunds.id"), primary_key=True)
    order_line_id: Mapped[UUID] = mapped_column(ForeignKey("order_lines.id"), primary_key=True, index=True)
    quantity: Mapped[int]

    __table_args__ = (CheckConstraint("quantity > 0", name="quantity_positive"),)


@dataclass(frozen=True, kw_only=True)
class RefundWish:
    """Either an amount, or units whose worth is refunded, or neither: all that is left."""

    refund_id: UUID
    order_id: UUID
    reason: str
    actor: str
    amount: Money | None = None
    items: Mapping[UUID, int] | None = None


async def request(session: AsyncSession, wish: RefundWish) -> Refund:
    """Set the amount aside; the same refund again when it was set aside before.

    Refuses ``refund_exceeds_captured``, ``payment_disputed``, ``units_not_refundable``, ``refund_not_possible_yet``
    with nothing written.
    """
    order = await locked(session, wish.order_id)  # twins wait here for each other
    if order is None:
        raise Refusal("not_found", "There is no such order.")
    if known := await session.get(Refund, wish.refund_id):
        return known
    payment = (await session.scalars(select(Payment).where(Payment.order_id == order.id).with_for_update())).one()
    amount = await _amount(session, order, payment, wish)
    disputed = await _disputed(session, order.id)
    left = payment.captured - payment.refunded - payment.refunding - disputed
    if disputed and (amount > left or left <= 0):
        raise _is_disputed(Money(disputed, order.currency))
    if amount > left or amount == 0:
        raise Refusal(
            "refund_exceeds_captured",
            f"At most {Money(left, order.currency)} can be refunded.",
            refundable={"amount": Money(left, order.currency).amount, "currency": order.currency},
        )
    _check_all_is_captured(payment)
    return await _set_aside(session, order, payment, wish, amount)


async def _disputed(session: AsyncSession, order_id: UUID, *, only_open: bool = False) -> int:
    """What the customer's bank has taken back of the order's money, as far as it is not here again."""
    found = await session.scalar(DISPUTED, {"order_id": order_id, "only_open": only_open})
    return int(found or 0)


DISPUTED = text(
    """
    SELECT sum(amount) FROM disputes
    WHERE order_id = :order_id AND (status = 'open' OR (status = 'lost' AND NOT :only_open))
    """
)


def _is_disputed(amount: Money) -> Refusal:
    return Refusal(
        "payment_disputed",
        f"The customer's bank has taken {amount} of this order back, which cannot be refunded a second time.",
        disputed={"amount": amount.amount, "currency": amount.currency},
    )


def _check_all_is_captured(payment: Payment) -> None:
    if payment.captured < payment.authorized and payment.status == PaymentStatus.AUTHORIZED:
        raise Refusal(
            "refund_not_possible_yet",
            "Parts of this order are still to be shipped and paid for; the provider refunds when all is captured.",
        )


async def _set_aside(session: AsyncSession, order: Order, payment: Payment, wish: RefundWish, amount: int) -> Refund:
    payment.refunding += amount
    refund = Refund(
        id=wish.refund_id,
        order_id=order.id,
        amount=amount,
        reason=wish.reason,
        actor=wish.actor,
    )
    session.add(refund)
    await session.flush()
    for line, quantity in (wish.items or {}).items():
        session.add(RefundItem(refund_id=refund.id, order_line_id=line, quantity=quantity))
    await session.flush()
    await record(
        session,
        order.id,
        "refund.requested",
        actor=wish.actor,
        data={"refund_id": refund.id, "amount": amount, "currency": order.currency},
    )
    await session.refresh(refund)
    return refund


async def request_worth_of(session: AsyncSession, wish: RefundWish, *, is_everything: bool = False) -> Refund | None:
    """Set aside what was paid for units that came back, as far as it was not refunded before; ``None`` for nothing.

    With ``is_everything`` the customer keeps nothing of the order, and gets all the money back.

    What a lost dispute took, the customer has already. Refuses ``refund_not_possible_yet`` while parcels are still to
    leave, and ``payment_disputed`` while nobody knows whose the money is.
    """
    order = await session.get_one(Order, wish.order_id)
    payment = (await session.scalars(select(Payment).where(Payment.order_id == order.id).with_for_update())).one()
    lines = {row.id: row for row in await session.execute(UNITS, {"order_id": order.id})}
    owed = {
        line: min(quantity, lines[line].shipped - lines[line].refunded) for line, quantity in (wish.items or {}).items()
    }
    items = {line: quantity for line, quantity in owed.items() if quantity > 0}
    worth = await _amount(session, order, payment, replace(wish, items=items)) if items else 0
    if (worth or is_everything) and (in_dispute := await _disputed(session, order.id, only_open=True)):
        raise _is_disputed(Money(in_dispute, order.currency))
    left = payment.captured - payment.refunded - payment.refunding - await _disputed(session, order.id)
    amount = left if is_everything else min(worth, left)
    if amount <= 0:
        return None
    _check_all_is_captured(payment)
    return await _set_aside(session, order, payment, replace(wish, items=items), amount)


async def request_for_cancelled_units(session: AsyncSession, wish: RefundWish) -> Refund | None:
    """Set aside what was paid ahead for units that will not be sent; ``None`` when no parcel was paid ahead."""
    order = await session.get_one(Order, wish.order_id)
    payment = (await session.scalars(select(Payment).where(Payment.order_id == order.id).with_for_update())).one()
    left = payment.captured - payment.refunded - payment.refunding
    if payment.provider != MANUAL or wish.amount is None or min(left, wish.amount.minor) == 0:
        return None
    return await _set_aside(session, order, payment, wish, min(left, wish.amount.minor))


async def request_for_cancelled_order(session: AsyncSession, order_id: UUID, *, actor: str) -> Refund | None:
    """Set aside all that has come for an order that is cancelled; the same refund again when that was done before."""
    order = await session.get_one(Order, order_id)
    payment = (await session.scalars(select(Payment).where(Payment.order_id == order.id).with_for_update())).one()
    left = payment.captured - payment.refunded - payment.refunding
    if left == 0:
        made = select(Refund).where(Refund.order_id == order.id, Refund.reason == ORDER_CANCELLED)
        refund = (await session.scalars(made)).one_or_none()
    else:
        wish = RefundWish(refund_id=new_id(), order_id=order.id, reason=ORDER_CANCELLED, actor=actor)
        refund = await _set_aside(session, order, payment, wish, left)
    await _say_what_is_owed(session, order)  # a cancelled order has no concerns any more but this
    return refund


ORDER_CANCELLED = "order_cancelled"


async def _amount(session: AsyncSession, order: Order, payment: Payment, wish: RefundWish) -> int:
    if wish.amount is not None:
        if wish.amount.currency != order.currency:
            raise unacceptable("/amount/currency", f"the order is in {order.currency}")
        return wish.amount.minor
    if wish.items is None:
        return payment.captured - payment.refunded - payment.refunding
    lines = {row.id: row for row in await session.execute(UNITS, {"order_id": order.id})}
    too_many = [
        {"order_item_id": str(line), "refundable": lines[line].shipped - lines[line].refunded if line in lines else 0}
        for line, quantity in wish.items.items()
        if line not in lines or quantity > lines[line].shipped - lines[line].refunded
    ]
    if too_many:
        raise Refusal("units_not_refundable", "These units were not shipped, or are refunded already.", items=too_many)
    return worth_of_units(
        wanted=wish.items,
        refunded={line: row.refunded for line, row in lines.items()},
        lines={line: LineCost(quantity=row.quantity, cost=row.cost) for line, row in lines.items()},
    )


UNITS = text(
    """
    SELECT order_lines.id, order_lines.quantity,
           order_lines.line_total - order_lines.discount + order_lines.tax AS cost,
           coalesce((
               SELECT sum(fulfillment_items.quantity)
               FROM fulfillment_items JOIN fulfillments ON fulfillments.id = fulfillment_items.fulfillment_id
               WHERE fulfillment_items.order_line_id = order_lines.id
                 AND (fulfillments.status IN ('shipped', 'delivered') OR fulfillments.remedy = 'refund')
           ), 0)::int AS shipped,
           coalesce((
               SELECT sum(refund_items.quantity) FROM refund_items JOIN refunds ON refunds.id = refund_items.refund_id
               WHERE refund_items.order_line_id = order_lines.id AND refunds.status <> 'failed'
           ), 0)::int AS refunded
    FROM order_lines WHERE order_lines.order_id = :order_id
    """
)


async def settle(session: AsyncSession, request: SettleRefund) -> RefundState:
    """How the refund ended; repeats change nothing."""
    order = await locked(session, request.order_id)
    refund = await session.get(Refund, request.refund_id, populate_existing=True)
    if order is None or refund is None or refund.order_id != order.id:
        raise Refusal("not_found", "There is no such refund.")
    payment = (await session.scalars(select(Payment).where(Payment.order_id == order.id).with_for_update())).one()
    if refund.status == RefundStatus.REQUESTED:
        payment.refunding -= refund.amount
        refund.settled_at = func.now()
        if request.outcome.is_refunded:
            refund.status, refund.provider_reference = RefundStatus.SUCCEEDED, request.outcome.reference
            refund.paid_note_id = request.note_id
            payment.refunded += refund.amount
            is_all = payment.refunded == payment.captured
            payment.status = PaymentStatus.REFUNDED if is_all else PaymentStatus.PARTIALLY_REFUNDED
            order.payment_status = payment.status
        else:
            refund.status, refund.refusal = RefundStatus.FAILED, request.outcome.refusal
        payment.updated_at = order.updated_at = func.now()
        await session.flush()
        await record(
            session,
            order.id,
            f"refund.{refund.status}",
            actor=request.actor or refund.actor,
            data={"refund_id": refund.id, "amount": refund.amount, "currency": order.currency},
        )
        if payment.provider == MANUAL:
            await _say_what_is_owed(session, order)
    return RefundState(
        refund_id=refund.id, status=RefundStatus(refund.status), payment_status=PaymentStatus(payment.status)
    )


async def call(session: AsyncSession, request: RefundMoney) -> RefundState:
    """People are told that they have to send this money back, unless they have done so."""
    order = await locked(session, request.order_id)
    refund = await session.get(Refund, request.refund_id, populate_existing=True)
    if order is None or refund is None or refund.order_id != order.id:
        raise Refusal("not_found", "There is no such refund.")
    await _say_what_is_owed(session, order)
    return RefundState(
        refund_id=refund.id,
        status=RefundStatus(refund.status),
        payment_status=PaymentStatus(order.payment_status),
    )


async def _say_what_is_owed(session: AsyncSession, order: Order) -> None:
    """An order has one such concern, whose words name all that is still to be sent."""
    waiting = await session.scalars(
        select(Refund).where(Refund.order_id == order.id, Refund.status == RefundStatus.REQUESTED).order_by(Refund.id)
    )
    owed = [f"{Money(refund.amount, order.currency)} for refund {refund.id}" for refund in waiting]
    detail = f"to be sent back by bank transfer: {', '.join(owed)}" if owed else None
    await attend(session, OrderAttention(order_id=order.id, concern=Concern.REFUND_DUE, detail=detail))


async def by_id(session: AsyncSession, refund_id: UUID) -> Refund | None:
    return await session.get(Refund, refund_id)


async def to_pay_back(session: AsyncSession, refund: Refund) -> RefundMoney:
    """What the story of this refund begins with."""
    order = await session.get_one(Order, refund.order_id)
    payment = (await session.scalars(select(Payment).where(Payment.order_id == order.id))).one()
    return RefundMoney(
        refund_id=refund.id,
        order_id=order.id,
        order_number=number_of(order.number),
        payment_id=payment.id,
        amount=Money(refund.amount, order.currency),
        is_by_hand=payment.provider == MANUAL,
    )


async def unsettled(session: AsyncSession, *, older_than: float, except_for: Collection[UUID]) -> list[RefundMoney]:
    """Refunds that operators asked for so many seconds ago and of whose end nothing is known; the oldest first.

    Refunds of returns and of lost parcels belong to those: their stories see to them.
    """
    found = await session.scalars(UNSETTLED, {"age": older_than, "except_for": list(except_for)})
    return [await to_pay_back(session, await session.get_one(Refund, refund_id)) for refund_id in found]


UNSETTLED = text(
    """
    SELECT id FROM refunds
    WHERE status = 'requested' AND created_at < now() - make_interval(secs => :age)
      AND id <> ALL(CAST(:except_for AS uuid[]))
      AND NOT EXISTS (SELECT FROM returns WHERE returns.refund_id = refunds.id)
      AND NOT EXISTS (SELECT FROM fulfillments WHERE fulfillments.refund_id = refunds.id)
    ORDER BY created_at LIMIT 200
    """
)
