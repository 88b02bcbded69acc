"""The outbox: what the rest of the company must hear, written by the transaction that made it true.

Rows are numbered as they are written, and a transaction that took its number first may be committed last. So an event
gets its place only once it is committed, from whoever publishes: one at a time, without a gap. Whoever reads from a
place on misses nothing, however late the others commit.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Identity, Index, SmallInteger, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, Now, new_id
from db.listening import Channel, Reader
from db.tracing import traceparent
from domain.events import Published, as_told, version_of

PUBLISHED = "published"
"""The cursor that says which place was given last."""


class OutboxEvent(Base):
    __tablename__ = "outbox"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    event_id: Mapped[UUID] = mapped_column(default=new_id)
    type: Mapped[str]
    version: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    """Of what the payload promises; 0 for what was told before there were versions."""
    key: Mapped[str]
    """Events with the same key keep their order."""
    payload: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[Now]
    published_at: Mapped[datetime | None]
    position: Mapped[int | None] = mapped_column(BigInteger)
    """Its place among all events, given when it is published."""
    traceparent: Mapped[str | None]
    """In which trace it happened; ``None`` where nobody traces."""

    __table_args__ = (
        Index("ix_outbox_unpublished", "id", postgresql_where=text("published_at IS NULL")),
        Index("uq_outbox_position", "position", unique=True, postgresql_where=text("position IS NOT NULL")),
        Index("uq_outbox_event_id", "event_id", unique=True),
        Index("ix_outbox_key_id", "key", "id"),
        CheckConstraint("traceparent ~ '^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$'", name="traceparent_is_one"),
        CheckConstraint("(position IS NULL) = (published_at IS NULL)", name="published_has_position"),
    )


class EventCursor(Base):
    """How far somebody is: ``published`` gives the places, the others carry events to where they are named after."""

    __tablename__ = "event_cursors"

    name: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    is_waiting: Mapped[bool] = mapped_column(server_default=text("false"))
    """Whoever publishes sleeps: the next event wakes it."""
    moved_at: Mapped[Now]

    __table_args__ = (CheckConstraint("position >= 0", name="position_not_negative"),)


async def tell(session: AsyncSession, happened: str, key: str, facts: Mapping[str, Any]) -> None:
    """Tell of what is no order's."""
    told = {
        "id": new_id(),
        "type": happened,
        "version": version_of(happened),
        "key": key,
        "data": json.dumps(as_told(facts), default=str),
        "traceparent": traceparent(),
    }
    await session.execute(TELL, told)


TELL = text(
    """
    INSERT INTO outbox (event_id, type, version, key, payload, traceparent)
    VALUES (:id, :type, :version, :key, CAST(:data AS jsonb), :traceparent)
    """
)


async def publish(session: AsyncSession, *, most: int) -> Counter[str]:
    """Give the oldest committed events that have none yet their places; how many there were of each type.

    Nobody else does meanwhile. Events of one key were written one after the other, so they stay in that order.
    """
    last = await session.scalar(LOCK_CURSOR, {"name": PUBLISHED})
    return Counter((await session.scalars(PUBLISH, {"last": last, "most": most})).all())


LOCK_CURSOR = text("SELECT position FROM event_cursors WHERE name = :name FOR UPDATE")

PUBLISH = text(
    """
    WITH fresh AS (
        SELECT id, row_number() OVER (ORDER BY id) AS place
        FROM (SELECT id FROM outbox WHERE published_at IS NULL ORDER BY id LIMIT :most) AS oldest
    ), moved AS (
        UPDATE event_cursors SET position = position + (SELECT count(*) FROM fresh), moved_at = now()
        WHERE name = 'published' AND EXISTS (SELECT FROM fresh)
    )
    UPDATE outbox SET position = :last + fresh.place, published_at = now()
    FROM fresh WHERE outbox.id = fresh.id RETURNING outbox.type
    """
)


LONGEST_PAUSE_MS = 60_000
"""How long a bundle may be on its way, at most."""


async def begin_carrying(session: AsyncSession, name: str) -> int:
    """Up to where events were carried there. Nobody else carries any there before the transaction ends.

    Postgres ends that of a worker which froze in the middle, so that another one can go on.
    """
    await session.execute(text(f"SET LOCAL idle_in_transaction_session_timeout = {LONGEST_PAUSE_MS}"))
    await session.execute(
        text("INSERT INTO event_cursors (name) VALUES (:name) ON CONFLICT DO NOTHING"), {"name": name}
    )
    return int(await session.scalar(LOCK_CURSOR, {"name": name}) or 0)


async def carried(session: AsyncSession, name: str, *, up_to: int) -> None:
    await session.execute(
        text("UPDATE event_cursors SET position = :position, moved_at = now() WHERE name = :name"),
        {"name": name, "position": up_to},
    )


async def published(
    session: AsyncSession,
    *,
    after: int = 0,
    most: int,
    types: Sequence[str] = (),
    key: str | None = None,
    within: tuple[datetime, datetime] | None = None,
) -> list[Published]:
    """The events behind a place, in their order; ``within`` a time from its beginning until just before its end."""
    wanted = select(*TOLD).where(OutboxEvent.position > after).order_by(OutboxEvent.position).limit(most)
    if types:
        wanted = wanted.where(OutboxEvent.type.in_(types))
    if key is not None:
        wanted = wanted.where(OutboxEvent.key == key)
    if within is not None:
        wanted = wanted.where(OutboxEvent.created_at >= within[0], OutboxEvent.created_at < within[1])
    return [Published(**row) for row in (await session.execute(wanted)).mappings()]


TOLD = (
    OutboxEvent.position,
    OutboxEvent.event_id.label("id"),
    OutboxEvent.type,
    OutboxEvent.version,
    OutboxEvent.key,
    OutboxEvent.payload.label("data"),
    OutboxEvent.created_at.label("at"),
    OutboxEvent.traceparent,
)


async def place_of(session: AsyncSession, event_id: UUID) -> int | None:
    """``None`` for an event that is not kept, or not published."""
    place: int | None = await session.scalar(select(OutboxEvent.position).where(OutboxEvent.event_id == event_id))
    return place


async def wait(session: AsyncSession, *, is_waiting: bool) -> None:
    """Ask the next event to wake whoever publishes, or no event any more."""
    await session.execute(
        text(
            "UPDATE event_cursors SET is_waiting = :is_waiting WHERE name = 'published' AND is_waiting <> :is_waiting"
        ),
        {"is_waiting": is_waiting},
    )


def wakes(shop_schema: str, reader: Reader[None]) -> Channel[None]:
    """What the database tells a sleeping publisher."""
    return Channel(f"outbox_{shop_schema}", lambda _: None, [reader])


async def forget(session: AsyncSession, name: str | None, *, kept: timedelta, most: int) -> int:
    """Remove the oldest events that were published so long ago and carried there, if anywhere; how many there were.

    None is removed before it was written down for the endpoints of webhooks, either.
    """
    removed = await session.execute(FORGET, {"name": name, "kept": kept, "most": most})
    return len(removed.all())


FORGET = text(
    """
    DELETE FROM outbox
    WHERE position < (SELECT min(position) FROM outbox) + :most AND published_at < now() - CAST(:kept AS interval)
      AND (SELECT published_at FROM outbox WHERE position IS NOT NULL ORDER BY position LIMIT 1)
          < now() - CAST(:kept AS interval)
      AND position <= CASE WHEN CAST(:name AS text) IS NULL THEN position
                           ELSE coalesce((SELECT position FROM event_cursors WHERE name = :name), 0) END
      AND position <= coalesce((SELECT position FROM event_cursors WHERE name = 'webhooks'), position)
    RETURNING id
    """
)
"""The oldest is asked first: mostly it is not old enough, and then none is, and nothing else is read."""


@dataclass(frozen=True, kw_only=True)
class Lag:
    """What waits to be told, and for how long the oldest of it does."""

    waiting: float
    oldest_seconds: float


async def lag(session: AsyncSession, name: str | None) -> Lag:
    """Of the relay that carries events there, or of the feed where nobody carries any."""
    found = (await session.execute(LAG, {"name": name or PUBLISHED})).one()
    return Lag(waiting=found.waiting, oldest_seconds=found.oldest_seconds)


LAG = text(
    """
    WITH at AS (
        SELECT head.position AS head,
               greatest(carrier.position, coalesce((SELECT min(position) - 1 FROM outbox), head.position)) AS carried
        FROM event_cursors AS head LEFT JOIN event_cursors AS carrier ON carrier.name = :name
        WHERE head.name = 'published'
    ), fresh AS (
        SELECT count(*) AS events, min(created_at) AS since FROM outbox WHERE published_at IS NULL
    ), oldest AS (
        SELECT created_at AS since FROM outbox, at WHERE outbox.position > at.carried ORDER BY position LIMIT 1
    )
    SELECT fresh.events + at.head - at.carried AS waiting,
           coalesce(extract(epoch FROM clock_timestamp() - least(fresh.since, (SELECT since FROM oldest))), 0)::float8
               AS oldest_seconds
    FROM at, fresh
    """
)
