"""Refunds: the amount is set aside before the provider is asked, so that no two refunds ever share a cent."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from db import credit, mailbox
from db.base import Base, Id, Now, new_id, one_of
from db.orders import Order, attend, locked, record
from db.payments import Payment
from domain.attention import Concern
from domain.credit import RefundParts, refund_parts
from domain.errors import Refusal, unacceptable
from domain.money import Money
from domain.notifications import Occasion
from domain.orders import OrderAttention, number_of
from domain.payments import MANUAL, NOTHING, PaymentStatus
from domain.refunds import RefundMoney, RefundState, RefundStatus, RefundTo, SettleRefund
from domain.settling import LineCost, worth_of_units


class Refund(Base):
    """Amounts are minor units of the order's currency."""

    __tablename__ = "refunds"

    id: Mapped[Id]
    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id"), index=True)
    status: Mapped[str] = mapped_column(server_default=RefundStatus.REQUESTED)
    amount: Mapped[int] = mapped_column(BigInteger)
    of_credit: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    """What of the amount gift cards and store credit had paid; the rest is the provider's."""
    goes_to: Mapped[str] = mapped_column(server_default=RefundTo.ORIGIN)
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
        CheckConstraint("of_credit BETWEEN 0 AND amount", name="credit_within_amount"),
        CheckConstraint(one_of("goes_to", RefundTo), name="goes_to"),
        CheckConstraint("(status = 'requested') = (settled_at IS NULL)", name="settled_has_time"),
        CheckConstraint("paid_note_id IS NULL OR status = 'succeeded'", name="paid_has_succeeded"),
        Index("ix_refunds_requested", "created_at", postgresql_where=text("status = 'requested'")),
    )

    @property
    def of_payment(self) -> int:
        return self.amount - self.of_credit

    @property
    def asks_somebody(self) -> bool:
        """Credit is the shop's own to give, and nobody has to be asked."""
        return self.of_payment > 0 and self.goes_to == RefundTo.ORIGIN


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
    goes_to: RefundTo = RefundTo.ORIGIN


@dataclass(frozen=True, kw_only=True)
class Left:
    """What can still go back of an order, in minor units."""

    payment: int
    """Of what the provider has taken, and no bank has taken back."""
    credit: int

    @property
    def all(self) -> int:
        return self.payment + self.credit

    def parts(self, amount: int) -> RefundParts:
        return refund_parts(amount, payment_left=self.payment)


async def _left(session: AsyncSession, payment: Payment, *, disputed: int, is_everything: bool = False) -> Left:
    """Credit stays where it is while a bank transfer is still to come, unless nothing of the order is wanted."""
    is_expected = payment.status == PaymentStatus.PENDING and not is_everything
    held = await credit.held_of(session, payment.order_id)
    return Left(payment=payment.left - disputed, credit=0 if is_expected else held.free)


async def request(session: AsyncSession, wish: RefundWish) -> Refund:
    """Set the amount aside; the same refund again when it was set aside before.

    Refuses ``refund_exceeds_captured``, ``payment_disputed``, ``units_not_refundable``, ``refund_not_possible_yet`` and
    ``store_credit_needs_account`` with nothing written.
    """
    order = await locked(session, wish.order_id)  # twins wait here for each other
    if order is None:
        raise Refusal("not_found", "There is no such order.")
    if known := await session.get(Refund, wish.refund_id):
        return known
    payment = (await session.scalars(select(Payment).where(Payment.order_id == order.id).with_for_update())).one()
    if wish.goes_to is RefundTo.STORE_CREDIT:
        await _check_has_account(session, order)
    disputed = await _disputed(session, order.id)
    left = await _left(session, payment, disputed=disputed)
    amount = await _amount(session, order, wish, all_of_it=left.all + disputed)
    if disputed and (amount > left.all or left.all <= 0):
        raise _is_disputed(Money(disputed, order.currency))
    if amount > left.all or amount == 0:
        most = Money(left.all, order.currency)
        raise Refusal(
            "refund_exceeds_captured",
            f"At most {most} can be refunded.",
            refundable={"amount": most.amount, "currency": order.currency},
        )
    _check_all_is_captured(payment)
    return await _set_aside(session, order, payment, wish, left.parts(amount))


async def _check_has_account(session: AsyncSession, order: Order) -> None:
    if order.user_id is None or not await credit.has_account(session, order.user_id):
        raise Refusal("store_credit_needs_account", "This order belongs to no open account, which store credit needs.")


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
    is_incomplete = payment.captured < payment.authorized or payment.provider == NOTHING
    if is_incomplete and payment.status == PaymentStatus.AUTHORIZED:
        raise Refusal(
            "refund_not_possible_yet",
            "Parts of this order are still to be shipped and paid for; the provider refunds when all is captured.",
        )


async def _set_aside(
    session: AsyncSession, order: Order, payment: Payment, wish: RefundWish, parts: RefundParts
) -> Refund:
    """Nobody else can refund this a second time. What only the shop has to give, it has given then."""
    refund = Refund(
        id=wish.refund_id,
        order_id=order.id,
        amount=parts.of_payment + parts.of_credit,
        of_credit=parts.of_credit,
        goes_to=wish.goes_to,
        reason=wish.reason,
        actor=wish.actor,
    )
    if refund.asks_somebody:
        payment.refunding += parts.of_payment
    session.add(refund)
    await session.flush()
    for line, quantity in (wish.items or {}).items():
        session.add(RefundItem(refund_id=refund.id, order_line_id=line, quantity=quantity))
    await session.flush()
    await _tell(session, order, refund, actor=wish.actor)
    if not refund.asks_somebody:
        await _succeed(session, order, payment, refund)
        await _tell(session, order, refund, actor=wish.actor)
    await session.refresh(refund)
    return refund


async def _succeed(session: AsyncSession, order: Order, payment: Payment, refund: Refund) -> None:
    """The money is on its way back, or is credit now."""
    refund.status, refund.settled_at = RefundStatus.SUCCEEDED, func.now()
    if refund.goes_to == RefundTo.STORE_CREDIT:
        payment.credited += refund.of_payment
    else:
        payment.refunded += refund.of_payment
        if refund.of_payment:
            await mailbox.ask_for(session, Occasion.ORDER_REFUNDED, order.id, occasion_of=refund.id)
    await session.flush()
    await _credit(session, order, refund)
    held = await credit.held_of(session, order.id)
    is_all = payment.refunded + payment.credited == payment.captured and held.amount == 0
    payment.status = PaymentStatus.REFUNDED if is_all else PaymentStatus.PARTIALLY_REFUNDED
    order.payment_status = payment.status
    payment.updated_at = order.updated_at = func.now()
    await session.flush()


async def _credit(session: AsyncSession, order: Order, refund: Refund) -> None:
    if refund.goes_to == RefundTo.ORIGIN:
        await credit.refund(session, order.id, refund.id, refund.of_credit, actor=refund.actor)
    elif order.user_id is not None:
        amount = Money(refund.amount, order.currency)
        await credit.convert(session, order.id, refund.id, order.user_id, amount, actor=refund.actor)


async def _tell(session: AsyncSession, order: Order, refund: Refund, *, actor: str) -> None:
    await record(
        session,
        order.id,
        f"refund.{refund.status}",
        actor=actor,
        data={"refund_id": refund.id, "amount": refund.amount, "currency": order.currency},
        also_told={"of_credit": refund.of_credit, "to": refund.goes_to},
    )


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
    worth = await _amount(session, order, replace(wish, items=items), all_of_it=0) if items else 0
    if (worth or is_everything) and (in_dispute := await _disputed(session, order.id, only_open=True)):
        raise _is_disputed(Money(in_dispute, order.currency))
    disputed = await _disputed(session, order.id)
    left = await _left(session, payment, disputed=disputed, is_everything=is_everything)
    amount = left.all if is_everything else min(worth, left.all)
    if amount <= 0:
        return None
    _check_all_is_captured(payment)
    return await _set_aside(session, order, payment, replace(wish, items=items), left.parts(amount))


async def owed_for_cancelled_units(session: AsyncSession, order_id: UUID, worth: Money) -> Money:
    """What was paid ahead for units that will not be sent, and has to be refunded; nothing where no parcel was.

    Then less is captured, and what credit has paid too much of is given back without a refund.
    """
    payment = (await session.scalars(select(Payment).where(Payment.order_id == order_id).with_for_update())).one()
    if payment.provider != MANUAL or payment.captured == 0:
        return Money(0, worth.currency)
    left = await _left(session, payment, disputed=0)
    return Money(min(left.all, worth.minor), worth.currency)


async def request_for_cancelled_units(session: AsyncSession, wish: RefundWish, owed: Money) -> Refund:
    """Set aside what ``owed_for_cancelled_units`` has said."""
    order = await session.get_one(Order, wish.order_id)
    payment = (await session.scalars(select(Payment).where(Payment.order_id == order.id).with_for_update())).one()
    left = await _left(session, payment, disputed=0)
    return await _set_aside(session, order, payment, wish, left.parts(owed.minor))


async def request_for_cancelled_order(session: AsyncSession, order_id: UUID, *, actor: str) -> Refund | None:
    """Set aside all that has come for an order that is cancelled; the same refund again when that was done before.

    Its credit has gone back with the cancellation.
    """
    order = await session.get_one(Order, order_id)
    payment = (await session.scalars(select(Payment).where(Payment.order_id == order.id).with_for_update())).one()
    if payment.left == 0:
        made = select(Refund).where(Refund.order_id == order.id, Refund.reason == ORDER_CANCELLED)
        refund = (await session.scalars(made)).one_or_none()
    else:
        wish = RefundWish(refund_id=new_id(), order_id=order.id, reason=ORDER_CANCELLED, actor=actor)
        refund = await _set_aside(session, order, payment, wish, RefundParts(of_payment=payment.left, of_credit=0))
    await _say_what_is_owed(session, order)  # a cancelled order has no concerns any more but this
    return refund


ORDER_CANCELLED = "order_cancelled"


async def _amount(session: AsyncSession, order: Order, wish: RefundWish, *, all_of_it: int) -> int:
    if wish.amount is not None:
        if wish.amount.currency != order.currency:
            raise unacceptable("/amount/currency", f"the order is in {order.currency}")
        return wish.amount.minor
    if wish.items is None:
        return all_of_it
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
        payment.refunding -= refund.of_payment
        if request.outcome.is_refunded:
            refund.provider_reference, refund.paid_note_id = request.outcome.reference, request.note_id
            await _succeed(session, order, payment, refund)
        else:
            refund.status, refund.refusal = RefundStatus.FAILED, request.outcome.refusal
            refund.settled_at = payment.updated_at = order.updated_at = func.now()
            await session.flush()
        await _tell(session, order, refund, actor=request.actor or refund.actor)
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
    owed = [f"{Money(refund.of_payment, order.currency)} for refund {refund.id}" for refund in waiting]
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
        amount=Money(refund.of_payment, order.currency),
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
