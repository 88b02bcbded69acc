"""Orders of guests find the account of the person who can read the mailbox that they were ordered with."""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from db import orders


async def claim_guest_orders(session: AsyncSession, user_id: UUID) -> int:
    """Make the orders of guests with the account's verified address its own; how many there were.

    Whoever holds the cart of such an order still sees it.
    """
    found = (await session.scalars(UNCLAIMED, {"user_id": user_id})).all()
    for order_id in found:
        await session.execute(CLAIM, {"order_id": order_id, "user_id": user_id})
        await orders.record(session, order_id, "order.claimed", actor=f"customer:{user_id}")
    return len(found)


UNCLAIMED = text(
    """
    SELECT orders.id FROM orders JOIN users ON lower(users.email) = lower(orders.email)
    WHERE users.id = :user_id AND users.status = 'active' AND orders.user_id IS NULL
    ORDER BY orders.id FOR UPDATE OF orders
    """
)

CLAIM = text("UPDATE orders SET user_id = :user_id, claimed_at = now(), updated_at = now() WHERE id = :order_id")
