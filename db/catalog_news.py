"""What changed in the catalogue, heard from Postgres the moment it is committed, whoever wrote it."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

import asyncpg
import structlog
from sqlalchemy import URL

log = structlog.get_logger()

CHECK_SECONDS = 5.0
"""How often a silent connection is asked whether it still lives."""
SHORTEST_PAUSE, LONGEST_PAUSE = 0.05, 2.0


@dataclass(frozen=True, slots=True)
class News:
    """These products changed; ``None`` when any may have."""

    products: frozenset[UUID] | None
    is_listing: bool
    """Which products a list shows, or their order, may have changed too."""


EVERYTHING = News(products=None, is_listing=True)


class Reader(Protocol):
    async def begin(self) -> None:
        """From now on no news is missed; what was known before may be stale."""

    def hear(self, news: News) -> None: ...

    def lose(self) -> None:
        """From now on news may be missed."""


class CatalogNews:
    """Keeps one connection open that listens, and opens it again when it breaks."""

    def __init__(self, url: URL, *, shop_schema: str, readers: Sequence[Reader]) -> None:
        self._url = url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._channel = f"catalog_{shop_schema}"
        self._readers = readers

    async def run(self) -> None:
        """Until cancelled."""
        pause = SHORTEST_PAUSE
        while True:
            try:
                await self._listen()
                pause = SHORTEST_PAUSE
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                log.warning("catalog_news_lost", error=type(error).__name__)
                pause = min(pause * 2, LONGEST_PAUSE)
            await asyncio.sleep(pause)

    async def _listen(self) -> None:
        connection = await asyncpg.connect(
            self._url, timeout=5, server_settings={"application_name": "sutler catalog news"}
        )
        is_broken = asyncio.Event()
        connection.add_termination_listener(lambda _: is_broken.set())
        try:
            await connection.add_listener(self._channel, self._told)
            for reader in self._readers:
                await reader.begin()
            while not is_broken.is_set():
                await _happens(is_broken, within=CHECK_SECONDS)
                await connection.execute("SELECT 1", timeout=CHECK_SECONDS)
        finally:
            for reader in self._readers:
                reader.lose()
            connection.terminate()

    def _told(self, _: Any, __: int, ___: str, payload: object) -> None:
        news = news_of(str(payload))
        for reader in self._readers:
            reader.hear(news)


async def _happens(event: asyncio.Event, *, within: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), within)
    except TimeoutError:
        return


def news_of(payload: str) -> News:
    """What the triggers of the catalogue's tables say."""
    said = json.loads(payload)
    if said.get("all"):
        return EVERYTHING
    return News(frozenset(UUID(product) for product in said["products"]), bool(said["listing"]))
