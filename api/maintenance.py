"""Maintenance: whatever would change something is answered 503, until an admin says that it is over.

The catalogue, carts and orders can be looked at, staff can sign in and work, and what was begun goes on: workers do not
rest.
"""

from datetime import datetime
from typing import Annotated

import structlog
from litestar import Controller, get, put
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send
from litestar.utils import normalize_path
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth import Caller
from api.errors import refuse, refuses
from api.operators import DENIED
from api.schemas import Input, Output
from db import audit_log, maintenance
from db.engine import Sessions
from db.maintenance import LONGEST_SECONDS
from domain.permissions import Permission
from runtime.in_force import InForce
from runtime.resources import Resources

log = structlog.get_logger()

LOOKING = frozenset({"GET", "HEAD", "OPTIONS"})
THE_STAFFS_WAY_IN = frozenset({"/v1/auth/login", "/v1/auth/refresh", "/v1/auth/logout"})
OF_THE_STAFF = ("/v1/admin/", "/codec/")

CLOSED = "The shop is being worked on and changes nothing at the moment; nothing was done."


class Doors:
    """Closed while there is maintenance."""

    def __init__(self) -> None:
        self.retry_after_seconds: int | None = None
        """When to come again; ``None`` while they are open."""

    def around(self, app: ASGIApp) -> ASGIApp:
        async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
            if (seconds := self.retry_after_seconds) is None or scope["type"] != ScopeType.HTTP or is_let_in(scope):
                await app(scope, receive, send)
            else:
                await refuse(scope, send, "maintenance", CLOSED, headers=[(b"retry-after", str(seconds).encode())])

        return middleware


def is_let_in(scope: HTTPScope) -> bool:
    path = normalize_path(scope["path"])
    return scope["method"] in LOOKING or path in THE_STAFFS_WAY_IN or path.startswith(OF_THE_STAFF)


class MaintenanceInForce(InForce):
    """Sees to it that the doors are as the table says."""

    name = "maintenance"

    def __init__(self, sessions: Sessions, doors: Doors) -> None:
        super().__init__()
        self._sessions = sessions
        self._doors = doors

    async def look(self) -> None:
        async with self._sessions() as session:
            pause = await maintenance.in_force(session)
        seconds = pause.retry_after_seconds if pause else None
        if seconds != self._doors.retry_after_seconds:
            self._doors.retry_after_seconds = seconds
            log.warning("maintenance", retry_after_seconds=seconds)


class MaintenanceOut(Output):
    is_on: bool
    retry_after_seconds: int | None = Field(description="What `Retry-After` says meanwhile")
    begun_at: datetime | None


class MaintenanceChange(Input):
    is_on: bool
    retry_after_seconds: Annotated[int, Field(ge=1, le=LONGEST_SECONDS)] = Field(
        default=300, description="When customers are told to come again"
    )
    reason: Annotated[str, Field(min_length=1, max_length=500, description="It is kept in the audit log")]


class MaintenanceController(Controller):
    path = "/v1/admin/maintenance"
    tags = ("Operators",)

    @get(permission=Permission.MAINTENANCE, summary="See whether there is maintenance", responses=refuses(*DENIED))
    async def show(self, resources: Resources) -> MaintenanceOut:
        """As it holds, or begins to hold within a second, in all processes."""
        async with resources.autocommit() as session:
            return await shown(session)

    @put(permission=Permission.MAINTENANCE, summary="Begin or end maintenance", responses=refuses(*DENIED))
    async def change(self, data: MaintenanceChange, caller: Caller, resources: Resources) -> MaintenanceOut:
        """In force in all processes within a second: what would change something is answered 503 `maintenance`.

        Looking goes on, and so do signing in, `/v1/admin`, and what was begun before.
        """
        async with resources.sessions.begin() as session:
            action = "maintenance.begin" if data.is_on else "maintenance.end"
            await audit_log.note(session, caller.name, action, words=data.reason)
            if data.is_on:
                await maintenance.begin(session, data.retry_after_seconds)
            else:
                await maintenance.end(session)
            return await shown(session)


async def shown(session: AsyncSession) -> MaintenanceOut:
    pause = await maintenance.in_force(session)
    return MaintenanceOut(
        is_on=pause is not None,
        retry_after_seconds=pause.retry_after_seconds if pause else None,
        begun_at=pause.begun_at if pause else None,
    )
