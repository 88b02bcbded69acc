"""Concerns: why an order needs a person, since when, and when that was settled."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, Now
from domain.attention import Concern


class OrderConcern(Base):
    """An order can have several concerns at once, each of them once."""

    __tablename__ = "concerns"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id"))
    concern: Mapped[str]
    detail: Mapped[str]
    since: Mapped[Now]
    settled_at: Mapped[datetime | None]

    __table_args__ = (
        Index("uq_concerns_open", "order_id", "concern", unique=True, postgresql_where=text("settled_at IS NULL")),
    )


async def voice(session: AsyncSession, order_id: UUID, concern: Concern, detail: str) -> bool:
    """Open the concern, or say it in other words; false when exactly that is open already."""
    changed = await session.execute(VOICE, {"order_id": order_id, "concern": concern, "detail": detail})
    return changed.first() is not None


VOICE = text(
    """
    INSERT INTO concerns (order_id, concern, detail) VALUES (:order_id, :concern, :detail)
    ON CONFLICT (order_id, concern) WHERE settled_at IS NULL DO UPDATE SET detail = excluded.detail
    WHERE concerns.detail <> excluded.detail
    RETURNING id
    """
)


async def settle(session: AsyncSession, order_id: UUID, concern: Concern | None = None) -> bool:
    """Close the concern, or all but a dispute, which outlives its order; false when there is none."""
    settled = await session.execute(SETTLE, {"order_id": order_id, "concern": concern})
    return settled.first() is not None


SETTLE = text(
    """
    UPDATE concerns SET settled_at = now()
    WHERE order_id = :order_id AND settled_at IS NULL
      AND CASE WHEN CAST(:concern AS text) IS NULL THEN concern <> 'payment_disputed'
               ELSE concern = CAST(:concern AS text) END
    RETURNING id
    """
)


async def is_open(session: AsyncSession, order_id: UUID, concern: Concern) -> bool:
    found = await session.scalar(IS_OPEN, {"order_id": order_id, "concern": concern})
    return bool(found)


IS_OPEN = text(
    "SELECT EXISTS (SELECT FROM concerns WHERE order_id = :order_id AND concern = :concern AND settled_at IS NULL)"
)


async def open_orders(session: AsyncSession) -> dict[Concern, int]:
    """How many orders have each concern, of those that any order has."""
    rows = await session.execute(
        text("SELECT concern, count(*) AS orders FROM concerns WHERE settled_at IS NULL GROUP BY concern")
    )
    return {Concern(row.concern): row.orders for row in rows}


async def first_open(session: AsyncSession, order_id: UUID) -> str | None:
    """What the oldest open concern says."""
    found: str | None = await session.scalar(
        text("SELECT detail FROM concerns WHERE order_id = :id AND settled_at IS NULL ORDER BY id LIMIT 1"),
        {"id": order_id},
    )
    return found
