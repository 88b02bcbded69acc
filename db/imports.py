"""Imports: the files that staff send, how far each has been read, and the rows that failed.

The pieces of a file, the keys that it used and the rows that failed are kept for some days after the import has ended;
what became of it stays.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, LargeBinary, func, text, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from db import paging
from db.base import Base, Now
from db.catalog_files import CatalogFile, rules_of_files
from domain.errors import Refusal
from domain.imports import ENDED, FileFormat, ImportCatalog, ImportStatus, check_move

PIECE_BYTES = 256 * 1024
"""All pieces of a file but the last are so long, so that any place of it is found without looking."""


class CatalogImport(CatalogFile, Base):
    """Its ``currency`` is that of prices which do not name their own."""

    __tablename__ = "catalog_imports"

    status: Mapped[str] = mapped_column(server_default=ImportStatus.RECEIVING)
    attempt: Mapped[int] = mapped_column(server_default=text("1"))
    """The first pass reads the file, later ones the rows that failed."""
    chunks: Mapped[int] = mapped_column(server_default=text("0"))
    """How many of this pass are done; whoever repeats one finds it done."""
    next_byte: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    next_line: Mapped[int] = mapped_column(server_default=text("1"))
    """Where the next chunk begins."""
    header: Mapped[bytes] = mapped_column(LargeBinary, server_default=text("''"))
    rows: Mapped[int] = mapped_column(server_default=text("0"))
    failed: Mapped[int] = mapped_column(server_default=text("0"))
    products_created: Mapped[int] = mapped_column(server_default=text("0"))
    products_updated: Mapped[int] = mapped_column(server_default=text("0"))
    products_unchanged: Mapped[int] = mapped_column(server_default=text("0"))
    variants_created: Mapped[int] = mapped_column(server_default=text("0"))
    variants_updated: Mapped[int] = mapped_column(server_default=text("0"))
    variants_unchanged: Mapped[int] = mapped_column(server_default=text("0"))
    moved_at: Mapped[Now]
    """When it got the status that it has."""

    __table_args__ = (
        *rules_of_files(ImportStatus, ENDED),
        CheckConstraint("next_byte BETWEEN 0 AND size", name="reads_within_file"),
        CheckConstraint("failed BETWEEN 0 AND rows + 1", name="failed_within_rows"),
    )


class ImportPiece(Base):
    """A stretch of the file as it came."""

    __tablename__ = "catalog_import_pieces"

    import_id: Mapped[UUID] = mapped_column(ForeignKey("catalog_imports.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    content: Mapped[bytes] = mapped_column(LargeBinary)


class ImportKey(Base):
    """A slug or a SKU that the file has used, and where: a second time is a mistake of the file."""

    __tablename__ = "catalog_import_keys"

    import_id: Mapped[UUID] = mapped_column(ForeignKey("catalog_imports.id", ondelete="CASCADE"), primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    line: Mapped[int]

    __table_args__ = (CheckConstraint("kind IN ('slug', 'sku')", name="kind"),)


class ImportRow(Base):
    """A row that failed, as it stands in the file; or the first row of its product, without which it means nothing."""

    __tablename__ = "catalog_import_rows"

    import_id: Mapped[UUID] = mapped_column(ForeignKey("catalog_imports.id", ondelete="CASCADE"), primary_key=True)
    product_line: Mapped[int] = mapped_column(primary_key=True)
    """Where its product begins."""
    line: Mapped[int] = mapped_column(primary_key=True)
    content: Mapped[bytes] = mapped_column(LargeBinary)
    has_failed: Mapped[bool]


class ImportProblem(Base):
    """Why a row failed."""

    __tablename__ = "catalog_import_errors"

    import_id: Mapped[UUID] = mapped_column(ForeignKey("catalog_imports.id", ondelete="CASCADE"), primary_key=True)
    line: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    product_line: Mapped[int]
    field: Mapped[str]
    message: Mapped[str]


# --- receiving ------------------------------------------------------------------------------------------------------


async def begin(session: AsyncSession, import_id: UUID, file_format: FileFormat, currency: str, *, actor: str) -> None:
    """A file is on its way."""
    session.add(CatalogImport(id=import_id, format=file_format, currency=currency, actor=actor))
    await session.flush()


async def keep_piece(session: AsyncSession, import_id: UUID, number: int, content: bytes) -> None:
    await session.execute(KEEP_PIECE, {"import_id": import_id, "number": number, "content": content})


KEEP_PIECE = text(
    "INSERT INTO catalog_import_pieces (import_id, number, content) VALUES (:import_id, :number, :content)"
)


async def received(session: AsyncSession, import_id: UUID, *, size: int) -> CatalogImport:
    """The file is here as a whole: it waits to be read."""
    made = await locked(session, import_id)
    move(made, ImportStatus.WAITING)
    made.size = size
    await session.flush()
    await session.refresh(made)
    return made


async def discard_unless_received(session: AsyncSession, import_id: UUID) -> None:
    """Forget a file that did not come to its end, or that came a second time."""
    await session.execute(
        text("DELETE FROM catalog_imports WHERE id = :id AND status = 'receiving'"), {"id": import_id}
    )


# --- what may become of it ------------------------------------------------------------------------------------------


async def locked(session: AsyncSession, import_id: UUID) -> CatalogImport:
    """Refuses ``not_found``."""
    found = await session.get(CatalogImport, import_id, with_for_update=True)
    if found is None:
        raise no_such_import()
    return found


def no_such_import() -> Refusal:
    return Refusal("not_found", "There is no such import.")


def move(made: CatalogImport, wanted: ImportStatus) -> None:
    check_move(ImportStatus(made.status), wanted)
    made.status = wanted
    made.moved_at = func.now()
    made.ended_at = func.now() if wanted in ENDED else None


async def cancel(session: AsyncSession, import_id: UUID) -> CatalogImport:
    """No further chunk is read; content when it was cancelled before. One that is just being read comes first."""
    made = await locked(session, import_id)
    if made.status != ImportStatus.CANCELLED:
        _is_received(made)
        move(made, ImportStatus.CANCELLED)
        await session.flush()
        await session.refresh(made)
    return made


async def retry(session: AsyncSession, import_id: UUID) -> CatalogImport:
    """Have the failed rows read again.

    Refuses ``import_transition_not_allowed``, ``nothing_to_retry`` and ``import_rows_gone``.
    """
    made = await locked(session, import_id)
    _is_received(made)
    check_move(ImportStatus(made.status), ImportStatus.WAITING)
    if not made.failed:
        raise Refusal("nothing_to_retry", "No row of this import has failed.", current_status=made.status, allowed=[])
    if made.file_deleted_at:
        raise rows_gone()
    move(made, ImportStatus.WAITING)
    made.attempt += 1
    made.chunks, made.next_line = 0, 0
    await session.flush()
    await session.refresh(made)
    return made


def _is_received(made: CatalogImport) -> None:
    if made.status == ImportStatus.RECEIVING:
        raise no_such_import()


def rows_gone() -> Refusal:
    return Refusal("import_rows_gone", "The rows of this import are not kept any more; send its file again.")


# --- reading it -----------------------------------------------------------------------------------------------------


async def by_id(session: AsyncSession, import_id: UUID) -> CatalogImport:
    """Refuses ``not_found``, also while the file is still on its way."""
    found = await session.get(CatalogImport, import_id)
    if found is None or found.status == ImportStatus.RECEIVING:
        raise no_such_import()
    return found


async def newest(session: AsyncSession, *, limit: int, before: UUID | None) -> Sequence[CatalogImport]:
    received = CatalogImport.status != ImportStatus.RECEIVING
    return await paging.newest(session, CatalogImport, received, limit=limit, before=before)


async def with_rows(session: AsyncSession, import_id: UUID) -> CatalogImport:
    """The import whose failed rows are still kept. Refuses ``not_found`` and ``import_rows_gone``."""
    found = await by_id(session, import_id)
    if found.file_deleted_at:
        raise rows_gone()
    return found


async def errors(
    session: AsyncSession, import_id: UUID, *, limit: int, after: tuple[int, int]
) -> Sequence[dict[str, Any]]:
    """What is wrong with its rows, in the order of the file, from behind a line and a number."""
    found = await session.execute(
        ERRORS, {"import_id": import_id, "limit": limit, "line": after[0], "number": after[1]}
    )
    return [dict(row) for row in found.mappings()]


ERRORS = text(
    """
    SELECT line, number, field, message FROM catalog_import_errors
    WHERE import_id = :import_id AND (line, number) > (:line, :number)
    ORDER BY line, number LIMIT :limit
    """
)


async def failed_rows(
    session: AsyncSession, import_id: UUID, *, most: int, after: tuple[int, int] = (0, 0)
) -> Sequence[Any]:
    """Rows as they stand in the file, in its order, from behind a product and a line."""
    values = {"import_id": import_id, "most": most, "product_line": after[0], "line": after[1]}
    return (await session.execute(FAILED_ROWS, values)).all()


FAILED_ROWS = text(
    """
    SELECT product_line, line, content, has_failed FROM catalog_import_rows
    WHERE import_id = :import_id AND (product_line, line) > (:product_line, :line)
    ORDER BY product_line, line LIMIT :most
    """
)


async def unstarted(session: AsyncSession, *, older_than: float) -> list[ImportCatalog]:
    """Imports that wait longer than any request that brings one takes."""
    rows = await session.execute(UNSTARTED, {"older_than": timedelta(seconds=older_than)})
    return [ImportCatalog(import_id=row.id, attempt=row.attempt) for row in rows]


UNSTARTED = text(
    """
    SELECT id, attempt FROM catalog_imports
    WHERE status = 'waiting' AND moved_at < now() - CAST(:older_than AS interval)
    ORDER BY moved_at LIMIT 20
    """
)


# --- tidying up -----------------------------------------------------------------------------------------------------


async def outdated(session: AsyncSession, *, older_than: timedelta) -> Sequence[UUID]:
    """Imports that ended so long ago, with their files; and files that have been on their way for longer than a day."""
    return (await session.scalars(OUTDATED, {"older_than": older_than})).all()


OUTDATED = text(
    """
    SELECT id FROM catalog_imports
    WHERE (ended_at < now() - CAST(:older_than AS interval) AND file_deleted_at IS NULL)
       OR (status = 'receiving' AND created_at < now() - interval '1 day')
    ORDER BY id
    """
)


async def tidy(session: AsyncSession, import_id: UUID) -> None:
    """Forget the file and its rows; content when that was done before."""
    made = await session.get(CatalogImport, import_id, with_for_update=True)
    if made is None or made.file_deleted_at or not (made.ended_at or made.status == ImportStatus.RECEIVING):
        return
    if made.status == ImportStatus.RECEIVING:
        await discard_unless_received(session, import_id)
        return
    for table in (ImportPiece, ImportKey, ImportRow, ImportProblem):
        await session.execute(table.__table__.delete().where(table.import_id == import_id))  # type: ignore[attr-defined]
    await session.execute(update(CatalogImport).where(CatalogImport.id == import_id).values(file_deleted_at=func.now()))
