"""An order is sent elsewhere than its customer said at first, as long as nothing of it has left."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, Id, Now
from db.orders import Order, check_version, locked, record, state_of
from domain.errors import Refusal, unacceptable
from domain.orders import ChangeAddress, OrderState, OrderStatus, allowed_moves
from domain.taxes import plain

PRICED_BY = ("country", "region", "postal_code")
"""What was paid for shipping and taxes depends on these parts of an address."""


class AddressChange(Base):
    """Somebody's wish; it has come true once it is ``done_at``. Workflows carry its id, and nobody's address."""

    __tablename__ = "address_changes"

    id: Mapped[Id]
    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id"), index=True)
    address: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    """``None`` once the person was forgotten."""
    actor: Mapped[str]
    created_at: Mapped[Now]
    done_at: Mapped[datetime | None]


async def take_in(
    session: AsyncSession, change_id: UUID, order_id: UUID, address: Mapping[str, Any], *, actor: str
) -> None:
    """Write the wish down; refuses ``validation_failed`` for a place where the order would cost something else."""
    order = await locked(session, order_id)
    if order is None:
        raise Refusal("not_found", "There is no such order.")
    for part in PRICED_BY:
        if plain(address.get(part) or "") != plain(order.shipping_address.get(part) or ""):
            raise unacceptable(f"/{part}", "must stay as it is: what shipping and taxes cost depends on it")
    session.add(AddressChange(id=change_id, order_id=order_id, address=dict(address), actor=actor))


async def apply(session: AsyncSession, request: ChangeAddress) -> OrderState:
    """The order goes to the new address; repeats, and the address that it has already, change nothing.

    Refuses ``address_not_changeable`` once something has been shipped, or the order is not confirmed or over, and
    ``precondition_failed``.
    """
    order = await locked(session, request.order_id)
    wish = await session.get(AddressChange, request.change_id, populate_existing=True)
    if order is None or wish is None or wish.order_id != order.id:
        raise Refusal("not_found", "There is no such change of an address.")
    if wish.done_at is not None or wish.address is None:
        return state_of(order)
    await check_version(session, order.id, request.expected)
    await _check_nothing_has_left(session, order)
    is_news = order.shipping_address != wish.address
    order.shipping_address, wish.done_at = wish.address, func.now()
    if is_news:
        order.updated_at = func.now()
        await session.flush()
        await record(session, order.id, "order.address_changed", actor=request.actor, data={"change_id": wish.id})
    return state_of(order)


async def _check_nothing_has_left(session: AsyncSession, order: Order) -> None:
    has_left = await session.scalar(HAS_LEFT, {"order_id": order.id})
    if has_left or order.status != OrderStatus.CONFIRMED:
        raise not_changeable(OrderStatus(order.status), has_left=bool(has_left))


HAS_LEFT = text("SELECT EXISTS (SELECT FROM fulfillments WHERE order_id = :order_id AND shipped_at IS NOT NULL)")


def not_changeable(status: OrderStatus, *, has_left: bool = False) -> Refusal:
    return Refusal(
        "address_not_changeable",
        "Only the address of a confirmed order of which nothing has been shipped can be changed.",
        current_status=str(status),
        allowed=allowed_moves(status, but=OrderStatus.CANCELLED if has_left else None),
    )
