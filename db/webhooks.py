"""Endpoints that are told of events, and the secrets that sign what they are sent."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, func, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, Id, Now, new_id, one_of
from domain.errors import Refusal
from domain.webhooks import MOST_ENDPOINTS, MOST_SECRETS, EndpointStatus, PauseReason


class WebhookEndpoint(Base):
    __tablename__ = "webhook_endpoints"

    id: Mapped[Id]
    url: Mapped[str]
    description: Mapped[str] = mapped_column(server_default=text("''"))
    event_types: Mapped[list[str]] = mapped_column(ARRAY(String), server_default=text("'{}'"))
    """Empty: all of them."""
    status: Mapped[str] = mapped_column(server_default=text("'active'"))
    failures: Mapped[int] = mapped_column(server_default=text("0"))
    """Attempts that failed since the last one that did not, of whatever event."""
    failing_since: Mapped[datetime | None]
    paused_at: Mapped[datetime | None]
    pause_reason: Mapped[str | None]
    created_at: Mapped[Now]

    __table_args__ = (
        CheckConstraint(one_of("status", EndpointStatus), name="status_known"),
        CheckConstraint("url ~ '^https?://'", name="url_form"),
        CheckConstraint("cardinality(event_types) <= 100", name="few_types"),
        CheckConstraint("(failures = 0) = (failing_since IS NULL) AND failures >= 0", name="failing_since_a_failure"),
        CheckConstraint(
            "(status = 'paused') = (paused_at IS NOT NULL) AND (paused_at IS NULL) = (pause_reason IS NULL)",
            name="paused_for_a_reason",
        ),
    )


class WebhookSecret(Base):
    """The newest of an endpoint has no end; those before sign as well until their own."""

    __tablename__ = "webhook_secrets"

    id: Mapped[Id]
    endpoint_id: Mapped[UUID] = mapped_column(ForeignKey("webhook_endpoints.id", ondelete="CASCADE"), index=True)
    sealed_secret: Mapped[bytes]
    created_at: Mapped[Now]
    ends_at: Mapped[datetime | None]

    __table_args__ = (
        Index("uq_webhook_secrets_newest", "endpoint_id", unique=True, postgresql_where=text("ends_at IS NULL")),
    )


async def make(
    session: AsyncSession, endpoint_id: UUID, url: str, *, event_types: Sequence[str], description: str, sealed: bytes
) -> WebhookEndpoint:
    """Told of what is published from now on; refuses ``too_many_webhook_endpoints``."""
    await session.execute(text("SELECT pg_advisory_xact_lock(hashtext('webhook_endpoints'))"))
    if (await session.scalar(select(func.count()).select_from(WebhookEndpoint)) or 0) >= MOST_ENDPOINTS:
        raise Refusal("too_many_webhook_endpoints", f"A shop tells {MOST_ENDPOINTS} endpoints at most.")
    made = WebhookEndpoint(id=endpoint_id, url=url, event_types=list(event_types), description=description)
    session.add(made)
    await session.flush()
    session.add(WebhookSecret(endpoint_id=endpoint_id, sealed_secret=sealed))
    await session.flush()
    await session.refresh(made)
    return made


async def endpoint(session: AsyncSession, endpoint_id: UUID, *, for_update: bool = False) -> WebhookEndpoint:
    """Refuses ``not_found``."""
    found = await session.get(WebhookEndpoint, endpoint_id, with_for_update=for_update or None, populate_existing=True)
    if found is None:
        raise Refusal("not_found", "There is no such webhook endpoint.")
    return found


async def page(
    session: AsyncSession, *, limit: int, before: UUID | None, event_type: str | None, status: EndpointStatus | None
) -> Sequence[WebhookEndpoint]:
    """The newest first; those that name no types want this one, too."""
    wanted = select(WebhookEndpoint).order_by(WebhookEndpoint.id.desc()).limit(limit)
    if before is not None:
        wanted = wanted.where(WebhookEndpoint.id < before)
    if event_type is not None:
        types = WebhookEndpoint.event_types
        wanted = wanted.where((func.cardinality(types) == 0) | types.any(event_type))  # type: ignore[arg-type]
    if status is not None:
        wanted = wanted.where(WebhookEndpoint.status == status)
    return (await session.scalars(wanted)).all()


async def change(session: AsyncSession, endpoint_id: UUID, changes: dict[str, Any]) -> WebhookEndpoint:
    """Whoever says that it is active, or gives it another address, has what waits tried at once.

    Refuses ``not_found``.
    """
    found = await endpoint(session, endpoint_id, for_update=True)
    if status := changes.pop("status", None):
        await _turn(session, found, status)
    elif "url" in changes and found.status == EndpointStatus.PAUSED:
        await _turn(session, found, EndpointStatus.ACTIVE)
    for name, value in changes.items():
        setattr(found, name, value)
    await session.flush()
    await session.refresh(found)
    return found


async def _turn(session: AsyncSession, found: WebhookEndpoint, status: EndpointStatus) -> None:
    found.status = status
    found.failures, found.failing_since, found.paused_at, found.pause_reason = 0, None, None, None
    if status is EndpointStatus.ACTIVE:
        await hand_out_anew(session, found.id)


async def remove(session: AsyncSession, endpoint_id: UUID) -> None:
    """With all that was sent to it, and that waits for it. Refuses ``not_found``."""
    await session.delete(await endpoint(session, endpoint_id, for_update=True))
    await session.flush()


async def rotate(session: AsyncSession, endpoint_id: UUID, sealed: bytes, *, overlap: timedelta) -> datetime:
    """Secrets that sign now go on for so long beside the new one, or until their own ends; until when the last does.

    So whoever rotates twice, because the first answer was lost, takes no secret away that is in use. Refuses
    ``not_found`` and ``too_many_webhook_secrets``.
    """
    await endpoint(session, endpoint_id, for_update=True)
    await session.execute(ENDED_SECRETS_GO, {"id": endpoint_id})
    ends = (await session.scalars(SECRETS_END, {"id": endpoint_id, "overlap": overlap})).all()
    if len(ends) >= MOST_SECRETS:
        raise Refusal("too_many_webhook_secrets", f"{MOST_SECRETS} secrets sign already; let one of them end first.")
    session.add(WebhookSecret(id=new_id(), endpoint_id=endpoint_id, sealed_secret=sealed))
    await session.flush()
    end: datetime = max(ends)
    return end


ENDED_SECRETS_GO = text("DELETE FROM webhook_secrets WHERE endpoint_id = :id AND ends_at <= now()")

SECRETS_END = text(
    """
    UPDATE webhook_secrets SET ends_at = least(ends_at, now() + CAST(:overlap AS interval)) WHERE endpoint_id = :id
    RETURNING ends_at
    """
)


async def sealed_secrets(session: AsyncSession, endpoint_id: UUID) -> tuple[bytes, ...]:
    """Those that sign now, the newest first."""
    found = await session.scalars(
        select(WebhookSecret.sealed_secret)
        .where(
            WebhookSecret.endpoint_id == endpoint_id,
            WebhookSecret.ends_at.is_(None) | (WebhookSecret.ends_at > func.now()),
        )
        .order_by(WebhookSecret.ends_at.desc().nulls_first())
    )
    return tuple(found)


async def hears(session: AsyncSession, endpoint_id: UUID) -> None:
    """It has taken something: it is not failing, and not paused any more."""
    turned = await session.execute(HEARS, {"id": endpoint_id})
    if turned.scalar():
        await hand_out_anew(session, endpoint_id)


HEARS = text(
    """
    WITH found AS (
        SELECT id, status FROM webhook_endpoints WHERE id = :id AND (failures > 0 OR status = 'paused') FOR UPDATE
    )
    UPDATE webhook_endpoints AS endpoint
    SET failures = 0, failing_since = NULL, paused_at = NULL, pause_reason = NULL,
        status = CASE WHEN found.status = 'paused' THEN 'active' ELSE found.status END
    FROM found WHERE endpoint.id = found.id
    RETURNING found.status = 'paused'
    """
)


async def hand_out_anew(session: AsyncSession, endpoint_id: UUID) -> None:
    """All that waits for it is tried now, each order's events in their order."""
    await session.execute(
        text(
            """
            UPDATE webhook_deliveries SET is_handed_out = false, next_attempt_at = NULL
            WHERE endpoint_id = :id AND status = 'waiting'
            """
        ),
        {"id": endpoint_id},
    )


@dataclass(frozen=True, kw_only=True)
class Failing:
    failures: int
    since: datetime
    is_active: bool


async def fails(session: AsyncSession, endpoint_id: UUID, now: datetime) -> Failing:
    """One more attempt has failed; how it stands with the endpoint, which is locked."""
    row = (await session.execute(FAILS, {"id": endpoint_id, "now": now})).one()
    return Failing(failures=row.failures, since=row.failing_since, is_active=row.status == EndpointStatus.ACTIVE)


FAILS = text(
    """
    UPDATE webhook_endpoints SET failures = failures + 1, failing_since = coalesce(failing_since, :now)
    WHERE id = :id RETURNING failures, failing_since, status
    """
)


async def pause(session: AsyncSession, endpoint_id: UUID, reason: PauseReason, now: datetime) -> None:
    await session.execute(
        update(WebhookEndpoint)
        .where(WebhookEndpoint.id == endpoint_id, WebhookEndpoint.status == EndpointStatus.ACTIVE)
        .values(status=EndpointStatus.PAUSED, pause_reason=reason, paused_at=now)
    )


async def paused(session: AsyncSession) -> Sequence[UUID]:
    found = select(WebhookEndpoint.id).where(WebhookEndpoint.status == EndpointStatus.PAUSED)
    return (await session.scalars(found)).all()


async def statuses(session: AsyncSession) -> dict[EndpointStatus, int]:
    """How many endpoints stand how."""
    rows = await session.execute(text("SELECT status, count(*) AS endpoints FROM webhook_endpoints GROUP BY status"))
    return {EndpointStatus(row.status): row.endpoints for row in rows}
