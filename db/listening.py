"""What Postgres tells, heard the moment it is committed, whoever wrote it."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import asyncpg
import structlog
from sqlalchemy import URL

from db.waiting import happens

log = structlog.get_logger()

CHECK_SECONDS = 5.0
"""How often a silent connection is asked whether it still lives."""
SHORTEST_PAUSE, LONGEST_PAUSE = 0.05, 2.0

News = TypeVar("News")
Heard = TypeVar("Heard", contravariant=True)


class Reader(Protocol[Heard]):
    async def begin(self) -> None:
        """From now on no news is missed; what was known before may be stale."""

    def hear(self, news: Heard, /) -> None: ...

    def lose(self) -> None:
        """From now on news may be missed."""


@dataclass(frozen=True)
class Channel(Generic[News]):
    """What triggers tell under a name, and who wants to know."""

    name: str
    understood: Callable[[str], News]
    readers: Sequence[Reader[News]]

    def told(self, _: Any, __: int, ___: str, payload: object) -> None:
        news = self.understood(str(payload))
        for reader in self.readers:
            reader.hear(news)


class Listening:
    """Keeps one connection open that listens, and opens it again when it breaks."""

    def __init__(self, url: URL, *channels: Channel[Any]) -> None:
        self._url = url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._channels = channels
        self._readers = [reader for channel in channels for reader in channel.readers]

    async def run(self) -> None:
        """Until cancelled."""
        pause = SHORTEST_PAUSE
        while True:
            try:
                await self._listen()
                pause = SHORTEST_PAUSE
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                log.warning("news_lost", error=type(error).__name__)
                pause = min(pause * 2, LONGEST_PAUSE)
            await asyncio.sleep(pause)

    async def _listen(self) -> None:
        connection = await asyncpg.connect(self._url, timeout=5, server_settings={"application_name": "sutler news"})
        is_broken = asyncio.Event()
        connection.add_termination_listener(lambda _: is_broken.set())
        try:
            for channel in self._channels:
                await connection.add_listener(channel.name, channel.told)
            for reader in self._readers:
                await reader.begin()
            while not is_broken.is_set():
                await happens(is_broken, within=CHECK_SECONDS)
                await connection.execute("SELECT 1", timeout=CHECK_SECONDS)
        finally:
            for reader in self._readers:
                reader.lose()
            connection.terminate()
