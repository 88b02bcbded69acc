"""A streaming replica to read the catalogue from, and what it is known to have replayed."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Set
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import structlog
from sqlalchemy import Row, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from db.catalog_news import News
from db.engine import Sessions
from db.waiting import happens

log = structlog.get_logger()

Result = TypeVar("Result")

PATIENCE_SECONDS = 2.0
"""How long the replica may take to answer; the primary is asked then."""
CHECK_SECONDS = 5.0
"""How often a replica that has caught up is asked whether it still lives."""
AWAY_SECONDS = 1.0
"""How often one that is away is asked whether it is back."""
SHORTEST_PAUSE, LONGEST_PAUSE = 0.002, 0.25
"""Between two looks at a replica that has not caught up yet."""

AWAY = (SQLAlchemyError, OSError, TimeoutError)


class NotAReplicaError(ConnectionError):
    """Promoted meanwhile, or a replica of another server."""


class Replica:
    """Is read only for what it has replayed all changes of that we were told of.

    Changes are numbered as they are told. After the latest one the primary is asked how far it has written; once the
    replica has replayed that far, it knows this change and all before it.
    """

    def __init__(self, sessions: Sessions, *, primary: Sessions) -> None:
        self._sessions = sessions
        self._primary = primary
        self._told = 1
        self._replayed = 0
        self._products: dict[UUID, int] = {}
        self._lists = 0
        self._everything = 1
        """The latest changes of each, by their numbers."""
        self._has_news = asyncio.Event()
        self._behind_since: float | None = time.monotonic()

    def expect(self, news: News) -> None:
        """Do not read what has changed from the replica before it has replayed the change."""
        self._told += 1
        if news.products is None:
            self._everything = self._told
        else:
            self._products.update(dict.fromkeys(news.products, self._told))
        if news.is_listing:
            self._lists = self._told
        self._fall_behind()

    def knows(self, products: Collection[UUID], *, lists: bool = False) -> bool:
        """Has it replayed all that was told of these products, and with ``lists`` of which products there are?"""
        latest = max(self._everything, self._lists) if lists else self._everything
        return latest <= self._replayed and self._products.keys().isdisjoint(products)

    @property
    def lacks(self) -> Set[UUID]:
        """Products of which it has not replayed the latest change."""
        return self._products.keys()

    @property
    def behind_seconds(self) -> float:
        """For how long it has not known all that we were told."""
        return 0.0 if self._behind_since is None else time.monotonic() - self._behind_since

    async def read(self, query: Callable[[AsyncSession], Awaitable[Result]]) -> Result:
        """What the replica answers; one of ``AWAY`` when it does not, and then it knows nothing until it is back."""
        try:
            return await self._asked(query)
        except AWAY as error:
            self._lose(error)
            raise

    async def follow(self) -> None:
        """Until cancelled: look how far the replica is, whenever something is told."""
        while True:
            try:
                self._has_news.clear()
                await self._catch_up()
                await happens(self._has_news, within=CHECK_SECONDS)
            except AWAY as error:
                self._lose(error)
                await asyncio.sleep(AWAY_SECONDS)

    async def _catch_up(self) -> None:
        told, pause = self._told, SHORTEST_PAUSE
        wanted = await answer_of(self._primary, _written)
        while not await self._has_replayed(wanted):
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
        self._products = {product: number for product, number in self._products.items() if number > told}
        self._replayed = told
        if self._told == told:
            self._behind_since = None

    async def _has_replayed(self, wanted: "Written") -> bool:
        found = await self._asked(lambda session: _replayed(session, wanted))
        if not found.is_a_replica:
            raise NotAReplicaError
        return bool(found.has_replayed)

    async def _asked(self, query: Callable[[AsyncSession], Awaitable[Result]]) -> Result:
        return await answer_of(self._sessions, query)

    def _lose(self, error: Exception) -> None:
        if self._replayed:
            log.warning("replica_away", error=type(error).__name__)
        self._replayed, self._everything = 0, self._told
        self._fall_behind()

    def _fall_behind(self) -> None:
        self._behind_since = self._behind_since or time.monotonic()
        self._has_news.set()


async def answer_of(sessions: Sessions, query: Callable[[AsyncSession], Awaitable[Result]]) -> Result:
    """What is answered in time. Where a server hangs, leaving its session can hang too, so nobody waits for that."""

    async def ask() -> Result:
        async with sessions() as session:
            return await query(session)

    asking = asyncio.create_task(ask())
    try:
        await asyncio.wait({asking}, timeout=PATIENCE_SECONDS)
        if not asking.done():
            raise TimeoutError
        return asking.result()
    finally:
        asking.add_done_callback(_hear_out)
        asking.cancel()


def _hear_out(task: asyncio.Task[Any]) -> None:
    """An answer that came too late to be of interest."""
    if not task.cancelled():
        task.exception()


@dataclass(frozen=True, slots=True)
class Written:
    """How far a server has written at a moment of its clock; products appear and disappear by clocks."""

    position: int
    at: datetime
    system: int
    """Which server: all of its replicas have the same."""


async def _written(session: AsyncSession) -> Written:
    return Written(*(await session.execute(WRITTEN)).one())


# On a page of the log that nothing is written to yet, the next record would begin behind the page's header, while the
# last one that a replica replayed has ended before it.
WRITTEN = text(
    """
    SELECT CASE WHEN next % pg_size_bytes(current_setting('wal_segment_size')) = 40 THEN next - 40
                WHEN next % CAST(current_setting('wal_block_size') AS bigint) = 24 THEN next - 24
                ELSE next END AS position,
           clock_timestamp() AS at, system_identifier AS system
    FROM (SELECT CAST(pg_current_wal_insert_lsn() - '0/0' AS bigint) AS next) AS log, pg_control_system()
    """
)


async def _replayed(session: AsyncSession, wanted: Written) -> Row[Any]:
    return (await session.execute(REPLAYED, asdict(wanted))).one()


REPLAYED = text(
    """
    SELECT pg_is_in_recovery() AND system_identifier = :system AS is_a_replica,
           coalesce(pg_last_wal_replay_lsn() - '0/0', 0) >= :position AND clock_timestamp() >= :at AS has_replayed
    FROM pg_control_system()
    """
)
