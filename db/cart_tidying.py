"""Carts that nobody comes back to are removed, a few at a time; one that was ever checked out never is."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.cart_tidying import TidyCarts

AT_A_TIME = 500


@dataclass(frozen=True, kw_only=True)
class Removed:
    """A batch, and the last cart that was looked at."""

    carts: int
    is_last: bool
    created_at: datetime
    cart_id: UUID


BEGINNING = Removed(carts=0, is_last=False, created_at=datetime(1970, 1, 1, tzinfo=UTC), cart_id=UUID(int=0))


async def remove(
    session: AsyncSession, ages: TidyCarts, *, now: datetime, behind: Removed = BEGINNING, most: int = AT_A_TIME
) -> Removed:
    """The carts behind this position whose time is over; those that somebody is changing wait for the next time."""
    ends = {
        "empty": now - timedelta(seconds=ages.empty_seconds),
        "guests": now - timedelta(seconds=ages.guest_seconds),
        "customers": now - timedelta(seconds=ages.customer_seconds),
    }
    position = {"after_at": behind.created_at, "after_id": behind.cart_id, "most": most}
    found = await session.execute(REMOVE, {**ends, "newest": max(ends.values()), **position})
    rows = found.all()
    if not rows:
        return replace(behind, carts=0, is_last=True)
    last = max(rows)
    return Removed(carts=len(rows), is_last=len(rows) < most, created_at=last.created_at, cart_id=last.id)


REMOVE = text(
    """
    WITH outdated AS (
        SELECT id FROM carts
        WHERE order_id IS NULL AND (created_at, id) > (:after_at, CAST(:after_id AS uuid)) AND created_at <= :newest
          AND updated_at <= CASE
              WHEN line_count = 0 THEN CAST(:empty AS timestamptz) WHEN user_id IS NULL THEN :guests ELSE :customers
          END
          AND NOT EXISTS (SELECT FROM checkouts WHERE checkouts.cart_id = carts.id)
        ORDER BY created_at, id LIMIT :most FOR UPDATE SKIP LOCKED
    )
    DELETE FROM carts USING outdated WHERE carts.id = outdated.id RETURNING carts.created_at, carts.id
    """
)
"""Found by when they were made, which is never later than they were changed and stays as it is: what is changed with a
cart is then in no index of it, and is written beside it."""
