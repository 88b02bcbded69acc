"""What operators change while the shop runs holds in each process: told by Postgres, and by a look now and then."""

import asyncio

from db.waiting import happens
from runtime.chores import kept_up

LOOK_SECONDS = 60.0
"""How often each process looks whether something was changed although nobody has told it so."""
PAUSE_SECONDS = 0.5
"""Between two looks, however much is told."""


class InForce:
    """Looks when there are news, and again and again while a look does not succeed."""

    name: str
    """Of what is held to, for the log."""

    def __init__(self) -> None:
        self._has_news = asyncio.Event()
        self._is_sure = False
        """Did the last look succeed?"""

    async def look(self) -> None:
        """See what holds now, and hold to it."""
        raise NotImplementedError

    async def begin(self) -> None:
        self._has_news.set()

    def hear(self, _: None) -> None:
        self._has_news.set()

    def lose(self) -> None:
        """Whoever hears again begins with a look."""

    async def follow(self) -> None:
        """Until cancelled."""
        await kept_up(self._look_when_told, name=self.name, pause_seconds=PAUSE_SECONDS)

    async def _look_when_told(self) -> None:
        await happens(self._has_news, within=LOOK_SECONDS if self._is_sure else 0)
        self._has_news.clear()
        self._is_sure = False
        await self.look()
        self._is_sure = True
