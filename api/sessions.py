"""The devices that somebody is signed in on, and how to sign them out from operator import attrgetter
from elsewhere."""

from datetime import datetime
from operator import attrgetter
from typing import Annotated, Any
from uuid import UUID

from litestar import Controller, Request, delete, get
from litestar.params import Parameter
from pydantic import Field

from api.auth import Caller
from api.credentials import NOT_STORED
from api.errors import refuses
from api.paging import Cursor, Limit, cursor_behind, id_in_cursor
from api.schemas import Output
from api.users import whoever
from db import audit_log, customers, sessions
from db.sessions import LoginSession
from domain.errors import Refusal
from domain.permissions import Permission
from domain.sessions import Device, device
from runtime.resources import Resources


class SessionOut(Output):
    id: UUID
    is_current: bool = Field(description="Whether this request belongs to it")
    user_agent: str | None = Field(description="What the device said that it is")
    network: str | None = Field(description="Where it was last used from, coarsely", examples=["203.0.113.0/24"])
    created_at: datetime
    last_used_at: datetime = Field(description="When it last signed in or refreshed its tokens")
    expires_at: datetime


class SessionPage(Output):
    items: list[SessionOut]
    next_cursor: str | None


OthersOnly = Annotated[
    bool, Parameter(query="others_only", default=False, description="Keep the session of this request")
]


class SessionController(Controller):
    path = "/v1/users/me/sessions"
    tags = ("Identity",)
    cache_control = NOT_STORED

    @get(
        permission=Permission.ACCOUNT,
        summary="List where I am signed in",
        responses=refuses("unauthenticated", "forbidden"),
    )
    async def list_mine(self, caller: Caller, resources: Resources, limit: Limit, cursor: Cursor) -> SessionPage:
        """Live sessions, the newest first."""
        async with resources.autocommit() as session:
            found = await sessions.live_ones(session, whoever(caller), limit=limit + 1, before=id_in_cursor(cursor))
        more = cursor_behind(found, limit, attrgetter("id"))
        return SessionPage(items=[shown(one, caller) for one in found[:limit]], next_cursor=more)

    @delete(
        "/{session_id:uuid}",
        permission=Permission.ACCOUNT,
        status_code=204,
        summary="Sign a device out",
        responses=refuses("unauthenticated", "forbidden", "not_found"),
    )
    async def end(self, session_id: UUID, caller: Caller, resources: Resources) -> None:
        """Its access and refresh tokens stop working at once."""
        async with resources.sessions.begin() as session:
            if not await sessions.end(session, whoever(caller), session_id):
                raise Refusal("not_found", "You have no such session.")
        await resources.deny_list.add(session_id)

    @delete(
        permission=Permission.ACCOUNT,
        status_code=204,
        summary="Sign all devices out",
        responses=refuses("unauthenticated", "forbidden"),
    )
    async def end_all(self, caller: Caller, resources: Resources, others_only: OthersOnly) -> None:
        """All tokens of the account stop working at once."""
        kept = caller.session_id if others_only else None
        async with resources.sessions.begin() as session:
            ended = await sessions.end_all(session, whoever(caller), but=kept)
        await resources.deny_list.add(*ended)


@delete(
    "/v1/admin/users/{user_id:uuid}/sessions",
    permission=Permission.STAFF_MANAGE,
    status_code=204,
    tags=["Staff"],
    summary="Sign somebody out everywhere",
    responses=refuses("unauthenticated", "forbidden", "not_found"),
)
async def end_sessions_of(user_id: UUID, caller: Caller, resources: Resources) -> None:
    """All tokens of the account stop working at once. It is not locked: who knows the password signs in again."""
    async with resources.sessions.begin() as session:
        if await customers.by_id(session, user_id) is None:
            raise Refusal("not_found", "There is no such account.")
        ended = await sessions.end_all(session, user_id)
        await audit_log.note(session, caller.name, "end_sessions", words=str(user_id))
    await resources.deny_list.add(*ended)


def shown(one: LoginSession, caller: Caller) -> SessionOut:
    return SessionOut(
        id=one.id,
        is_current=one.id == caller.session_id,
        user_agent=one.user_agent,
        network=one.network,
        created_at=one.created_at,
        last_used_at=one.last_used_at,
        expires_at=one.expires_at,
    )


def device_of(request: Request[Any, Any, Any]) -> Device:
    """What the session is shown with; of its address no more is kept than the network."""
    return device(user_agent=request.headers.get("user-agent"), address=request.scope["state"].get("address"))
