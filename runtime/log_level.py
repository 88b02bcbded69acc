"""Sees to it that a process logs what operators want to see: told by Postgres, and by a look now and then."""

import asyncio

import structlog
from sqlalchemy.exc import SQLAlchemyError

from db import log_level
from db.engine import Sessions
from db.waiting import happens
from domain.telemetry import LogLevel
from runtime.telemetry import LEVEL, Level

log = structlog.get_logger()

LOOK_SECONDS = 60.0
"""How often each process looks whether the level was changed although nobody has told it so."""
PAUSE_SECONDS = 0.1


class LevelInForce:
    def __init__(self, sessions: Sessions, setting: LogLevel, level: Level = LEVEL) -> None:
        self._sessions = sessions
        self._setting = setting
        self._level = level
        self._has_news = asyncio.Event()

    async def begin(self) -> None:
        self._has_news.set()

    def hear(self, _: None) -> None:
        self._has_news.set()

    def lose(self) -> None:
        """Whoever hears again begins with a look."""

    async def follow(self) -> None:
        """Until cancelled."""
        while True:
            await happens(self._has_news, within=LOOK_SECONDS)
            self._has_news.clear()
            try:
                async with self._sessions() as session:
                    changed = await log_level.changed(session)
                self._hold_to(changed[0] if changed else self._setting)
            except (SQLAlchemyError, OSError, TimeoutError) as error:
                log.warning("log_level_unknown", error=type(error).__name__)
                self._has_news.set()
            await asyncio.sleep(PAUSE_SECONDS)

    def _hold_to(self, level: LogLevel) -> None:
        if level != self._level.name:
            self._level.hold_to(level)
            log.critical("log_level", to=level)
