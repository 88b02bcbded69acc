"""Somebody with a role, or a machine with a key, signed in without the detour over mail and password."""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from sqlalchemy import func

from db import api_keys
from db.base import new_id
from db.customers import User
from db.sessions import LoginSession
from db.tokens import hash_of, new_api_key
from domain.customers import AccountStatus, Role
from domain.permissions import Permission
from runtime.resources import Resources
from runtime.tokens import AccessClaims


async def headers_of(resources: Resources, role: Role) -> dict[str, str]:
    """The Authorization header of a new account with this role."""
    user_id, session_id, name = new_id(), new_id(), f"{role}.{uuid4().hex[:12]}"
    async with resources.sessions.begin() as session:
        account = User(
            id=user_id,
            username=name,
            email=f"{name}@example.com",
            password_hash="none",
            role=role,
            status=AccountStatus.ACTIVE,
            verified_at=func.now(),
        )
        session.add(account)
        await session.flush()
        session.add(LoginSession(id=session_id, user_id=user_id, expires_at=func.now() + timedelta(days=1)))
    claims = AccessClaims(user_id=user_id, role=role, session_id=session_id)
    return {"Authorization": f"Bearer {resources.tokens.access(claims, token_id=uuid4(), now=datetime.now(UTC))}"}


async def headers_of_a_key(resources: Resources, permissions: Collection[Permission]) -> dict[str, str]:
    """The Authorization header of a new API key that is good for this."""
    key = new_api_key()
    async with resources.sessions.begin() as session:
        await api_keys.make(
            session,
            name="a machine",
            key_hash=hash_of(key),
            hint=key[:7],
            permissions=permissions,
            created_by="admin:nobody",
            lasts=timedelta(days=1),
        )
    return {"Authorization": f"Bearer {key}"}
