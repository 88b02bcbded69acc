"""Somebody with a role, signed in without the detour over mail and password."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from sqlalchemy import func

from db.base import new_id
from db.customers import User
from db.sessions import LoginSession
from domain.customers import AccountStatus, Role
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
