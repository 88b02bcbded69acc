"""Orders that somebody watches at this moment: what happens to them is told as soon as it is committed.

Nothing is told of the others, for a NOTIFY makes transactions commit one after the other.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base
from db.listening import Channel, Reader
from db.order_views import events
from domain.orders import OrderStatus, is_final

LEASE_SECONDS = 60
"""How long an order is told of for whoever says no more that it is watched, since its process has died."""


class WatchedOrder(Base):
    """Nothing that is worth a log: after a crash whoever watches says so again."""

    __tablename__ = "watched_orders"

    order_id: Mapped[UUID] = mapped_column(primary_key=True)
    until: Mapped[datetime]

    __table_args__ = {"prefixes": ["UNLOGGED"]}  # noqa: RUF012 (SQLAlchemy's own form)


@dataclass(frozen=True, slots=True)
class Standing:
    """How far an order is."""

    newest: int
    """The sequence number of its newest event, 0 before the first."""
    is_final: bool


def order_news(shop_schema: str, readers: Sequence[Reader[UUID]]) -> Channel[UUID]:
    return Channel(f"orders_{shop_schema}", UUID, readers)


async def watch(session: AsyncSession, orders: Collection[UUID]) -> None:
    """Have it told what happens to these orders, for a while from now on.

    A transaction that is under way is not told of, so look once more when it must be over.
    """
    await session.execute(WATCH, {"orders": list(orders), "seconds": LEASE_SECONDS})


WATCH = text(
    """
    INSERT INTO watched_orders (order_id, until)
    SELECT order_id, now() + make_interval(secs => :seconds)
    FROM unnest(CAST(:orders AS uuid[])) AS watched (order_id) ORDER BY order_id
    ON CONFLICT (order_id) DO UPDATE SET until = excluded.until
    WHERE watched_orders.until < now() + make_interval(secs => :seconds) / 2
    """
)


async def forget(session: AsyncSession) -> None:
    """Remove what nobody has watched for some time."""
    await session.execute(FORGET)


FORGET = text(
    """
    DELETE FROM watched_orders WHERE order_id IN (
        SELECT order_id FROM watched_orders WHERE until < now() ORDER BY order_id FOR UPDATE SKIP LOCKED
    )
    """
)


async def standings(session: AsyncSession, orders: Collection[UUID]) -> dict[UUID, Standing]:
    rows = await session.execute(STANDINGS, {"orders": list(orders)})
    return {row.order_id: Standing(row.newest, is_final(OrderStatus(row.status))) for row in rows}


STANDINGS = text(
    """
    SELECT asked.order_id,
           coalesce((SELECT max(sequence) FROM order_events WHERE order_events.order_id = asked.order_id), 0) AS newest,
           coalesce(orders.status, CASE WHEN checkouts.is_refused THEN 'cancelled' ELSE 'pending' END) AS status
    FROM unnest(CAST(:orders AS uuid[])) AS asked (order_id)
    LEFT JOIN orders ON orders.id = asked.order_id
    LEFT JOIN checkouts ON checkouts.order_id = asked.order_id
    """
)


async def news(
    session: AsyncSession, order_id: UUID, *, after: int, limit: int
) -> tuple[Standing, Sequence[RowMapping]]:
    """How far the order is, and what happened to it since that event, with all that has made it so."""
    standing = (await standings(session, [order_id]))[order_id]
    return standing, await events(session, order_id, after=after, limit=limit)
