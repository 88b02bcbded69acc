"""Units that are given up before they are sent: the goods are free again, and less is captured."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Row, func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from db import credit, deadlines, inventory, parcels, refunds
from db.base import Base, Id, Now
from db.orders import Order, OrderLine, check_version, locked, record, worth_of_cancelled
from db.refunds import Refund, RefundWish
from db.shipping import Fulfillment, FulfillmentItem
from domain.errors import Refusal
from domain.money import Money
from domain.orders import OrderStatus, allowed_moves
from domain.payments import PaymentStatus
from domain.shipping import CancelUnits, FulfillmentStatus, OrderFulfillmentStatus, UnitsCancelled


class Cancellation(Base):
    """Somebody's wish to cancel units of an order; it has come true once it is ``done_at``."""

    __tablename__ = "cancellations"

    id: Mapped[Id]
    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id"), index=True)
    reason: Mapped[str]
    """In the words of whoever asked; it stays in this table."""
    actor: Mapped[str]
    created_at: Mapped[Now]
    done_at: Mapped[datetime | None]


class CancellationItem(Base):
    """Units that a cancellation has given up."""

    __tablename__ = "cancellation_items"

    cancellation_id: Mapped[UUID] = mapped_column(ForeignKey("cancellations.id"), primary_key=True)
    order_line_id: Mapped[UUID] = mapped_column(ForeignKey("order_lines.id"), primary_key=True, index=True)
    quantity: Mapped[int]

    __table_args__ = (CheckConstraint("quantity > 0", name="quantity_positive"),)


@dataclass(frozen=True, kw_only=True)
class CancellationWish:
    cancellation_id: UUID
    order_id: UUID
    reason: str
    actor: str


async def take_in(session: AsyncSession, wish: CancellationWish) -> Cancellation:
    """Write the wish down; the same one again when that was done before."""
    await locked(session, wish.order_id)  # twins wait here for each other
    if known := await session.get(Cancellation, wish.cancellation_id):
        return known
    made = Cancellation(id=wish.cancellation_id, order_id=wish.order_id, reason=wish.reason, actor=wish.actor)
    session.add(made)
    await session.flush()
    await session.refresh(made)
    return made


async def cancel_units(session: AsyncSession, request: CancelUnits) -> UnitsCancelled:
    """Give the units up, unpacking parcels that carry them; repeats change nothing.

    Refuses ``units_not_cancellable`` for units that have left, ``order_not_cancellable`` for an order that is over
    or not paid for yet, and ``precondition_failed``.
    """
    order = await locked(session, request.order_id)
    wish = await session.get(Cancellation, request.cancellation_id, populate_existing=True)
    if order is None or wish is None or wish.order_id != order.id:
        raise Refusal("not_found", "There is no such cancellation.")
    if wish.done_at is not None:
        return await _state(session, order, wish)
    await check_version(session, order.id, request.expected)
    if order.status != OrderStatus.CONFIRMED:
        raise Refusal(
            "order_not_cancellable",
            f"Units of an order that is {order.status} cannot be cancelled.",
            current_status=order.status,
            allowed=allowed_moves(OrderStatus(order.status), but=OrderStatus.CANCELLED),
        )
    wanted = {unit.order_line_id: unit.quantity for unit in request.items}
    lines = {row.id: row for row in await session.execute(OPEN_UNITS, {"order_id": order.id})}
    _check_are_here(wanted, lines)
    if order.fulfillment_status == OrderFulfillmentStatus.UNFULFILLED and all(
        wanted.get(line, 0) == row.waiting + row.packed for line, row in lines.items()
    ):
        return await _state(session, order, wish, is_everything=True)
    await _unpack(session, order, wanted, lines, request.actor)
    before = await worth_of_cancelled(session, order.id)
    await _give_up(session, order, wish, wanted, lines)
    await parcels.forget_charges(session, order.id)
    given_up = await worth_of_cancelled(session, order.id)
    worth = Money(given_up - before, order.currency)
    owed = await refunds.owed_for_cancelled_units(session, order.id, worth)
    credit_back = 0 if owed.minor else await _give_credit_back(session, order, wish, given_up)
    await record(
        session,
        order.id,
        "order.units_cancelled",
        actor=request.actor,
        data={
            "cancellation_id": wish.id,
            "units": sum(wanted.values()),
            "amount": worth.minor,
            "currency": order.currency,
        },
        also_told={
            "items": [{"order_item_id": line, "quantity": units} for line, units in wanted.items()],
            "credit_back": credit_back,
        },
    )
    await parcels.follow(session, order, request.actor)
    if owed.minor:
        refund = RefundWish(refund_id=wish.id, order_id=order.id, reason="units_cancelled", actor=request.actor)
        await refunds.request_for_cancelled_units(session, refund, owed)
    return await _state(session, order, wish)


OPEN_UNITS = text(
    """
    SELECT order_lines.id, order_lines.variant_id, order_lines.unit_price,
           coalesce(units.packed, 0) AS packed,
           order_lines.quantity - order_lines.cancelled - coalesce(units.packed + units.sent, 0) AS waiting
    FROM order_lines LEFT JOIN (
        SELECT fulfillment_items.order_line_id,
               sum(CASE WHEN parcels.is_ours THEN fulfillment_items.quantity ELSE 0 END)::int AS packed,
               sum(CASE WHEN parcels.is_ours THEN 0 ELSE fulfillment_items.quantity END)::int AS sent
        FROM fulfillment_items JOIN (
            SELECT id, status = 'pending' AND replaces_id IS NULL AS is_ours FROM fulfillments
            WHERE order_id = :order_id AND (status <> 'cancelled' OR remedy = 'refund')
        ) AS parcels ON parcels.id = fulfillment_items.fulfillment_id
        GROUP BY fulfillment_items.order_line_id
    ) AS units ON units.order_line_id = order_lines.id
    WHERE order_lines.order_id = :order_id
    ORDER BY order_lines.position
    """
)


def _check_are_here(wanted: dict[UUID, int], lines: dict[UUID, Row[tuple[object, ...]]]) -> None:
    missing = [
        {"order_item_id": str(line), "cancellable": lines[line].waiting + lines[line].packed if line in lines else 0}
        for line, quantity in wanted.items()
        if line not in lines or quantity > lines[line].waiting + lines[line].packed
    ]
    if missing:
        raise Refusal("units_not_cancellable", "These units have been sent, or were cancelled before.", items=missing)


async def _unpack(
    session: AsyncSession,
    order: Order,
    wanted: dict[UUID, int],
    lines: dict[UUID, Row[tuple[object, ...]]],
    actor: str,
) -> None:
    """Open as few parcels as it takes to get at the units, the newest first."""
    short = Counter({line: quantity - lines[line].waiting for line, quantity in wanted.items()})
    if max(short.values()) <= 0:
        return
    packed = await session.scalars(
        select(Fulfillment)
        .where(
            Fulfillment.order_id == order.id,
            Fulfillment.status == FulfillmentStatus.PENDING,
            Fulfillment.replaces_id.is_(None),
        )
        .order_by(Fulfillment.id.desc())
    )
    for parcel in packed:
        contents = await session.execute(
            select(FulfillmentItem.order_line_id, FulfillmentItem.quantity).where(
                FulfillmentItem.fulfillment_id == parcel.id
            )
        )
        units = {row.order_line_id: row.quantity for row in contents}
        if any(short[line] > 0 for line in units):
            await parcels.unpack(session, parcel, actor)
            short.subtract(units)


async def _give_up(
    session: AsyncSession,
    order: Order,
    wish: Cancellation,
    wanted: dict[UUID, int],
    lines: dict[UUID, Row[tuple[object, ...]]],
) -> None:
    units: Counter[UUID] = Counter()
    for line, quantity in wanted.items():
        units[lines[line].variant_id] += quantity
        found = await session.get_one(OrderLine, line, populate_existing=True)
        found.cancelled += quantity
    await inventory.release_units(session, order.id, units, actor=wish.actor)
    wish.done_at = order.updated_at = func.now()
    await session.flush()
    await session.execute(
        insert(CancellationItem).values(
            [
                {"cancellation_id": wish.id, "order_line_id": line, "quantity": quantity}
                for line, quantity in wanted.items()
            ]
        )
    )


async def _give_credit_back(session: AsyncSession, order: Order, wish: Cancellation, given_up: int) -> int:
    """What gift cards and store credit have paid of the order beyond what is still wanted of it."""
    keeps = order.total - given_up if await parcels.is_anything_wanted(session, order.id) else 0
    return await credit.give_back(session, order.id, why=f"cancellation/{wish.id}", keeps=keeps, actor=wish.actor)


async def _state(
    session: AsyncSession, order: Order, wish: Cancellation, *, is_everything: bool = False
) -> UnitsCancelled:
    unpacked = await session.scalars(
        select(Fulfillment.id)
        .where(Fulfillment.order_id == order.id, Fulfillment.status == FulfillmentStatus.CANCELLED)
        .order_by(Fulfillment.id)
    )
    waiting = sum((await parcels.waiting_units(session, order.id)).values())
    refund = await session.get(Refund, wish.id)  # a cancellation has one refund at most, and it has its id
    return UnitsCancelled(
        is_everything=is_everything,
        order_status=OrderStatus(order.status),
        payment_status=PaymentStatus(order.payment_status),
        open_units=waiting,
        unpacked=list(unpacked),
        is_complete=order.status != OrderStatus.CONFIRMED,
        waits=await deadlines.waits(session, order.id),
        refund=await refunds.to_pay_back(session, refund) if refund and refund.asks_somebody else None,
    )
