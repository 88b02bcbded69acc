"""Variants that far more customers want than there are units, and the gate that their checkouts pass."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from litestar import Controller, delete, get, put
from pydantic import Field

from api.auth import Caller
from api.errors import refuses
from api.metrics import GATE_CHANGES
from api.operators import DENIED
from api.schemas import Output
from db import audit_log, hot_variants
from db.admissions import AdmissionGate
from db.engine import autocommitting, connect
from domain.permissions import Permission
from runtime.chores import kept_up
from runtime.resources import Resources

PAUSE_SECONDS = 0.1
"""Units of something hot change many times a second; they are not all counted one by one."""


class HotVariantOut(Output):
    variant_id: UUID
    sku: str
    is_marked: bool = Field(description="By staff; otherwise it was found hot, by the customers who came in vain")
    available: int = Field(description="Units that orders have not reserved")
    promised: int = Field(description="Units that checkouts on their way are about to reserve")
    gate: int | None = Field(
        description="Units that the gate would still admit, which is `available` less `promised`, give or take a "
        "second; `null` while it lets everybody in"
    )


class HotVariantList(Output):
    items: list[HotVariantOut]


class HotVariantController(Controller):
    path = "/v1/admin/hot-variants"
    tags = ("Stock",)

    @get(permission=Permission.STOCK_READ, summary="See what is hot", responses=refuses(*DENIED))
    async def show(self, resources: Resources, gate: AdmissionGate) -> HotVariantList:
        """Each variant whose checkouts pass the admission gate: what the gate says of it, and what the tables say."""
        async with resources.autocommit() as session:
            hot = gate.hot | set(await hot_variants.marked(session))
            count = await hot_variants.count(session, hot)
        free = await gate.free()
        return HotVariantList(
            items=[
                HotVariantOut(
                    variant_id=units.variant_id,
                    sku=units.sku,
                    is_marked=units.is_marked,
                    available=units.available,
                    promised=units.promised,
                    gate=free.get(units.variant_id),
                )
                for units in sorted(count.units, key=lambda units: units.sku)
            ]
        )

    @put(
        "/{variant_id:uuid}",
        permission=Permission.STOCK_WRITE,
        summary="Mark a variant as hot",
        status_code=204,
        responses=refuses(*DENIED, "not_found"),
    )
    async def mark(self, variant_id: UUID, caller: Caller, resources: Resources) -> None:
        """Before a sale: from the next second on its checkouts pass the gate. Marking twice is marking once."""
        await _mark(resources, variant_id, caller, is_hot=True)

    @delete(
        "/{variant_id:uuid}",
        permission=Permission.STOCK_WRITE,
        summary="Take the mark away",
        responses=refuses(*DENIED, "not_found"),
    )
    async def unmark(self, variant_id: UUID, caller: Caller, resources: Resources) -> None:
        """It passes the gate only while many customers come in vain."""
        await _mark(resources, variant_id, caller, is_hot=False)


async def _mark(resources: Resources, variant_id: UUID, caller: Caller, *, is_hot: bool) -> None:
    async with resources.sessions.begin() as session:
        await audit_log.note(
            session, caller.name, "variant.mark_hot" if is_hot else "variant.unmark_hot", words=str(variant_id)
        )
        await hot_variants.mark(session, variant_id, is_hot=is_hot)


@asynccontextmanager
async def admission_gate(resources: Resources) -> AsyncIterator[AdmissionGate]:
    """Its units are counted over a connection of its own: who waits behind a crowd cannot turn the crowd away."""
    database = resources.settings.database
    async with connect(
        database.url.get_secret_value(),
        shop_schema=database.shop_schema,
        pool_size=1,
        pool_wait_seconds=database.pool_wait_seconds,
        stock=resources.settings.shop.stock_rules,
        taxes=resources.settings.tax.policy,
        limits=database.limits_of_requests,
    ) as engine:
        yield AdmissionGate(
            resources.redis,
            autocommitting(engine),
            prefix=resources.settings.cache.prefix,
            rush=resources.settings.api.rush,
        )


async def keep_right(gate: AdmissionGate) -> None:
    """Until cancelled."""

    async def look() -> None:
        await gate.until_news()
        for change in (await gate.set_right()).values():
            GATE_CHANGES.labels("up" if change > 0 else "down").inc(abs(change))

    await kept_up(look, name="admission gate", pause_seconds=PAUSE_SECONDS)
