"""Export steps: the catalogue, as it is at one moment, written into pieces of a file."""

import io
from collections.abc import AsyncGenerator
from contextlib import aclosing

from sqlalchemy.ext.asyncio import AsyncEngine

from activities.heartbeats import heard_of
from db import exports
from db.catalog_export import exported
from db.engine import Sessions
from db.exports import EXAMPLES, CatalogExport
from domain.catalog_written import TooMuch, writer_of
from domain.exports import ENDED, ExportStatus, ExportWritten, WriteExport
from domain.imports import FileFormat
from workflows.steps import exports as steps

PIECE_CHARACTERS = 256 * 1024


class ExportActivities:
    def __init__(self, engine: AsyncEngine, sessions: Sessions) -> None:
        self._engine = engine
        self._sessions = sessions

    @steps.write.performed_by
    async def write(self, request: WriteExport) -> ExportWritten:
        """From one snapshot, which ends with its connection: whoever takes over begins anew."""
        async with heard_of():
            async with self._sessions.begin() as session:
                made = await exports.begin(session, request.export_id)
            if made.status not in ENDED:
                made = await self._written(made)
        return ExportWritten(
            export_id=made.id, status=ExportStatus(made.status), products=made.products, left_out=made.left_out
        )

    async def _written(self, made: CatalogExport) -> CatalogExport:
        picture = Picture(self._engine, made)
        number = 0
        async with aclosing(picture.pieces()) as pieces:
            async for content in pieces:
                if not await self._kept(made, number, content, picture):
                    break
                number += 1
        async with self._sessions.begin() as session:
            return await exports.complete(
                session,
                made.id,
                made.attempt,
                size=picture.size,
                products=picture.products,
                left_out=picture.left_out,
                examples=picture.examples,
            )

    async def _kept(self, made: CatalogExport, number: int, content: bytes, picture: "Picture") -> bool:
        """Not when somebody has cancelled the export, or another worker has begun it anew."""
        async with self._sessions.begin() as session:
            return await exports.keep_piece(
                session, made, number, content, products=picture.products, left_out=picture.left_out
            )


class Picture:
    """The whole catalogue as it is at one moment, and what the file cannot hold of it."""

    def __init__(self, engine: AsyncEngine, made: CatalogExport) -> None:
        self._engine = engine
        self._made = made
        self.size = self.products = self.left_out = 0
        self.examples: list[dict[str, str]] = []

    async def pieces(self) -> AsyncGenerator[bytes]:
        sink = io.StringIO(newline="")
        write = writer_of(FileFormat(self._made.format), sink, self._made.currency)
        async with aclosing(exported(self._engine, self._made.currency)) as products:
            async for product in products:
                try:
                    write(dict(product))
                    self.products += 1
                except TooMuch as reason:
                    self._leave_out(product["slug"], str(reason))
                if sink.tell() >= PIECE_CHARACTERS:
                    yield self._taken_from(sink)
        if sink.tell():
            yield self._taken_from(sink)

    def _leave_out(self, slug: str, reason: str) -> None:
        self.left_out += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append({"slug": slug, "reason": reason})

    def _taken_from(self, sink: io.StringIO) -> bytes:
        content = sink.getvalue().encode()
        sink.seek(0)
        sink.truncate()
        self.size += len(content)
        return content
