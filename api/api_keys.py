"""API keys: admins make them for machines, see what they are used for, and revoke them."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from operator import attrgetter
from typing import Annotated
from uuid import UUID

from litestar import Controller, delete, get, post
from litestar.datastructures import CacheControlHeader
from pydantic import Field, field_validator

from api.auth import Caller
from api.errors import refuses
from api.operators import DENIED
from api.paging import Cursor, Limit, cursor_behind, id_in_cursor
from api.schemas import Input, Output
from db import api_keys, audit_log
from db.api_keys import ApiKey
from db.tokens import API_KEY_PREFIX, hash_of, new_api_key
from domain.errors import Refusal
from domain.permissions import FOR_KEYS, Permission
from runtime.resources import Resources

HINT_LENGTH = len(API_KEY_PREFIX) + 4


class KeyStatus(StrEnum):
    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


class NewApiKey(Input):
    name: Annotated[str, Field(min_length=1, max_length=100, description="Which machine it is for")]
    permissions: Annotated[
        list[Permission],
        Field(min_length=1, max_length=len(FOR_KEYS), description=f"Of {', '.join(sorted(FOR_KEYS))}"),
    ]
    expires_in_days: Annotated[int, Field(ge=1, le=366, strict=True)] = 90

    @field_validator("permissions")
    @classmethod
    def keys_are_made_for_these(cls, permissions: list[Permission]) -> list[Permission]:
        if beyond := sorted(set(permissions) - FOR_KEYS):
            raise ValueError(f"keys are not made for {', '.join(beyond)}")
        return permissions


class ApiKeyOut(Output):
    id: UUID
    name: str
    hint: str = Field(description="How the key begins")
    permissions: list[str]
    status: KeyStatus
    created_by: str
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    last_used_at: datetime | None = Field(description="Give or take a minute")


class NewApiKeyOut(ApiKeyOut):
    key: str = Field(description="Shown this once; send it as `Authorization: Bearer …`")


class ApiKeyPage(Output):
    items: list[ApiKeyOut]
    next_cursor: str | None


class ApiKeyController(Controller):
    path = "/v1/admin/api-keys"
    tags = ("Operators",)
    cache_control = CacheControlHeader(no_store=True)

    @post(permission=Permission.KEYS_MANAGE, summary="Make an API key", responses=refuses(*DENIED))
    async def create(self, data: NewApiKey, caller: Caller, resources: Resources) -> NewApiKeyOut:
        """The key itself is in this answer and nowhere else: only its hash is kept."""
        key = new_api_key()
        async with resources.sessions.begin() as session:
            made = await api_keys.make(
                session,
                name=data.name,
                key_hash=hash_of(key),
                hint=key[:HINT_LENGTH],
                permissions=set(data.permissions),
                created_by=caller.name,
                lasts=timedelta(days=data.expires_in_days),
            )
            words = f"{made.id} for {', '.join(made.permissions)}"
            await audit_log.note(session, caller.name, "make_api_key", words=words)
        return NewApiKeyOut(**vars(key_out(made)), key=key)

    @get(permission=Permission.KEYS_MANAGE, summary="List API keys", responses=refuses(*DENIED))
    async def list_keys(self, resources: Resources, limit: Limit, cursor: Cursor) -> ApiKeyPage:
        """All that were ever made, newest first, with when they were last used."""
        async with resources.autocommit() as session:
            rows = await api_keys.page(session, limit=limit + 1, before=id_in_cursor(cursor))
        more = cursor_behind(rows, limit, attrgetter("id"))
        return ApiKeyPage(items=[key_out(row) for row in rows[:limit]], next_cursor=more)

    @delete(
        "/{key_id:uuid}",
        status_code=200,
        permission=Permission.KEYS_MANAGE,
        summary="Revoke an API key",
        responses=refuses(*DENIED, "not_found"),
    )
    async def revoke(self, key_id: UUID, caller: Caller, resources: Resources) -> ApiKeyOut:
        """From the next request on it opens nothing; revoking twice is revoking once."""
        async with resources.sessions.begin() as session:
            revoked = await api_keys.revoke(session, key_id)
            if revoked is None:
                raise Refusal("not_found", "There is no such API key.")
            await audit_log.note(session, caller.name, "revoke_api_key", words=str(key_id))
        return key_out(revoked)


def key_out(key: ApiKey) -> ApiKeyOut:
    return ApiKeyOut(
        id=key.id,
        name=key.name,
        hint=key.hint,
        permissions=key.permissions,
        status=_status(key),
        created_by=key.created_by,
        created_at=key.created_at,
        expires_at=key.expires_at,
        revoked_at=key.revoked_at,
        last_used_at=key.last_used_at,
    )


def _status(key: ApiKey) -> KeyStatus:
    if key.revoked_at is not None:
        return KeyStatus.REVOKED
    return KeyStatus.ACTIVE if key.expires_at > datetime.now(UTC) else KeyStatus.EXPIRED
