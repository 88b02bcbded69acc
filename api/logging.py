"""What the shop's processes log, as operators see it, and how they change it while the shop runs."""

from datetime import datetime
from typing import Annotated

from litestar import Controller, get, put
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth import Caller
from api.errors import refuses
from api.operators import DENIED
from api.schemas import Input, Output
from db import audit_log, log_level
from domain.permissions import Permission
from domain.telemetry import LogLevel
from runtime.resources import Resources


class LogLevelOut(Output):
    level: LogLevel = Field(description="What is logged at least")
    setting: LogLevel = Field(description="What the settings say")
    changed_at: datetime | None = Field(description="`null`: it is as the settings say")


class LogLevelChange(Input):
    level: LogLevel | None = Field(description="`null`: again what the settings say")
    reason: Annotated[str, Field(min_length=1, max_length=500, description="It is kept in the audit log")]


class LogLevelController(Controller):
    path = "/v1/admin/log-level"
    tags = ("Operators",)

    @get(permission=Permission.LOGS_LEVEL, summary="See what is logged", responses=refuses(*DENIED))
    async def show(self, resources: Resources) -> LogLevelOut:
        """The level of all processes, of the API and of the workers."""
        async with resources.autocommit() as session:
            return await shown(session, resources)

    @put(permission=Permission.LOGS_LEVEL, summary="Change what is logged", responses=refuses(*DENIED))
    async def change(self, data: LogLevelChange, caller: Caller, resources: Resources) -> LogLevelOut:
        """In force in all processes within a second, without a restart, and until it is changed again."""
        async with resources.sessions.begin() as session:
            await audit_log.note(
                session, caller.name, "log_level.change", words=f"to {data.level or 'its setting'}: {data.reason}"
            )
            await log_level.change(session, data.level)
            return await shown(session, resources)


async def shown(session: AsyncSession, resources: Resources) -> LogLevelOut:
    setting, changed = resources.settings.log_level, await log_level.changed(session)
    return LogLevelOut(
        level=changed[0] if changed else setting, setting=setting, changed_at=changed[1] if changed else None
    )
