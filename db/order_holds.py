"""Orders of which nothing may leave until somebody has looked into them."""

from sqlalchemy import func
from sqlalchemy.ext.asyncio import AsyncSession

from db import deadlines
from db.orders import Order, check_version, locked, record
from domain.errors import Refusal
from domain.orders import OrderStatus, allowed_moves
from domain.shipping import HoldOrder, OrderHold, ReleaseOrder


async def hold(session: AsyncSession, request: HoldOrder) -> OrderHold:
    """From now on nothing of the order leaves; content when it is held already, whyever.

    Refuses ``order_transition_not_allowed`` for an order of which nothing is here, and ``precondition_failed``.
    """
    order = await _order(session, request)
    if order.hold_note_id != request.note_id:
        await check_version(session, order.id, request.expected)
    if order.hold_note_id is None:
        if order.status != OrderStatus.CONFIRMED:
            raise Refusal(
                "order_transition_not_allowed",
                f"The order is {order.status}; only one of which something is still here can be held.",
                current_status=order.status,
                allowed=allowed_moves(OrderStatus(order.status)),
            )
        order.hold_note_id, order.updated_at = request.note_id, func.now()
        await session.flush()
        await record(session, order.id, "order.held", actor=request.actor)
    return OrderHold(is_held=True, waits=await deadlines.waits(session, order.id))


async def release(session: AsyncSession, request: ReleaseOrder) -> OrderHold:
    """The order goes on, and whoever has to pack or ship it has the whole time again; content when it is not held.

    Refuses ``precondition_failed``.
    """
    order = await _order(session, request)
    await check_version(session, order.id, request.expected, unless_just=("order.released", request.actor))
    if order.hold_note_id is not None:
        order.hold_note_id, order.updated_at = None, func.now()
        await session.flush()
        await record(session, order.id, "order.released", actor=request.actor)
    return OrderHold(is_held=False, waits=await deadlines.waits(session, order.id))


def check_may_leave(order: Order) -> None:
    """Refuses ``order_held``; why it is held is for the shop's people, and stays in the audit log."""
    if order.hold_note_id is not None:
        raise Refusal("order_held", "The order is held; nothing of it may leave before it is released.")


async def _order(session: AsyncSession, request: HoldOrder | ReleaseOrder) -> Order:
    order = await locked(session, request.order_id)
    if order is None:
        raise Refusal("not_found", "There is no such order.")
    return order
