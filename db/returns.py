"""Returns: which units come back, and what became of them. Each function is one step of one transaction."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from db import inventory, refunds
from db.base import Base, Id, Now, one_of
from db.orders import Order, attend, locked, record
from db.refunds import RefundWish
from domain.attention import Concern
from domain.deadlines import Term
from domain.errors import Refusal
from domain.orders import OrderAttention, number_of
from domain.refunds import RefundStatus
from domain.returns import (
    DecideReturn,
    FollowReturn,
    OrderReturnStatus,
    ReceivedUnits,
    ReceiveReturn,
    ReturnState,
    ReturnStatus,
    SettleReturn,
    check_move,
    check_move_of_order,
    status_of_order,
)


class Return(Base):
    __tablename__ = "returns"

    id: Mapped[Id]
    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id"), index=True)
    status: Mapped[str] = mapped_column(server_default=ReturnStatus.REQUESTED)
    refund_id: Mapped[UUID | None] = mapped_column(ForeignKey("refunds.id"))
    created_at: Mapped[Now]
    updated_at: Mapped[Now]

    __table_args__ = (
        CheckConstraint(one_of("status", ReturnStatus), name="status"),
        Index("ix_returns_requested", "created_at", postgresql_where=text("status = 'requested'")),
    )


class ReturnItem(Base):
    __tablename__ = "return_items"

    return_id: Mapped[UUID] = mapped_column(ForeignKey("returns.id"), primary_key=True)
    order_line_id: Mapped[UUID] = mapped_column(ForeignKey("order_lines.id"), primary_key=True, index=True)
    quantity: Mapped[int]
    reason: Mapped[str]
    """In the customer's words; it stays in this table."""
    received: Mapped[int] = mapped_column(server_default=text("0"))
    restocked: Mapped[int] = mapped_column(server_default=text("0"))

    __table_args__ = (
        CheckConstraint("quantity > 0", name="quantity_positive"),
        CheckConstraint("restocked BETWEEN 0 AND received AND received <= quantity", name="received_within_announced"),
    )


@dataclass(frozen=True, kw_only=True)
class WantedReturn:
    quantity: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class ReturnWish:
    return_id: UUID
    order_id: UUID
    items: Mapping[UUID, WantedReturn]
    term: Term
    """How long after its delivery a parcel's units may come back."""
    actor: str


async def request(session: AsyncSession, wish: ReturnWish) -> Return:
    """Note that units shall come back; the same return again when it was noted before.

    Refuses ``units_not_returnable`` for units that were not delivered, too long ago, or are coming back already.
    """
    order = await _locked(session, wish.order_id)
    if known := await session.get(Return, wish.return_id):
        return known
    since = None if order.closed_at else wish.term.reaches_back_to(await session.scalar(NOW))
    rows = await session.execute(RETURNABLE, {"order_id": order.id, "since": since})
    returnable = {row.id: max(row.returnable, 0) for row in rows}
    too_many = [
        {"order_item_id": str(line), "returnable": returnable.get(line, 0)}
        for line, wanted in wish.items.items()
        if wanted.quantity > returnable.get(line, 0)
    ]
    if too_many:
        raise Refusal("units_not_returnable", "These units cannot be returned (any more).", items=too_many)
    made = Return(id=wish.return_id, order_id=order.id)
    session.add(made)
    await session.flush()
    for line, wanted in wish.items.items():
        session.add(ReturnItem(return_id=made.id, order_line_id=line, quantity=wanted.quantity, reason=wanted.reason))
    await session.flush()
    await follow(session, order)
    units = sum(wanted.quantity for wanted in wish.items.values())
    await record(session, order.id, "return.requested", actor=wish.actor, data={"return_id": made.id, "units": units})
    await session.refresh(made)
    return made


NOW = text("SELECT now()")

RETURNABLE = text(
    """
    SELECT order_lines.id,
           coalesce((
               SELECT sum(fulfillment_items.quantity)
               FROM fulfillment_items JOIN fulfillments ON fulfillments.id = fulfillment_items.fulfillment_id
               WHERE fulfillment_items.order_line_id = order_lines.id AND fulfillments.status = 'delivered'
                 AND fulfillments.delivered_at >= CAST(:since AS timestamptz)
           ), 0)::int - coalesce((
               SELECT sum(return_items.quantity) FROM return_items JOIN returns ON returns.id = return_items.return_id
               WHERE return_items.order_line_id = order_lines.id AND returns.status <> 'rejected'
           ), 0)::int AS returnable
    FROM order_lines WHERE order_lines.order_id = :order_id
    """
)


async def decide(session: AsyncSession, request: DecideReturn) -> ReturnState:
    """Approve or reject; content when that was decided before."""
    order = await _locked(session, request.order_id)
    made = await _return(session, order, request.return_id)
    if made.status != request.decision:
        check_move(ReturnStatus(made.status), request.decision)
        await _move(session, order, made, request.decision, actor=request.actor)
    return ReturnState(return_id=made.id, status=ReturnStatus(made.status))


async def receive(session: AsyncSession, request: ReceiveReturn) -> ReturnState:
    """Resellable units go back into the stock, and what was paid for all of them is set aside to be refunded.

    The same state again when it was received before, with a new refund when the last one was refused. Refuses
    ``units_not_returnable`` for units that nobody announced.
    """
    order = await _locked(session, request.order_id)
    made = await _return(session, order, request.return_id)
    if made.status in (ReturnStatus.RECEIVED, ReturnStatus.REFUNDED):
        if made.refund_id != request.refund_id and await _is_refused(session, made):
            await _set_refund_aside(session, made, request)
        return await _state(session, made)
    check_move(ReturnStatus(made.status), ReturnStatus.RECEIVED)
    announced = {
        item.order_line_id: item
        for item in await session.scalars(select(ReturnItem).where(ReturnItem.return_id == made.id).with_for_update())
    }
    parcel = request.items or [
        ReceivedUnits(order_line_id=line, quantity=item.quantity) for line, item in announced.items()
    ]
    for units in parcel:
        item = announced.get(units.order_line_id)
        if item is None or item.received + units.quantity > item.quantity:
            raise Refusal(
                "units_not_returnable",
                "More units than were announced.",
                items=[{"order_item_id": str(line), "returnable": item.quantity} for line, item in announced.items()],
            )
        item.received += units.quantity
        item.restocked += units.quantity if units.is_resellable else 0
    await session.flush()
    await _restock(session, order, announced, actor=request.actor)
    await _set_refund_aside(session, made, request)
    await _move(session, order, made, ReturnStatus.RECEIVED, actor=request.actor)
    return await _state(session, made)


async def _is_refused(session: AsyncSession, made: Return) -> bool:
    if made.status == ReturnStatus.REFUNDED or made.refund_id is None:
        return False
    refund = await session.get_one(refunds.Refund, made.refund_id, populate_existing=True)
    return refund.status == RefundStatus.FAILED


async def _set_refund_aside(session: AsyncSession, made: Return, request: ReceiveReturn) -> None:
    received = await session.scalars(select(ReturnItem).where(ReturnItem.return_id == made.id, ReturnItem.received > 0))
    refund = await refunds.request_worth_of(
        session,
        RefundWish(
            refund_id=request.refund_id,
            order_id=made.order_id,
            reason=RETURN,
            actor=request.actor,
            items={item.order_line_id: item.received for item in received},
        ),
    )
    made.refund_id = refund.id if refund else None
    await session.flush()


RETURN = "return"
"""Why the money of a return goes back."""


async def _restock(session: AsyncSession, order: Order, items: Mapping[UUID, ReturnItem], *, actor: str) -> None:
    rows = await session.execute(
        text("SELECT id, variant_id FROM order_lines WHERE id = ANY(:lines)"), {"lines": list(items)}
    )
    units: dict[UUID, int] = {}
    for row in rows:
        units[row.variant_id] = units.get(row.variant_id, 0) + items[row.id].restocked
    await inventory.restock(
        session, order.id, {variant: quantity for variant, quantity in units.items() if quantity}, actor=actor
    )


async def settle(session: AsyncSession, request: SettleReturn) -> ReturnState:
    order = await _locked(session, request.order_id)
    made = await _return(session, order, request.return_id)
    if made.status != ReturnStatus.REFUNDED:
        check_move(ReturnStatus(made.status), ReturnStatus.REFUNDED)
        await _move(session, order, made, ReturnStatus.REFUNDED, actor=request.actor)
        if not await session.scalar(IS_STILL_REFUSED, {"order_id": order.id, "return": RETURN}):
            await attend(session, OrderAttention(order_id=order.id, concern=Concern.REFUND_FAILED, detail=None))
    return ReturnState(return_id=made.id, status=ReturnStatus(made.status))


IS_STILL_REFUSED = text(
    """
    SELECT EXISTS (SELECT FROM refunds WHERE order_id = :order_id AND status = 'failed' AND reason <> :return)
        OR EXISTS (
            SELECT FROM returns JOIN refunds ON refunds.id = returns.refund_id
            WHERE returns.order_id = :order_id AND returns.status = 'received' AND refunds.status = 'failed'
        )
    """
)
"""Other refunds of the order may have been refused, too; of those a person says that they are seen to."""


async def refused(session: AsyncSession, order_id: UUID) -> list[UUID]:
    """Returns whose goods are here, and whose refund the provider has refused."""
    return list(await session.scalars(REFUSED, {"order_id": order_id}))


REFUSED = text(
    """
    SELECT returns.id FROM returns JOIN refunds ON refunds.id = returns.refund_id
    WHERE returns.order_id = :order_id AND returns.status = 'received' AND refunds.status = 'failed'
    ORDER BY returns.id
    """
)


async def _move(session: AsyncSession, order: Order, made: Return, to: ReturnStatus, *, actor: str) -> None:
    made.status, made.updated_at = to, func.now()
    await session.flush()
    await follow(session, order)
    await record(session, order.id, f"return.{to}", actor=actor, data={"return_id": made.id})


async def follow(session: AsyncSession, order: Order) -> None:
    """Say on the order how far it has come back, of all that its customer still wanted and got."""
    found = (await session.execute(COME_BACK, {"order_id": order.id})).one()
    after = status_of_order(
        [ReturnStatus(status) for status in found.statuses], returned=found.returned, wanted=found.wanted
    )
    check_move_of_order(OrderReturnStatus(order.return_status), after)
    order.return_status, order.updated_at = after, func.now()
    await session.flush()


COME_BACK = text(
    """
    SELECT coalesce(array_agg(returns.status), '{}') AS statuses,
           coalesce(sum(items.received) FILTER (WHERE returns.status = 'refunded'), 0)::int AS returned,
           (SELECT sum(quantity - cancelled) FROM order_lines WHERE order_id = :order_id)::int - coalesce((
               SELECT sum(fulfillment_items.quantity)
               FROM fulfillments JOIN fulfillment_items ON fulfillment_items.fulfillment_id = fulfillments.id
               WHERE fulfillments.order_id = :order_id AND fulfillments.remedy = 'refund'
           ), 0)::int AS wanted
    FROM returns CROSS JOIN LATERAL (
        SELECT sum(received) AS received FROM return_items WHERE return_items.return_id = returns.id
    ) AS items
    WHERE returns.order_id = :order_id
    """
)


async def _state(session: AsyncSession, made: Return) -> ReturnState:
    if made.refund_id is None or made.status == ReturnStatus.REFUNDED:
        return ReturnState(return_id=made.id, status=ReturnStatus(made.status))
    refund = await session.get_one(refunds.Refund, made.refund_id)
    return ReturnState(
        return_id=made.id,
        status=ReturnStatus(made.status),
        refund=await refunds.to_pay_back(session, refund) if refund.asks_somebody else None,
    )


async def _locked(session: AsyncSession, order_id: UUID) -> Order:
    order = await locked(session, order_id)
    if order is None:
        raise Refusal("not_found", "There is no such order.")
    return order


async def _return(session: AsyncSession, order: Order, return_id: UUID) -> Return:
    made = await session.get(Return, return_id, populate_existing=True)
    if made is None or made.order_id != order.id:
        raise Refusal("not_found", "There is no such return.")
    return made


async def status_of(session: AsyncSession, return_id: UUID) -> ReturnStatus:
    made = await session.get_one(Return, return_id)
    return ReturnStatus(made.status)


async def order_of(session: AsyncSession, return_id: UUID) -> UUID | None:
    return await session.scalar(select(Return.order_id).where(Return.id == return_id))


async def undecided(session: AsyncSession, *, older_than: float, except_for: Collection[UUID]) -> list[FollowReturn]:
    """Returns that were asked for so many seconds ago and that nobody has decided on; the oldest first."""
    rows = await session.execute(UNDECIDED, {"age": older_than, "except_for": list(except_for)})
    return [FollowReturn(return_id=row.id, order_id=row.order_id, order_number=number_of(row.number)) for row in rows]


UNDECIDED = text(
    """
    SELECT returns.id, returns.order_id, orders.number
    FROM returns JOIN orders ON orders.id = returns.order_id
    WHERE returns.status = 'requested' AND returns.created_at < now() - make_interval(secs => :age)
      AND returns.id <> ALL(CAST(:except_for AS uuid[]))
    ORDER BY returns.created_at LIMIT 200
    """
)
