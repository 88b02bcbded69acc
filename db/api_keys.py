"""API keys: what machines show instead of an access token."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import CheckConstraint, Text, func, text, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from db import paging
from db.base import Base, Id, Now
from domain.permissions import Permission

USE_IS_NOTED_EVERY = timedelta(minutes=1)


class ApiKey(Base):
    """A key, known only by its SHA-256. One that was revoked stays, for the audit log speaks of it."""

    __tablename__ = "api_keys"

    id: Mapped[Id]
    name: Mapped[str]
    key_hash: Mapped[bytes] = mapped_column(unique=True)
    hint: Mapped[str]
    """How the key begins, by which people know it again."""
    permissions: Mapped[list[str]] = mapped_column(ARRAY(Text))
    created_by: Mapped[str]
    created_at: Mapped[Now]
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    """Give or take a minute."""

    __table_args__ = (
        CheckConstraint("char_length(name) BETWEEN 1 AND 100", name="name_length"),
        CheckConstraint("cardinality(permissions) > 0", name="is_good_for_something"),
        CheckConstraint("expires_at > created_at", name="expires_later"),
    )


@dataclass(frozen=True, kw_only=True)
class KnownKey:
    id: UUID
    permissions: frozenset[Permission]


async def make(
    session: AsyncSession,
    *,
    name: str,
    key_hash: bytes,
    hint: str,
    permissions: Collection[Permission],
    created_by: str,
    lasts: timedelta,
) -> ApiKey:
    key = ApiKey(
        name=name,
        key_hash=key_hash,
        hint=hint,
        permissions=sorted(permissions),
        created_by=created_by,
        expires_at=func.now() + lasts,
    )
    session.add(key)
    await session.flush()
    await session.refresh(key)
    return key


async def recognised(session: AsyncSession, key_hash: bytes) -> KnownKey | None:
    """The key, if it is good at this moment; that it was used is noted."""
    row = (await session.execute(RECOGNISED, {"key_hash": key_hash})).one_or_none()
    if row is None:
        return None
    if row.is_to_be_noted:
        await session.execute(NOTE_USE, {"id": row.id, "every": USE_IS_NOTED_EVERY})
    known = {name for name in row.permissions if name in set(Permission)}  # a newer build may know more
    return KnownKey(id=row.id, permissions=frozenset(Permission(name) for name in known))


RECOGNISED = text(
    f"""
    SELECT id, permissions, last_used_at IS NULL OR last_used_at < now() - interval '{USE_IS_NOTED_EVERY.seconds} s'
        AS is_to_be_noted
    FROM api_keys WHERE key_hash = :key_hash AND revoked_at IS NULL AND expires_at > now()
    """  # noqa: S608 (a constant of ours)
)

NOTE_USE = text(
    """
    UPDATE api_keys SET last_used_at = now()
    WHERE id = :id AND (last_used_at IS NULL OR last_used_at < now() - CAST(:every AS interval))
    """
)


async def revoke(session: AsyncSession, key_id: UUID) -> ApiKey | None:
    """Good for nothing from now on; content when it was revoked before, ``None`` when there is no such key."""
    await session.execute(
        update(ApiKey).where(ApiKey.id == key_id, ApiKey.revoked_at.is_(None)).values(revoked_at=func.now())
    )
    return await session.get(ApiKey, key_id)


async def page(session: AsyncSession, *, limit: int, before: UUID | None) -> Sequence[ApiKey]:
    return await paging.newest(session, ApiKey, limit=limit, before=before)
