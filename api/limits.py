"""The limits as operators see them, and how they change them while the shop runs."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

import structlog
from litestar import Controller, get, put
from pydantic import AfterValidator, Field
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth import Caller
from api.errors import refuses
from api.limiting import Doorway
from api.operators import DENIED
from api.schemas import Input, Output
from db import audit_log, limits
from domain.errors import Refusal
from domain.limits import FORM, NAMES, Quota
from domain.permissions import Permission
from runtime.in_force import InForce
from runtime.resources import Resources

log = structlog.get_logger()


def written(quota: str) -> str:
    return str(Quota.of(quota))


QuotaText = Annotated[
    str,
    Field(
        max_length=20,
        examples=["100/min", "5/10s"],
        description="So many requests in so much time",
        json_schema_extra={"pattern": f"^{FORM.pattern}$"},
    ),
    AfterValidator(written),
]


class LimitOut(Output):
    name: str = Field(examples=["address", "address.login"])
    quota: str = Field(description="What holds")
    setting: str | None = Field(description="What the settings say; `null`: this kind has no limit of its own there")
    changed_at: datetime | None


class LimitList(Output):
    items: list[LimitOut]


class LimitChange(Input):
    quota: QuotaText | None = Field(description="`null`: again what the settings say")
    reason: Annotated[str, Field(min_length=1, max_length=500, description="It is kept in the audit log")]


class LimitController(Controller):
    path = "/v1/admin/limits"
    tags = ("Operators",)

    @get(permission=Permission.LIMITS_READ, summary="See the limits", responses=refuses(*DENIED))
    async def show(self, resources: Resources) -> LimitList:
        """How often may be asked, by whom, and what was changed since the shop was started."""
        async with resources.autocommit() as session:
            return await shown(session, resources)

    @put(
        "/{name:str}",
        permission=Permission.LIMITS_WRITE,
        summary="Change a limit",
        responses=refuses(*DENIED, "not_found"),
    )
    async def change(self, name: str, data: LimitChange, caller: Caller, resources: Resources) -> LimitList:
        """In force in all processes within a second. `address.checkouts` gives one kind of request its own limit."""
        if name not in NAMES:
            raise Refusal("not_found", "There is no such limit.")
        async with resources.sessions.begin() as session:
            await audit_log.note(
                session, caller.name, "limit.change", words=f"{name} to {data.quota or 'its setting'}: {data.reason}"
            )
            await limits.change(session, name, Quota.of(data.quota) if data.quota else None)
            return await shown(session, resources)


async def shown(session: AsyncSession, resources: Resources) -> LimitList:
    settings, changed = resources.settings.quotas, await limits.changed(session)
    return LimitList(
        items=[
            LimitOut(
                name=name,
                quota=str(changed[name][0] if name in changed else settings[name]),
                setting=str(settings[name]) if name in settings else None,
                changed_at=changed[name][1] if name in changed else None,
            )
            for name in sorted(NAMES & (settings.keys() | changed.keys()))
        ]
    )


class LimitsInForce(InForce):
    """Sees to it that the doorway holds to what the tables say."""

    name = "limits"

    def __init__(self, resources: Resources, doorway: Doorway) -> None:
        super().__init__()
        self._resources = resources
        self._doorway = doorway

    async def look(self) -> None:
        async with self._resources.autocommit() as session:
            changed = await limits.changed(session)
        self._hold_to({name: quota for name, (quota, _) in changed.items() if name in NAMES})

    def _hold_to(self, changed: Mapping[str, Quota]) -> None:
        wanted = {**self._resources.settings.quotas, **changed}
        if wanted != self._doorway.limiter.quotas:
            self._doorway.limiter.hold_to(wanted)
            log.info("limits", **{name: str(quota) for name, quota in wanted.items()})
