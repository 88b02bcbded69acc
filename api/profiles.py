"""Profiles of accounts: read from Valkey, and thrown away there the moment an account changes."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from pydantic import Field

from api.schemas import Output
from db import customer_groups
from db.customers import User
from db.engine import Sessions
from db.listening import Channel, Reader
from domain.customers import AccountStatus, Role
from runtime.cache.memory import Flights
from runtime.cache.shared import SharedCache

FIELD = "profile_with_groups"
"""Named for its shape: while a new version comes, processes of both share one Valkey."""
NOBODY = b""
"""Kept of an account that is not there or not active, so that asking for it again and again costs Postgres nothing."""


class ProfileOut(Output):
    id: UUID
    username: str
    email: str
    role: Role
    status: AccountStatus
    groups: list[str] = Field(description="Codes of the customer groups that the account is in")
    created_at: datetime


def profile(user: User, groups: list[str]) -> ProfileOut:
    return ProfileOut(
        id=user.id,
        username=user.username,
        email=user.email,
        role=Role(user.role),
        status=AccountStatus(user.status),
        groups=groups,
        created_at=user.created_at,
    )


class Profiles:
    """Cache-aside over the accounts: Valkey first, then Postgres. What is kept of an account is its profile, no more.

    Postgres tells every process of each change of an account, whoever made it. While it cannot, nothing is taken from
    Valkey.
    """

    def __init__(self, sessions: Sessions, shared: SharedCache) -> None:
        self._sessions = sessions
        self._shared = shared
        self._flights: Flights[UUID, ProfileOut | None] = Flights()
        self._forgetting: set[asyncio.Task[None]] = set()
        self.is_told = False
        """Does Postgres tell us of every change?"""

    # What Postgres tells us.

    async def begin(self) -> None:
        self._shared.doubt()
        self.is_told = True

    def hear(self, account: UUID) -> None:
        task = asyncio.create_task(self.forget(account))
        self._forgetting.add(task)
        task.add_done_callback(self._forgetting.discard)

    def lose(self) -> None:
        self.is_told = False
        self._flights.part_with_all()

    async def forget(self, account: UUID) -> None:
        """After a commit that changed it: from now on nobody is shown what it was."""
        self._flights.part_with(account)
        await self._shared.forget([_name(account)])

    # What is asked of us.

    async def of(self, account: UUID) -> ProfileOut | None:
        """The profile of an active account, or ``None``."""
        return await self._flights.join(account, lambda: self._fetched(account))

    async def _fetched(self, account: UUID) -> ProfileOut | None:
        name = _name(account)
        kept, leases = await self._shared.get([name], FIELD) if self.is_told else ({}, {})
        if name in kept:
            return None if kept[name] == NOBODY else ProfileOut.model_validate_json(kept[name])
        async with self._sessions() as session:
            known = await customer_groups.with_groups(session, account)
        found = profile(*known) if known is not None and known[0].status == AccountStatus.ACTIVE else None
        body = NOBODY if found is None else found.model_dump_json().encode()
        await self._shared.fill(FIELD, {name: body}, leases)
        return found


def account_news(shop_schema: str, readers: Sequence[Reader[UUID]]) -> Channel[UUID]:
    return Channel(f"accounts_{shop_schema}", UUID, readers)


def _name(account: UUID) -> str:
    return f"user:{account}"
