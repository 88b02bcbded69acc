"""Imports of the catalogue: staff sends files of products, and looks what became of their rows."""

import hashlib
from collections.abc import AsyncIterator, Awaitable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Annotated, Any
from uuid import UUID

from litestar import Controller, Request, Response, get, post
from litestar.openapi.spec import OpenAPIMediaType, Operation, RequestBody, Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.params import Parameter
from litestar.response import Stream
from pydantic import AwareDatetime, BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth import Caller
from api.errors import refuses
from api.idempotency import Asked, Once
from api.paging import Cursor, Limit, cursor_behind, decode_cursor, encode_cursor, forged, id_in_cursor
from api.schemas import Output
from api.stories import EngineAwayError, Stories
from db import audit_log, imports
from db.base import new_id
from db.catalog_files import CatalogFile
from db.imports import PIECE_BYTES, CatalogImport
from domain.errors import Refusal, unacceptable
from domain.imports import FileFormat, ImportCatalog, ImportStatus
from domain.money import minor_digits
from domain.permissions import Permission
from runtime.resources import Resources

FORMATS = {"text/csv": FileFormat.CSV, "application/x-ndjson": FileFormat.JSONL}
MEDIA_TYPES = {file_format: media_type for media_type, file_format in FORMATS.items()}
ROWS_AT_A_TIME = 200


class TallyOut(Output):
    created: int
    updated: int
    unchanged: int


class ImportOut(Output):
    id: UUID
    status: ImportStatus
    format: FileFormat
    currency: str
    attempt: int = Field(description="1 while the file is read; one more for each time its failed rows are tried again")
    bytes: int = Field(description="The length of the file")
    bytes_read: int = Field(description="How far it has been read")
    rows: int = Field(description="How many rows have been read")
    failed: int = Field(description="How many of them are not in the catalogue: see `errors` and `failed-rows`")
    products: TallyOut
    variants: TallyOut
    created_at: AwareDatetime
    started_at: AwareDatetime | None
    ended_at: AwareDatetime | None
    kept_until: AwareDatetime | None = Field(description="Until then the failed rows can be had, and tried again")


class ImportPage(Output):
    items: list[ImportOut]
    next_cursor: str | None


class ImportErrorOut(Output):
    line: int
    field: str = Field(description="The column of a CSV, or the JSON pointer of a field; empty for the whole row")
    message: str


class ImportErrorPage(Output):
    items: list[ImportErrorOut]
    next_cursor: str | None


class ReceivedFile(BaseModel):
    """What makes two uploads the same."""

    format: FileFormat
    currency: str
    sha256: str


@dataclass
class Upload(Operation):
    """A body that is a file."""

    def __post_init__(self) -> None:
        content = {name: OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING)) for name in FORMATS}
        self.request_body = RequestBody(content=content, required=True, description="The file, in UTF-8")


DENIED = ("unauthenticated", "forbidden")
MOVES = (*DENIED, "not_found", "import_transition_not_allowed", "idempotency_key_reused")


class ImportController(Controller):
    path = "/v1/admin/catalog/imports"
    tags = ("Catalogue",)

    @post(
        permission=Permission.CATALOG_TRANSFER,
        status_code=202,
        summary="Import a file of products",
        operation_class=Upload,
        request_max_body_size=None,
        responses=refuses(*DENIED, "unsupported_media_type", "idempotency_key_reused"),
    )
    async def send(
        self,
        request: Request[Any, Any, Any],
        caller: Caller,
        resources: Resources,
        stories: Stories,
        once: Once,
        currency: Annotated[
            str | None, Parameter(max_length=3, description="Of prices that do not name theirs; the shop's own without")
        ] = None,
    ) -> Response[ImportOut]:
        """A CSV as Shopify has it, or JSON lines in the shape of `POST /v1/products` with a `category` path.

        The body is the file. It is imported in the background: look at `Location`. Products are known again by their
        slug (handle), variants by their SKU; rows that cannot be imported are reported and do not stop the others.
        """
        file_format, import_id = format_of(request), new_id()
        currency = known_currency(currency or resources.settings.shop.currency)
        async with resources.sessions.begin() as session:
            await imports.begin(session, import_id, file_format, currency, actor=caller.name)
        try:
            size, digest = await kept(request, resources, import_id)

            async def carry_out(session: AsyncSession) -> ImportOut:
                await audit_log.note(session, caller.name, "import_catalog", entry_id=import_id)
                return shown(await imports.received(session, import_id, size=size), resources)

            file = ReceivedFile(format=file_format, currency=currency, sha256=digest)
            asked = Asked("import_catalog", caller.id or import_id, file)
            answer = await once.write(asked, carry_out, status_code=202)
        finally:
            async with resources.sessions.begin() as session:
                await imports.discard_unless_received(session, import_id)
        made = id_in(answer)
        await begun_soon(stories.begin_import(ImportCatalog(import_id=made)))
        answer.headers["Location"] = f"{self.path}/{made}"
        return answer

    @get(permission=Permission.CATALOG_TRANSFER, summary="See imports", responses=refuses(*DENIED))
    async def list_imports(self, resources: Resources, limit: Limit, cursor: Cursor) -> ImportPage:
        """The newest first."""
        async with resources.autocommit() as session:
            found = await imports.newest(session, limit=limit + 1, before=id_in_cursor(cursor))
        more = cursor_behind(found, limit, attrgetter("id"))
        return ImportPage(items=[shown(made, resources) for made in found[:limit]], next_cursor=more)

    @get(
        "/{import_id:uuid}",
        permission=Permission.CATALOG_TRANSFER,
        summary="See how far an import is",
        responses=refuses(*DENIED, "not_found"),
    )
    async def see(self, import_id: UUID, resources: Resources) -> ImportOut:
        """Its status, and how many rows were read, imported and refused so far."""
        async with resources.autocommit() as session:
            return shown(await imports.by_id(session, import_id), resources)

    @get(
        "/{import_id:uuid}/errors",
        permission=Permission.CATALOG_TRANSFER,
        summary="See which rows failed",
        responses=refuses(*DENIED, "not_found", "import_rows_gone"),
    )
    async def list_errors(self, import_id: UUID, resources: Resources, limit: Limit, cursor: Cursor) -> ImportErrorPage:
        """Why each row was not imported, in the order of the file."""
        after = place_in_cursor(cursor)
        async with resources.autocommit() as session:
            await imports.with_rows(session, import_id)
            rows = await imports.errors(session, import_id, limit=limit + 1, after=after)
        more = encode_cursor([rows[limit - 1]["line"], rows[limit - 1]["number"]]) if len(rows) > limit else None
        items = [ImportErrorOut(line=row["line"], field=row["field"], message=row["message"]) for row in rows[:limit]]
        return ImportErrorPage(items=items, next_cursor=more)

    @get(
        "/{import_id:uuid}/failed-rows",
        permission=Permission.CATALOG_TRANSFER,
        summary="Have the failed rows",
        media_type="text/csv",
        responses=refuses(*DENIED, "not_found", "import_rows_gone"),
    )
    async def failed_rows(self, import_id: UUID, resources: Resources) -> Stream:
        """A file of the same format with these rows alone, as they stood there, to mend and send again.

        In a CSV the first row of a product comes along when only later ones failed: they mean nothing without it.
        """
        async with resources.autocommit() as session:
            made = await imports.with_rows(session, import_id)
        return Stream(rows_of(made, resources), headers=headers_of_file("failed-rows", FileFormat(made.format)))

    @post(
        "/{import_id:uuid}/retry",
        permission=Permission.CATALOG_TRANSFER,
        status_code=202,
        summary="Try the failed rows again",
        responses=refuses(*MOVES, "nothing_to_retry", "import_rows_gone"),
    )
    async def retry(
        self, import_id: UUID, caller: Caller, resources: Resources, stories: Stories, once: Once
    ) -> Response[ImportOut]:
        """For rows whose cause was mended in the shop: an attribute that was missing, an SKU that is free now."""

        async def carry_out(session: AsyncSession) -> ImportOut:
            await audit_log.note(session, caller.name, "retry_import", words=f"import {import_id}")
            return shown(await imports.retry(session, import_id), resources)

        answer = await once.write(Asked("retry_import", import_id), carry_out, status_code=202)
        async with resources.autocommit() as session:
            made = await imports.by_id(session, import_id)
        if made.status == ImportStatus.WAITING:
            await begun_soon(stories.begin_import(ImportCatalog(import_id=import_id, attempt=made.attempt)))
        return answer

    @post(
        "/{import_id:uuid}/cancel",
        permission=Permission.CATALOG_TRANSFER,
        status_code=200,
        summary="Cancel an import",
        responses=refuses(*MOVES),
    )
    async def cancel(self, import_id: UUID, caller: Caller, resources: Resources, once: Once) -> Response[ImportOut]:
        """No further row is read. What was imported stays; the chunk that is being read is finished first."""

        async def carry_out(session: AsyncSession) -> ImportOut:
            await audit_log.note(session, caller.name, "cancel_import", words=f"import {import_id}")
            return shown(await imports.cancel(session, import_id), resources)

        return await once.write(Asked("cancel_import", import_id), carry_out, status_code=200)


def format_of(request: Request[Any, Any, Any]) -> FileFormat:
    media_type, _ = request.content_type
    if media_type not in FORMATS:
        raise Refusal("unsupported_media_type", f"Send {' or '.join(FORMATS)}.")
    return FORMATS[media_type]


def known_currency(currency: str) -> str:
    try:
        minor_digits(currency)
    except ValueError as error:
        raise unacceptable("/currency", str(error)) from None
    return currency


async def kept(request: Request[Any, Any, Any], resources: Resources, import_id: UUID) -> tuple[int, str]:
    """Write the body down as it comes, piece by piece; its length and its digest. Refuses ``body_too_large``.

    Each piece is written for itself: a slow client must not hold one of the few connections.
    """
    most, size, digest, number = resources.settings.catalog.import_max_bytes, 0, hashlib.sha256(), 0
    if (request.content_length or 0) > most:
        raise too_large(most)
    pending = bytearray()

    async def keep(content: bytes) -> None:
        nonlocal number
        async with resources.autocommit() as session:
            await imports.keep_piece(session, import_id, number, content)
        number += 1

    async for part in request.stream():
        size += len(part)
        if size > most:
            raise too_large(most)
        digest.update(part)
        pending += part
        while len(pending) >= PIECE_BYTES:
            await keep(bytes(pending[:PIECE_BYTES]))
            del pending[:PIECE_BYTES]
    if pending:
        await keep(bytes(pending))
    return size, digest.hexdigest()


def too_large(most: int) -> Refusal:
    return Refusal("body_too_large", f"A file may have at most {most:,} bytes; split it.")


async def begun_soon(beginning: Awaitable[None]) -> None:
    """If the engine is away, what was asked for waits, and is begun as soon as it is back."""
    with suppress(EngineAwayError):
        await beginning


def id_in(answer: Response[Any]) -> UUID:
    """Of an answer that is given for the first time, or once more."""
    content = answer.content
    return UUID(content["id"]) if isinstance(content, dict) else content.id


def place_in_cursor(cursor: str | None) -> tuple[int, int]:
    match decode_cursor(cursor, length=2):
        case None:
            return 0, -1
        case [int(line), int(number)] if 0 <= line < 2**31 and 0 <= number < 2**31:
            return line, number
    raise forged()


def headers_of_file(name: str, file_format: FileFormat) -> dict[str, str]:
    return {
        "Content-Type": MEDIA_TYPES[file_format],  # a route's own media type would overrule the one of its answer
        "Content-Disposition": f'attachment; filename="{name}.{file_format}"',
        "Cache-Control": "private, no-store",
    }


async def rows_of(made: CatalogImport, resources: Resources) -> AsyncIterator[bytes]:
    """The header, then the rows in the order of the file, some at a time."""
    if made.header:
        yield ended(made.header)
    after = (-1, -1)
    while True:
        async with resources.autocommit() as session:
            rows = await imports.failed_rows(session, made.id, most=ROWS_AT_A_TIME, after=after)
        if not rows:
            return
        yield b"".join(ended(row.content) for row in rows)
        after = (rows[-1].product_line, rows[-1].line)


def ended(row: bytes) -> bytes:
    """The last row of a file may come without the end of its line."""
    return row if row.endswith(b"\n") else row + b"\n"


def kept_until(made: CatalogFile, resources: Resources) -> datetime | None:
    """When the file is deleted; ``None`` before its import or export has ended, and once it is gone."""
    if made.ended_at is None or made.file_deleted_at is not None:
        return None
    return made.ended_at + resources.settings.catalog.keep


def shown(made: CatalogImport, resources: Resources) -> ImportOut:
    return ImportOut(
        id=made.id,
        status=ImportStatus(made.status),
        format=FileFormat(made.format),
        currency=made.currency,
        attempt=made.attempt,
        bytes=made.size,
        bytes_read=made.next_byte,
        rows=made.rows,
        failed=made.failed,
        products=TallyOut(
            created=made.products_created, updated=made.products_updated, unchanged=made.products_unchanged
        ),
        variants=TallyOut(
            created=made.variants_created, updated=made.variants_updated, unchanged=made.variants_unchanged
        ),
        created_at=made.created_at,
        started_at=made.started_at,
        ended_at=made.ended_at,
        kept_until=kept_until(made, resources),
    )
