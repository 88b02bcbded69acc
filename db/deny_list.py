"""Sessions that were ended while their access tokens are still within their time."""

from uuid import UUID

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from db.engine import Sessions
from db.sessions import LoginSession

log = structlog.get_logger()


class DenyList:
    """Kept in Valkey, and true in Postgres: whenever the list may have lost something, it is written anew.

    A mark in Valkey says that the list is whole. It is missing after a restart that lost the keys; and a process that
    failed to reach Valkey distrusts the list until it has written it again, because the entry that could not be
    written may have been its own.
    """

    def __init__(self, redis: Redis, sessions: Sessions, *, prefix: str, access_seconds: int) -> None:
        self._redis = redis
        self._sessions = sessions
        self._prefix = f"{prefix}deny:"
        self._whole = f"{prefix}deny-list-is-whole"
        self._access_seconds = access_seconds
        self._is_doubtful = False

    async def add(self, *session_ids: UUID) -> None:
        """Call it after the transaction that ended the sessions: then every answer of Postgres agrees."""
        if not session_ids:
            return
        pipeline = self._redis.pipeline(transaction=False)
        for session_id in session_ids:
            pipeline.set(self._key(session_id), 1, ex=self._access_seconds)
        try:
            await pipeline.execute()
        except RedisError as error:
            self._doubt(error)

    async def holds(self, session_id: UUID) -> bool:
        """Was this session ended? One round trip to Valkey; Postgres answers while Valkey is away."""
        try:
            denied, is_whole = await self._redis.mget(self._key(session_id), self._whole)
            if denied is not None:
                return True
            if is_whole is not None and not self._is_doubtful:
                return False
            await self._write_anew()
        except RedisError as error:
            self._doubt(error)
        async with self._sessions() as session:
            return not await is_live(session, session_id)

    async def _write_anew(self) -> None:
        self._is_doubtful = False
        async with self._sessions() as session:
            ended = await session.scalars(
                select(LoginSession.id).where(
                    LoginSession.revoked_at
                    > func.now() - text("make_interval(secs => :age)").bindparams(age=self._access_seconds)
                )
            )
            entries = [self._key(session_id) for session_id in ended]
        pipeline = self._redis.pipeline(transaction=False)
        for entry in entries:
            pipeline.set(entry, 1, ex=self._access_seconds)
        pipeline.set(self._whole, 1)
        await pipeline.execute()

    def _doubt(self, error: RedisError) -> None:
        log.warning("deny_list_unreachable", error=type(error).__name__)
        self._is_doubtful = True

    def _key(self, session_id: UUID) -> str:
        return f"{self._prefix}{session_id}"


async def is_live(session: AsyncSession, session_id: UUID) -> bool:
    found = await session.scalar(
        select(LoginSession.id).where(
            LoginSession.id == session_id, LoginSession.revoked_at.is_(None), LoginSession.expires_at > func.now()
        )
    )
    return found is not None
