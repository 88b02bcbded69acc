"""Sees to it that a process logs what operators want to see."""

import structlog

from db import log_level
from db.engine import Sessions
from domain.telemetry import LogLevel
from runtime.in_force import InForce
from runtime.telemetry import LEVEL, Level

log = structlog.get_logger()


class LevelInForce(InForce):
    name = "log level"

    def __init__(self, sessions: Sessions, setting: LogLevel, level: Level = LEVEL) -> None:
        super().__init__()
        self._sessions = sessions
        self._setting = setting
        self._level = level

    async def look(self) -> None:
        async with self._sessions() as session:
            changed = await log_level.changed(session)
        self._hold_to(changed[0] if changed else self._setting)

    def _hold_to(self, level: LogLevel) -> None:
        if level != self._level.name:
            self._level.hold_to(level)
            log.critical("log_level", to=level)
