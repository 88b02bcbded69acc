"""Exports: files of the whole catalogue, and what they do not hold of it."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, LargeBinary, delete, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from db import paging
from db.base import Base
from db.catalog_files import CatalogFile, rules_of_files
from domain.errors import Refusal
from domain.exports import ENDED, ExportStatus, WriteExport, check_move
from domain.imports import FileFormat

EXAMPLES = 100
"""How many of the products that are left out are named."""


class CatalogExport(CatalogFile, Base):
    __tablename__ = "catalog_exports"

    status: Mapped[str] = mapped_column(server_default=ExportStatus.WAITING)
    attempt: Mapped[int] = mapped_column(server_default=text("0"))
    """Each begins anew, from a picture of its own; only what the last one wrote counts."""
    expected: Mapped[int] = mapped_column(server_default=text("0"))
    """How many products there were to write or leave out when the attempt began."""
    products: Mapped[int] = mapped_column(server_default=text("0"))
    left_out: Mapped[int] = mapped_column(server_default=text("0"))
    examples: Mapped[list[dict[str, str]]] = mapped_column(JSONB, server_default=text("'[]'"))
    """The first products that were left out: slug and reason."""

    __table_args__ = (*rules_of_files(ExportStatus, ENDED),)


class ExportPiece(Base):
    __tablename__ = "catalog_export_pieces"

    export_id: Mapped[UUID] = mapped_column(ForeignKey("catalog_exports.id", ondelete="CASCADE"), primary_key=True)
    attempt: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    content: Mapped[bytes] = mapped_column(LargeBinary)


async def ask_for(
    session: AsyncSession, export_id: UUID, file_format: FileFormat, currency: str, *, actor: str
) -> CatalogExport:
    made = CatalogExport(id=export_id, format=file_format, currency=currency, actor=actor)
    session.add(made)
    await session.flush()
    await session.refresh(made)
    return made


async def begin(session: AsyncSession, export_id: UUID) -> CatalogExport:
    """A new attempt, unless the export is over; what earlier ones wrote is forgotten."""
    made = await _locked(session, export_id)
    if made.status not in ENDED:
        made.status = ExportStatus.RUNNING
        made.started_at = made.started_at or func.now()
        made.attempt += 1
        made.size = made.products = made.left_out = 0
        made.expected = await session.scalar(EXPECTED) or 0
        await _forget_pieces(session, export_id)
        await session.flush()
        await session.refresh(made)
    return made


EXPECTED = text("SELECT count(*) FROM products WHERE archived_at IS NULL")


async def keep_piece(
    session: AsyncSession, made: CatalogExport, number: int, content: bytes, *, products: int, left_out: int
) -> bool:
    """Keep a piece and how far the file is; false, and nothing is kept, when the attempt does not count any more."""
    wanted = {"export_id": made.id, "attempt": made.attempt, "number": number, "content": content}
    kept = await session.scalar(KEEP_PIECE, {**wanted, "products": products, "left_out": left_out})
    return kept is not None


KEEP_PIECE = text(
    """
    WITH going_on AS (
        UPDATE catalog_exports
        SET size = size + octet_length(CAST(:content AS bytea)), products = :products, left_out = :left_out
        WHERE id = :export_id AND attempt = :attempt AND status = 'running'
        RETURNING id
    )
    INSERT INTO catalog_export_pieces (export_id, attempt, number, content)
    SELECT id, :attempt, CAST(:number AS int), :content FROM going_on
    RETURNING number
    """
)


async def complete(
    session: AsyncSession,
    export_id: UUID,
    attempt: int,
    *,
    size: int,
    products: int,
    left_out: int,
    examples: Sequence[dict[str, str]],
) -> CatalogExport:
    """The file is written; not by an attempt that another one has overtaken."""
    made = await _locked(session, export_id)
    if made.status == ExportStatus.RUNNING and made.attempt == attempt:
        _end(made, ExportStatus.COMPLETED)
        made.size, made.products, made.left_out, made.examples = size, products, left_out, list(examples)
        await session.flush()
    return made


async def cancel(session: AsyncSession, export_id: UUID) -> CatalogExport:
    """Nothing more is written and what was is forgotten; content when it was cancelled before.

    Refuses ``not_found`` and ``export_transition_not_allowed``.
    """
    made = await _locked(session, export_id)
    if made.status != ExportStatus.CANCELLED:
        _end(made, ExportStatus.CANCELLED)
        made.file_deleted_at = func.now()
        await _forget_pieces(session, export_id)
        await session.flush()
        await session.refresh(made)
    return made


def _end(made: CatalogExport, how: ExportStatus) -> None:
    check_move(ExportStatus(made.status), how)
    made.status = how
    made.ended_at = func.now()


async def _forget_pieces(session: AsyncSession, *exports: UUID) -> None:
    await session.execute(delete(ExportPiece).where(ExportPiece.export_id.in_(exports)))


async def _locked(session: AsyncSession, export_id: UUID) -> CatalogExport:
    if found := await session.get(CatalogExport, export_id, with_for_update={"key_share": True}):
        return found
    raise no_such_export()


def no_such_export() -> Refusal:
    return Refusal("not_found", "There is no such export.")


async def by_id(session: AsyncSession, export_id: UUID) -> CatalogExport:
    """Refuses ``not_found``."""
    if found := await session.get(CatalogExport, export_id):
        return found
    raise no_such_export()


async def newest(session: AsyncSession, *, limit: int, before: UUID | None) -> Sequence[CatalogExport]:
    return await paging.newest(session, CatalogExport, limit=limit, before=before)


async def with_file(session: AsyncSession, export_id: UUID) -> CatalogExport:
    """Refuses ``not_found``, ``export_not_finished`` and ``export_file_gone``."""
    found = await by_id(session, export_id)
    if found.file_deleted_at:
        raise Refusal("export_file_gone", "The file of this export is not kept any more; export again.")
    if found.status != ExportStatus.COMPLETED:
        raise Refusal(
            "export_not_finished", "The file is not written yet.", current_status=found.status, allowed=["completed"]
        )
    return found


async def piece(session: AsyncSession, export_id: UUID, attempt: int, number: int) -> bytes | None:
    wanted: dict[str, Any] = {"export_id": export_id, "attempt": attempt, "number": number}
    found: bytes | None = await session.scalar(PIECE, wanted)
    return found


PIECE = text(
    """
    SELECT content FROM catalog_export_pieces
    WHERE export_id = :export_id AND attempt = :attempt AND number = :number
    """
)


async def unstarted(session: AsyncSession, *, older_than: float) -> list[WriteExport]:
    """Exports that wait longer than any request that asks for one takes."""
    rows = await session.scalars(UNSTARTED, {"older_than": timedelta(seconds=older_than)})
    return [WriteExport(export_id=export_id) for export_id in rows]


UNSTARTED = text(
    """
    SELECT id FROM catalog_exports WHERE status = 'waiting' AND created_at < now() - CAST(:older_than AS interval)
    ORDER BY id LIMIT 20
    """
)


async def tidy(session: AsyncSession, *, older_than: timedelta) -> int:
    """Forget the files of exports that ended so long ago; how many."""
    ended = (await session.scalars(TIDY, {"older_than": older_than})).all()
    await _forget_pieces(session, *ended)
    return len(ended)


TIDY = text(
    """
    UPDATE catalog_exports SET file_deleted_at = now()
    WHERE ended_at < now() - CAST(:older_than AS interval) AND file_deleted_at IS NULL
    RETURNING id
    """
)
