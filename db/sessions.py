"""The sessions that people sign in to, and the rotating refresh tokens that keep them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy import ForeignKey, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from db import customers, paging
from db.base import Base, Id, Now
from db.customers import User
from domain.sessions import Device

NOT_TOLD = Device()


class LoginSession(Base):
    """One sign-in on one device: the family that its rotating refresh tokens belong to."""

    __tablename__ = "login_sessions"

    id: Mapped[Id]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[Now]
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[Now]
    user_agent: Mapped[str | None]
    network: Mapped[str | None]
    """Where it was last used from, coarsely."""


class RefreshToken(Base):
    """A refresh token, known only by its SHA-256; a used one stays, so that its reuse is noticed."""

    __tablename__ = "refresh_tokens"

    token_hash: Mapped[bytes] = mapped_column(primary_key=True)
    session_id: Mapped[UUID] = mapped_column(ForeignKey("login_sessions.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[Now]
    used_at: Mapped[datetime | None]


async def sign_in(
    session: AsyncSession, user_id: UUID, *, token_hash: bytes, lasts: timedelta, on: Device = NOT_TOLD
) -> UUID:
    """A new session with its first refresh token."""
    signed_in = LoginSession(
        user_id=user_id, expires_at=func.now() + lasts, user_agent=on.user_agent, network=on.network
    )
    session.add(signed_in)
    await session.flush()
    session.add(RefreshToken(token_hash=token_hash, session_id=signed_in.id))
    await session.flush()
    return signed_in.id


class Rotation(StrEnum):
    ROTATED = "rotated"
    REUSED = "reused"
    """Somebody else has a copy of this token: its whole session is revoked."""
    INVALID = "invalid"


@dataclass(frozen=True, kw_only=True)
class Rotated:
    outcome: Rotation
    session_id: UUID | None = None
    user: User | None = None


async def rotate(
    session: AsyncSession,
    *,
    used: bytes,
    fresh: bytes,
    lasts: timedelta,
    at_most: timedelta,
    on: Device = NOT_TOLD,
) -> Rotated:
    """Put a fresh refresh token in the place of a used one. Of two that come with the same token, one wins."""
    session_id = await session.scalar(
        update(RefreshToken)
        .where(RefreshToken.token_hash == used, RefreshToken.used_at.is_(None))
        .values(used_at=func.now())
        .returning(RefreshToken.session_id)
    )
    if session_id is None:
        return await _used_before(session, used)
    user_id = await session.scalar(
        update(LoginSession)
        .where(LoginSession.id == session_id, LoginSession.revoked_at.is_(None), LoginSession.expires_at > func.now())
        .values(
            expires_at=func.least(func.now() + lasts, LoginSession.created_at + at_most),
            last_used_at=func.now(),
            user_agent=func.coalesce(on.user_agent, LoginSession.user_agent),
            network=func.coalesce(on.network, LoginSession.network),
        )
        .returning(LoginSession.user_id)
    )
    user = await customers.by_id(session, user_id) if user_id else None
    if user is None:
        return Rotated(outcome=Rotation.INVALID)
    session.add(RefreshToken(token_hash=fresh, session_id=session_id))
    await session.flush()
    return Rotated(outcome=Rotation.ROTATED, session_id=session_id, user=user)


async def _used_before(session: AsyncSession, token_hash: bytes) -> Rotated:
    session_id = await session.scalar(select(RefreshToken.session_id).where(RefreshToken.token_hash == token_hash))
    if session_id is None:
        return Rotated(outcome=Rotation.INVALID)
    await sign_out(session, session_id)
    return Rotated(outcome=Rotation.REUSED, session_id=session_id)


async def sign_out(session: AsyncSession, session_id: UUID) -> None:
    """Its refresh tokens are worth nothing from now on; for its access tokens there is the deny list."""
    await session.execute(
        update(LoginSession)
        .where(LoginSession.id == session_id, LoginSession.revoked_at.is_(None))
        .values(revoked_at=func.now())
    )


async def end_all(session: AsyncSession, user_id: UUID, *, but: UUID | None = None) -> list[UUID]:
    """End every session of an account, but one; those that were live until now, for the deny list."""
    ended = await session.scalars(
        update(LoginSession)
        .where(
            LoginSession.user_id == user_id,
            LoginSession.revoked_at.is_(None),
            LoginSession.id.is_distinct_from(but),
        )
        .values(revoked_at=func.now())
        .returning(LoginSession.id)
    )
    return list(ended)


async def end(session: AsyncSession, user_id: UUID, session_id: UUID) -> bool:
    """End one session of an account; false when it has no such live session."""
    ended = await session.scalar(
        update(LoginSession)
        .where(LoginSession.id == session_id, LoginSession.user_id == user_id, LoginSession.revoked_at.is_(None))
        .values(revoked_at=func.now())
        .returning(LoginSession.id)
    )
    return ended is not None


async def live_ones(session: AsyncSession, user_id: UUID, *, limit: int, before: UUID | None) -> Sequence[LoginSession]:
    """The newest sessions of an account that are live, from behind the id ``before``."""
    is_live = (LoginSession.revoked_at.is_(None), LoginSession.expires_at > func.now())
    mine = LoginSession.user_id == user_id
    return await paging.newest(session, LoginSession, mine, *is_live, limit=limit, before=before)
