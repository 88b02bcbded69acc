"""Exports of the catalogue: staff asks for a file of all products, and fetches it when it is written."""

from collections.abc import AsyncIterator
from operator import attrgetter
from typing import Any
from uuid import UUID

from litestar import Controller, Response, get, post
from litestar.response import Stream
from pydantic import AwareDatetime, Field
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth import Caller
from api.errors import refuses
from api.idempotency import Asked, Once
from api.imports import DENIED, begun_soon, headers_of_file, id_in, kept_until, known_currency
from api.paging import Cursor, Limit, cursor_behind, id_in_cursor
from api.schemas import CurrencyCode, Input, Output
from api.stories import Stories
from db import audit_log, exports
from db.base import new_id
from db.exports import CatalogExport
from domain.exports import ExportStatus, WriteExport
from domain.imports import FileFormat
from domain.permissions import Permission
from runtime.resources import Resources


class NewExport(Input):
    format: FileFormat = Field(default=FileFormat.JSONL, description="JSON lines hold all that an import takes")
    currency: CurrencyCode | None = Field(default=None, description="Of the prices; the shop's own by default")


class LeftOut(Output):
    slug: str
    reason: str


class ExportOut(Output):
    id: UUID
    status: ExportStatus
    format: FileFormat
    currency: str
    bytes: int = Field(description="The length of the file, as far as it is written")
    products: int = Field(description="How many are written")
    left_out: int = Field(description="How many products the format or the currency cannot hold")
    expected: int = Field(description="About what `products` and `left_out` add up to once it is `completed`")
    left_out_examples: list[LeftOut] = Field(description="The first hundred of them, and why")
    created_at: AwareDatetime
    started_at: AwareDatetime | None
    ended_at: AwareDatetime | None
    kept_until: AwareDatetime | None = Field(description="Until then the file can be had")


class ExportPage(Output):
    items: list[ExportOut]
    next_cursor: str | None


class ExportController(Controller):
    path = "/v1/admin/catalog/exports"
    tags = ("Catalogue",)

    @post(
        permission=Permission.CATALOG_TRANSFER,
        status_code=202,
        summary="Export the catalogue",
        responses=refuses(*DENIED, "idempotency_key_reused"),
    )
    async def ask_for(
        self, data: NewExport, caller: Caller, resources: Resources, stories: Stories, once: Once
    ) -> Response[ExportOut]:
        """Writes all products but the archived, as they are at one moment, into a file that an import takes.

        It is written in the background: look at `Location`. An import of the file changes nothing.
        """
        currency = known_currency(data.currency or resources.settings.shop.currency)
        export_id = new_id()

        async def carry_out(session: AsyncSession) -> ExportOut:
            await audit_log.note(session, caller.name, "export_catalog", entry_id=export_id)
            made = await exports.ask_for(session, export_id, data.format, currency, actor=caller.name)
            return shown(made, resources)

        asked = Asked("export_catalog", caller.id or export_id, data)
        answer = await once.write(asked, carry_out, status_code=202)
        made = id_in(answer)
        await begun_soon(stories.begin_export(WriteExport(export_id=made)))
        answer.headers["Location"] = f"{self.path}/{made}"
        return answer

    @get(permission=Permission.CATALOG_TRANSFER, summary="See exports", responses=refuses(*DENIED))
    async def list_exports(self, resources: Resources, limit: Limit, cursor: Cursor) -> ExportPage:
        """The newest first."""
        async with resources.autocommit() as session:
            found = await exports.newest(session, limit=limit + 1, before=id_in_cursor(cursor))
        more = cursor_behind(found, limit, attrgetter("id"))
        return ExportPage(items=[shown(made, resources) for made in found[:limit]], next_cursor=more)

    @get(
        "/{export_id:uuid}",
        permission=Permission.CATALOG_TRANSFER,
        summary="See whether an export is written",
        responses=refuses(*DENIED, "not_found"),
    )
    async def see(self, export_id: UUID, resources: Resources) -> ExportOut:
        """Its status, how far it is, and what the file holds and does not hold."""
        async with resources.autocommit() as session:
            return shown(await exports.by_id(session, export_id), resources)

    @get(
        "/{export_id:uuid}/file",
        permission=Permission.CATALOG_TRANSFER,
        summary="Have the file",
        media_type="application/x-ndjson",
        responses=refuses(*DENIED, "not_found", "export_not_finished", "export_file_gone"),
    )
    async def file(self, export_id: UUID, resources: Resources) -> Stream:
        """Streamed as it was written."""
        async with resources.autocommit() as session:
            made = await exports.with_file(session, export_id)
        headers = {**headers_of_file("catalog", FileFormat(made.format)), "Content-Length": str(made.size)}
        return Stream(pieces_of(made, resources), headers=headers)

    @post(
        "/{export_id:uuid}/cancel",
        permission=Permission.CATALOG_TRANSFER,
        status_code=200,
        summary="Cancel an export",
        responses=refuses(*DENIED, "not_found", "export_transition_not_allowed", "idempotency_key_reused"),
    )
    async def cancel(self, export_id: UUID, caller: Caller, resources: Resources, once: Once) -> Response[ExportOut]:
        """Nothing more is written, and nothing is kept of what was."""

        async def carry_out(session: AsyncSession) -> ExportOut:
            await audit_log.note(session, caller.name, "cancel_export", words=f"export {export_id}")
            return shown(await exports.cancel(session, export_id), resources)

        return await once.write(Asked("cancel_export", export_id), carry_out, status_code=200)


async def pieces_of(made: CatalogExport, resources: Resources) -> AsyncIterator[bytes]:
    """One after the other; between two, no connection is held for a client that may be slow."""
    number = 0
    while (content := await piece_of(made, number, resources)) is not None:
        yield content
        number += 1


async def piece_of(made: CatalogExport, number: int, resources: Resources) -> bytes | None:
    async with resources.autocommit() as session:
        return await exports.piece(session, made.id, made.attempt, number)


def shown(made: CatalogExport, resources: Resources) -> ExportOut:
    examples: list[Any] = made.examples
    return ExportOut(
        id=made.id,
        status=ExportStatus(made.status),
        format=FileFormat(made.format),
        currency=made.currency,
        bytes=made.size,
        products=made.products,
        left_out=made.left_out,
        expected=made.expected,
        left_out_examples=[LeftOut(slug=example["slug"], reason=example["reason"]) for example in examples],
        created_at=made.created_at,
        started_at=made.started_at,
        ended_at=made.ended_at,
        kept_until=kept_until(made, resources),
    )
