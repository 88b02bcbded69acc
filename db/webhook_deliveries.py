"""What endpoints are sent: the bytes of each event, how far it is at each endpoint, and what came of each attempt.

There is one delivery of an event to an endpoint. Whoever asks for it again gets the same row, id and bytes sent anew,
in the order in which the events have their places.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, SmallInteger, UniqueConstraint, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from db import outbox, webhooks
from db.base import Base, Id, Now, new_id, one_of
from domain.errors import Refusal
from domain.events import UNKNOWN_VERSION, Published, as_bytes
from domain.webhooks import (
    MOST_ATTEMPTS_KEPT,
    PING,
    Answer,
    DeliveryStatus,
    EndpointStatus,
    Letter,
    is_wanted,
    pause_after,
    pauses,
)

CURSOR = "webhooks"
"""How far events were written down for the endpoints that want them."""


class WebhookMessage(Base):
    """The bytes of an event, kept from the first time that somebody was to be sent it."""

    __tablename__ = "webhook_messages"

    event_id: Mapped[UUID] = mapped_column(primary_key=True)
    type: Mapped[str]
    at: Mapped[datetime]
    body: Mapped[bytes]


class WebhookDelivery(Base):
    __tablename__ = "webhook_deliveries"

    id: Mapped[Id]
    endpoint_id: Mapped[UUID] = mapped_column(ForeignKey("webhook_endpoints.id", ondelete="CASCADE"))
    event_id: Mapped[UUID] = mapped_column(ForeignKey("webhook_messages.event_id"), index=True)
    key: Mapped[str]
    """Deliveries with the same key to the same endpoint keep their order."""
    position: Mapped[int] = mapped_column(BigInteger)
    status: Mapped[str] = mapped_column(server_default=text("'waiting'"))
    is_handed_out: Mapped[bool] = mapped_column(server_default=text("false"))
    """A story knows of it."""
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    failures: Mapped[int] = mapped_column(server_default=text("0"))
    """Since it was last asked for; what a probe of a paused endpoint meets does not count."""
    next_attempt_at: Mapped[datetime | None]
    last_attempt_at: Mapped[datetime | None]
    asked_at: Mapped[Now]
    ended_at: Mapped[datetime | None]

    __table_args__ = (
        UniqueConstraint("endpoint_id", "event_id", name="uq_webhook_deliveries_endpoint_id"),
        CheckConstraint(one_of("status", DeliveryStatus), name="status_known"),
        CheckConstraint("(status = 'waiting') = (ended_at IS NULL)", name="what_waits_has_not_ended"),
        CheckConstraint("failures BETWEEN 0 AND attempts", name="failures_are_attempts"),
        Index(
            "ix_webhook_deliveries_lane",
            *("endpoint_id", "key", "position"),
            postgresql_where=text("status = 'waiting'"),
        ),
        Index(
            "ix_webhook_deliveries_waiting",
            *("endpoint_id", "is_handed_out", "position"),
            postgresql_where=text("status = 'waiting'"),
        ),
        Index("ix_webhook_deliveries_ended_at", "ended_at", postgresql_where=text("ended_at IS NOT NULL")),
        Index("ix_webhook_deliveries_endpoint_id_id", "endpoint_id", "id"),
    )


class WebhookAttempt(Base):
    __tablename__ = "webhook_attempts"

    delivery_id: Mapped[UUID] = mapped_column(ForeignKey("webhook_deliveries.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    status_code: Mapped[int | None] = mapped_column(SmallInteger)
    milliseconds: Mapped[int]
    said: Mapped[str] = mapped_column(server_default=text("''"))
    """The first bytes of the answer."""
    problem: Mapped[str | None]
    """Why there was no answer."""

    __table_args__ = (
        CheckConstraint("number > 0 AND milliseconds >= 0", name="counted_from_one"),
        CheckConstraint("octet_length(said) <= 4000", name="first_bytes_only"),
    )


# --- what is written down to be sent


async def write_down(session: AsyncSession, source: str, *, most: int) -> int:
    """The next published events, for the endpoints that want them; how many events there were.

    Nobody else does meanwhile, and how far it is is written with what is to be sent: nothing is left out.
    """
    if not await session.scalar(HAS_NEWS, {"name": CURSOR}):
        return 0
    after = await outbox.begin_carrying(session, CURSOR)
    events = await outbox.published(session, after=after, most=most)
    if events:
        await _wish(session, events, await _listening(session), source, is_again=False)
        await outbox.carried(session, CURSOR, up_to=events[-1].position)
    return len(events)


HAS_NEWS = text(
    """
    SELECT position > coalesce((SELECT position FROM event_cursors WHERE name = :name), 0)
    FROM event_cursors WHERE name = 'published'
    """
)


async def _listening(session: AsyncSession) -> Mapping[UUID, tuple[str, ...]]:
    """What each endpoint wants that is not disabled; none is removed before the transaction ends."""
    rows = await session.execute(
        text("SELECT id, event_types FROM webhook_endpoints WHERE status <> 'disabled' ORDER BY id FOR KEY SHARE")
    )
    return {row.id: tuple(row.event_types) for row in rows}


async def _wish(
    session: AsyncSession,
    events: Sequence[Published],
    endpoints: Mapping[UUID, tuple[str, ...]],
    source: str,
    *,
    is_again: bool,
) -> int:
    """Have these events sent; those that were sent before are only sent anew if ``is_again``. How many will be."""
    wanted = [(event, name) for event in events for name, types in endpoints.items() if is_wanted(types, event.type)]
    if not wanted:
        return 0
    told = {event.id: event for event, _ in wanted}.values()
    await session.execute(KEEP, [_message(event.id, event.type, event.at, as_bytes(event, source)) for event in told])
    wishes = {
        "ids": [new_id() for _ in wanted],
        "endpoints": [endpoint_id for _, endpoint_id in wanted],
        "events": [event.id for event, _ in wanted],
        "keys": [event.key for event, _ in wanted],
        "positions": [event.position for event, _ in wanted],
        "is_again": is_again,
    }
    return len((await session.execute(WISH, wishes)).all())


def _message(event_id: UUID, happened: str, at: datetime, body: bytes) -> dict[str, Any]:
    return {"event_id": event_id, "type": happened, "at": at, "body": body}


KEEP = text(
    """
    INSERT INTO webhook_messages (event_id, type, at, body) VALUES (:event_id, :type, :at, :body)
    ON CONFLICT (event_id) DO UPDATE SET type = excluded.type
    """
)
"""The bytes that are there stay; their row is locked, so that nobody forgets it meanwhile."""

WISH = text(
    """
    INSERT INTO webhook_deliveries AS delivery (id, endpoint_id, event_id, key, position)
    SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:endpoints AS uuid[]), CAST(:events AS uuid[]),
                         CAST(:keys AS text[]), CAST(:positions AS bigint[]))
    ON CONFLICT (endpoint_id, event_id) DO UPDATE
    SET status = 'waiting', is_handed_out = false, failures = 0, next_attempt_at = NULL, asked_at = now(),
        ended_at = NULL
    WHERE :is_again
    RETURNING id
    """
)


async def replay(
    session: AsyncSession, endpoint_id: UUID, source: str, *, begin: datetime, end: datetime, most: int
) -> int:
    """Have all that is kept of that time, and that the endpoint wants, sent anew: the same ids, the same bytes.

    How many events; refuses ``not_found``, ``webhook_endpoint_disabled`` and ``replay_too_long``.
    """
    endpoint = await _may_be_sent(session, endpoint_id)
    events = await outbox.published(session, most=most + 1, types=endpoint.event_types, within=(begin, end))
    if len(events) > most:
        raise Refusal("replay_too_long", f"These are more than {most} events; replay a shorter time.", most=most)
    return await _wish(session, events, {endpoint_id: tuple(endpoint.event_types)}, source, is_again=True)


async def redeliver(session: AsyncSession, delivery_id: UUID) -> UUID:
    """Send it anew; whose it is. Refuses ``not_found`` and ``webhook_endpoint_disabled``."""
    endpoint_id = await session.scalar(
        text("SELECT endpoint_id FROM webhook_deliveries WHERE id = :id"), {"id": delivery_id}
    )
    if endpoint_id is None:
        raise Refusal("not_found", "There is no such webhook delivery.")
    await _may_be_sent(session, endpoint_id)
    await session.execute(REDELIVER, {"id": delivery_id})
    return UUID(str(endpoint_id))


REDELIVER = text(
    """
    UPDATE webhook_deliveries
    SET status = 'waiting', is_handed_out = false, failures = 0, next_attempt_at = NULL, asked_at = now(),
        ended_at = NULL
    WHERE id = :id
    """
)


async def ping(session: AsyncSession, endpoint_id: UUID, source: str, at: datetime) -> UUID:
    """Have a message sent that says nothing but that it came, also to a paused endpoint; the delivery's id."""
    await _may_be_sent(session, endpoint_id)
    return await _ping(session, endpoint_id, source, at)


async def _ping(session: AsyncSession, endpoint_id: UUID, source: str, at: datetime) -> UUID:
    event_id, delivery_id = new_id(), new_id()
    told = Published(
        position=0,
        id=event_id,
        type=PING,
        version=UNKNOWN_VERSION,
        key=str(endpoint_id),
        data={"at": at.isoformat()},
        at=at,
    )
    await session.execute(KEEP, _message(event_id, PING, at, as_bytes(told, source)))
    await session.execute(
        text(
            "INSERT INTO webhook_deliveries (id, endpoint_id, event_id, key, position) "
            "VALUES (:id, :endpoint_id, :event_id, CAST(CAST(:event_id AS uuid) AS text), 0)"
        ),
        {"id": delivery_id, "endpoint_id": endpoint_id, "event_id": event_id},
    )
    return delivery_id


async def _may_be_sent(session: AsyncSession, endpoint_id: UUID) -> webhooks.WebhookEndpoint:
    endpoint = await webhooks.endpoint(session, endpoint_id, for_update=True)
    if endpoint.status == EndpointStatus.DISABLED:
        raise Refusal("webhook_endpoint_disabled", "Nothing is sent to a disabled endpoint; make it active first.")
    return endpoint


# --- what is handed out to stories


@dataclass(frozen=True, kw_only=True)
class LaneId:
    endpoint_id: UUID
    key: str


async def hand_out(session: AsyncSession, *, most_underway: int) -> list[LaneId]:
    """Orders whose events wait and have no story that knows; from now on they count as having one.

    The oldest first, and of one endpoint no more than so many are under way: one that is slow, or has much to catch up
    with, is sent all of it without keeping everybody else's waiting.
    """
    rows = await session.execute(HAND_OUT, {"most": most_underway, "ping": PING})
    return [LaneId(endpoint_id=row.endpoint_id, key=row.key) for row in rows]


HAND_OUT = text(
    """
    WITH fresh AS (
        SELECT endpoint.id AS endpoint_id, waiting.id, waiting.key, waiting.position
        FROM webhook_endpoints AS endpoint CROSS JOIN LATERAL (
            SELECT delivery.id, delivery.key, delivery.position, delivery.event_id FROM webhook_deliveries AS delivery
            WHERE delivery.endpoint_id = endpoint.id AND delivery.status = 'waiting' AND NOT delivery.is_handed_out
            ORDER BY delivery.position LIMIT 500
        ) AS waiting
        WHERE endpoint.status = 'active' OR endpoint.status = 'paused' AND waiting.position = 0
    ), underway AS (
        SELECT delivery.endpoint_id, count(DISTINCT delivery.key) AS lanes
        FROM webhook_deliveries AS delivery
        WHERE delivery.endpoint_id IN (SELECT endpoint_id FROM fresh) AND delivery.status = 'waiting'
          AND delivery.is_handed_out AND (delivery.next_attempt_at IS NULL OR delivery.next_attempt_at <= now())
        GROUP BY delivery.endpoint_id
    ), lanes AS (
        SELECT endpoint_id, key, min(position) AS position,
               row_number() OVER (PARTITION BY endpoint_id ORDER BY min(position), key) AS place
        FROM fresh GROUP BY endpoint_id, key
    ), chosen AS (
        SELECT lanes.endpoint_id, lanes.key, lanes.position FROM lanes LEFT JOIN underway USING (endpoint_id)
        WHERE lanes.place <= :most - coalesce(underway.lanes, 0)
    ), handed AS (
        UPDATE webhook_deliveries AS delivery SET is_handed_out = true
        FROM fresh JOIN chosen USING (endpoint_id, key) WHERE delivery.id = fresh.id
    )
    SELECT endpoint_id, key FROM chosen ORDER BY position
    """
)


async def take_back(session: AsyncSession) -> None:
    """What was handed out and should have been tried by now is handed out again: its story may never have begun."""
    await session.execute(
        text(
            """
            UPDATE webhook_deliveries SET is_handed_out = false
            WHERE status = 'waiting' AND is_handed_out AND (next_attempt_at IS NULL OR next_attempt_at <= now())
            """
        )
    )


# --- what is sent


@dataclass(frozen=True, kw_only=True)
class Head:
    """The first that waits of an order at an endpoint."""

    letter: Letter
    status: EndpointStatus
    next_attempt_at: datetime | None


async def head(session: AsyncSession, endpoint_id: UUID, key: str) -> Head | None:
    return await _head(session, HEAD, endpoint_id, key=key)


async def to_probe_with(session: AsyncSession, endpoint_id: UUID, source: str, at: datetime) -> Head | None:
    """What waits for a paused endpoint and was not tried for the longest time: one event that it will never take must
    not keep the others. Where nothing waits, a ping. ``None`` when the endpoint is not paused."""
    status = await session.scalar(
        text("SELECT status FROM webhook_endpoints WHERE id = :id FOR UPDATE"), {"id": endpoint_id}
    )
    if status != EndpointStatus.PAUSED:
        return None
    found = await _head(session, LEAST_TRIED, endpoint_id)
    if found is None:
        await _ping(session, endpoint_id, source, at)
        found = await _head(session, LEAST_TRIED, endpoint_id)
    return found


async def _head(session: AsyncSession, query: str, endpoint_id: UUID, **facts: str) -> Head | None:
    row = (await session.execute(text(query), {"endpoint_id": endpoint_id, **facts})).one_or_none()
    if row is None:
        return None
    letter = Letter(
        delivery_id=row.id,
        endpoint_id=endpoint_id,
        url=row.url,
        event_id=row.event_id,
        is_ping=row.type == PING,
        body=row.body,
        sealed_secrets=await webhooks.sealed_secrets(session, endpoint_id),
    )
    return Head(letter=letter, status=EndpointStatus(row.status), next_attempt_at=row.next_attempt_at)


WAITING = """
    SELECT delivery.id, delivery.event_id, delivery.next_attempt_at, endpoint.url, endpoint.status, message.type,
           message.body
    FROM webhook_deliveries AS delivery
    JOIN webhook_endpoints AS endpoint ON endpoint.id = delivery.endpoint_id
    JOIN webhook_messages AS message USING (event_id)
    WHERE delivery.endpoint_id = :endpoint_id AND delivery.status = 'waiting'
"""

HEAD = f"{WAITING} AND delivery.key = :key ORDER BY delivery.position, delivery.id LIMIT 1"

LEAST_TRIED = f"""
    {WAITING} AND NOT EXISTS (
        SELECT FROM webhook_deliveries AS earlier
        WHERE earlier.endpoint_id = delivery.endpoint_id AND earlier.status = 'waiting' AND earlier.key = delivery.key
          AND earlier.position < delivery.position
    )
    ORDER BY delivery.last_attempt_at NULLS FIRST, delivery.position LIMIT 1
"""


@dataclass(frozen=True, kw_only=True)
class Noted:
    next_attempt_at: datetime | None = None
    is_paused: bool = False
    ended: DeliveryStatus | None = None
    """How, if it has."""


async def note(
    session: AsyncSession, letter: Letter, answer: Answer, *, now: datetime, chance: float, is_probe: bool = False
) -> Noted:
    """Write down what came of an attempt; when the next one is due, if one is.

    A probe says something of the endpoint, not of the event that it was made with, unless that is a ping.
    """
    await session.execute(LOCK_ENDPOINT, {"id": letter.endpoint_id})
    row = (await session.execute(LOCK, {"id": letter.delivery_id})).one_or_none()
    if row is None:
        return Noted()  # the endpoint was removed meanwhile
    await session.execute(ATTEMPT, _attempt(letter, answer, row.attempts + 1, now))
    if answer.is_taken:
        await _end(session, letter, DeliveryStatus.DELIVERED, now)
        await webhooks.hears(session, letter.endpoint_id)
        return Noted(ended=DeliveryStatus.DELIVERED)
    failing = await webhooks.fails(session, letter.endpoint_id, now)
    orders = await session.scalar(FAILING_ORDERS, {"endpoint_id": letter.endpoint_id, "id": letter.delivery_id})
    reason = pauses(answer, failures=failing.failures, failing_for=now - failing.since, orders=orders or 0)
    if reason is not None and failing.is_active:
        await webhooks.pause(session, letter.endpoint_id, reason, now)
    is_paused = reason is not None or not failing.is_active
    if letter.is_ping:
        await _end(session, letter, DeliveryStatus.GIVEN_UP, now)
        return Noted(is_paused=is_paused, ended=DeliveryStatus.GIVEN_UP)
    if is_probe:
        await session.execute(TRIED, {"id": letter.delivery_id, "now": now})
        return Noted(is_paused=True)
    pause = pause_after(row.failures + 1, chance, answer.wishes_pause)
    if pause is None:
        await _end(session, letter, DeliveryStatus.GIVEN_UP, now)
        return Noted(is_paused=is_paused, ended=DeliveryStatus.GIVEN_UP)
    await session.execute(FAILED, {"id": letter.delivery_id, "now": now, "next": now + pause})
    return Noted(next_attempt_at=now + pause, is_paused=is_paused)


LOCK_ENDPOINT = text("SELECT FROM webhook_endpoints WHERE id = :id FOR KEY SHARE")
"""Before the delivery, as everybody does who locks both."""
LOCK = text("SELECT attempts, failures FROM webhook_deliveries WHERE id = :id FOR UPDATE")

ATTEMPT = text(
    """
    WITH room AS (DELETE FROM webhook_attempts WHERE delivery_id = :id AND number <= :forgotten)
    INSERT INTO webhook_attempts (delivery_id, number, at, status_code, milliseconds, said, problem)
    VALUES (:id, :number, :at, :status_code, :milliseconds, :said, :problem)
    """
)

FAILING_ORDERS = text(
    """
    SELECT count(DISTINCT key) FROM webhook_deliveries
    WHERE endpoint_id = :endpoint_id AND status = 'waiting' AND (failures > 0 OR id = :id)
    """
)

TRIED = text("UPDATE webhook_deliveries SET attempts = attempts + 1, last_attempt_at = :now WHERE id = :id")

FAILED = text(
    """
    UPDATE webhook_deliveries
    SET attempts = attempts + 1, failures = failures + 1, last_attempt_at = :now, next_attempt_at = :next
    WHERE id = :id
    """
)

END = text(
    """
    UPDATE webhook_deliveries
    SET attempts = attempts + 1, failures = failures + CASE WHEN CAST(:status AS text) = 'delivered' THEN 0 ELSE 1 END,
        last_attempt_at = :now, next_attempt_at = NULL, status = CAST(:status AS text), ended_at = :now
    WHERE id = :id
    """
)


async def _end(session: AsyncSession, letter: Letter, status: DeliveryStatus, now: datetime) -> None:
    await session.execute(END, {"id": letter.delivery_id, "status": status, "now": now})


def _attempt(letter: Letter, answer: Answer, number: int, now: datetime) -> dict[str, Any]:
    return {
        "id": letter.delivery_id,
        "number": number,
        "at": now,
        "status_code": answer.status,
        "milliseconds": answer.milliseconds,
        "said": answer.said,
        "problem": answer.problem,
        "forgotten": number - MOST_ATTEMPTS_KEPT,
    }


# --- what is looked at


VIEW = """
    SELECT delivery.id, delivery.endpoint_id, delivery.event_id, message.type, delivery.key, message.at AS event_at,
           delivery.status, delivery.attempts, delivery.next_attempt_at, delivery.last_attempt_at, delivery.asked_at,
           delivery.ended_at, last.status_code, last.milliseconds, last.problem, message.body
    FROM webhook_deliveries AS delivery JOIN webhook_messages AS message USING (event_id)
    LEFT JOIN webhook_attempts AS last ON last.delivery_id = delivery.id AND last.number = delivery.attempts
"""


async def page(
    session: AsyncSession,
    endpoint_id: UUID,
    *,
    limit: int,
    before: UUID | None,
    status: DeliveryStatus | None,
    event_type: str | None,
    key: str | None,
) -> list[Mapping[str, Any]]:
    """The log of an endpoint, what was first written down last at the top."""
    wanted = {"before": before, "status": status, "event_type": event_type, "key": key}
    rows = await session.execute(PAGE, {"endpoint_id": endpoint_id, "limit": limit, **wanted})
    return [dict(row) for row in rows.mappings()]


PAGE = text(
    f"""
    {VIEW} WHERE delivery.endpoint_id = :endpoint_id
      AND (CAST(:before AS uuid) IS NULL OR delivery.id < :before)
      AND (CAST(:status AS text) IS NULL OR delivery.status = :status)
      AND (CAST(:event_type AS text) IS NULL OR message.type = :event_type)
      AND (CAST(:key AS text) IS NULL OR delivery.key = :key)
    ORDER BY delivery.id DESC LIMIT :limit
    """
)


async def delivery(session: AsyncSession, delivery_id: UUID) -> dict[str, Any]:
    """With its attempts, the oldest that is kept first; refuses ``not_found``."""
    row = (await session.execute(text(f"{VIEW} WHERE delivery.id = :id"), {"id": delivery_id})).mappings().one_or_none()
    if row is None:
        raise Refusal("not_found", "There is no such webhook delivery.")
    log = await session.execute(
        text("SELECT * FROM webhook_attempts WHERE delivery_id = :id ORDER BY number"), {"id": delivery_id}
    )
    return {**row, "log": [dict(attempt) for attempt in log.mappings()]}


async def waiting(session: AsyncSession) -> tuple[int, float]:
    """How many deliveries wait, and for how long the oldest of them does since it was asked for."""
    row = (
        await session.execute(
            text(
                """
                SELECT count(*) AS deliveries,
                       coalesce(extract(epoch FROM clock_timestamp() - min(asked_at)), 0)::float8 AS seconds
                FROM webhook_deliveries WHERE status = 'waiting'
                """
            )
        )
    ).one()
    return row.deliveries, row.seconds


# --- what is forgotten


async def forget(session: AsyncSession, *, kept: timedelta, most: int) -> int:
    """Deliveries that ended so long ago, with their attempts, and bytes that nobody is sent any more; how many."""
    gone = (await session.execute(FORGET, {"kept": kept, "most": most})).scalars().all()
    await session.execute(FORGET_BYTES, {"events": list(gone)})
    return len(gone)


FORGET = text(
    """
    DELETE FROM webhook_deliveries WHERE id IN (
        SELECT id FROM webhook_deliveries WHERE ended_at < now() - CAST(:kept AS interval)
        ORDER BY ended_at LIMIT :most FOR UPDATE SKIP LOCKED
    ) RETURNING event_id
    """
)

FORGET_BYTES = text(
    """
    DELETE FROM webhook_messages AS message
    WHERE event_id = ANY(:events)
      AND NOT EXISTS (SELECT FROM webhook_deliveries AS delivery WHERE delivery.event_id = message.event_id)
    """
)
