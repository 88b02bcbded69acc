"""Exports: files of the whole catalogue, and what they do not hold of it."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, LargeBinary, delete, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, Id, Now, one_of
from domain.errors import Refusal
from domain.exports import ExportStatus, WriteExport
from domain.imports import FileFormat

EXAMPLES = 100
"""How many of the products that are left out are named."""


class CatalogExport(Base):
    __tablename__ = "catalog_exports"

    id: Mapped[Id]
    status: Mapped[str] = mapped_column(server_default=ExportStatus.WAITING)
    format: Mapped[str]
    currency: Mapped[str]
    actor: Mapped[str]
    attempt: Mapped[int] = mapped_column(server_default=text("0"))
    """Each begins anew, from a picture of its own; only what the last one wrote counts."""
    size: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    products: Mapped[int] = mapped_column(server_default=text("0"))
    left_out: Mapped[int] = mapped_column(server_default=text("0"))
    examples: Mapped[list[dict[str, str]]] = mapped_column(JSONB, server_default=text("'[]'"))
    """The first products that were left out: slug and reason."""
    created_at: Mapped[Now]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    file_deleted_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint(one_of("status", ExportStatus), name="status"),
        CheckConstraint(one_of("format", FileFormat), name="format"),
        CheckConstraint("(status = 'completed') = (ended_at IS NOT NULL)", name="ended_has_time"),
        CheckConstraint("file_deleted_at IS NULL OR ended_at IS NOT NULL", name="kept_until_ended"),
    )


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
    """A new attempt, unless the export is written; what earlier ones wrote is forgotten."""
    made = await session.get_one(CatalogExport, export_id, with_for_update=True)
    if made.status != ExportStatus.COMPLETED:
        made.status = ExportStatus.RUNNING
        made.started_at = made.started_at or func.now()
        made.attempt += 1
        await session.execute(delete(ExportPiece).where(ExportPiece.export_id == export_id))
        await session.flush()
        await session.refresh(made)
    return made


async def keep_piece(session: AsyncSession, export_id: UUID, attempt: int, number: int, content: bytes) -> None:
    wanted = {"export_id": export_id, "attempt": attempt, "number": number, "content": content}
    await session.execute(KEEP_PIECE, wanted)


KEEP_PIECE = text(
    """
    INSERT INTO catalog_export_pieces (export_id, attempt, number, content)
    VALUES (:export_id, :attempt, :number, :content)
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
    made = await session.get_one(CatalogExport, export_id, with_for_update=True)
    if made.status == ExportStatus.RUNNING and made.attempt == attempt:
        made.status = ExportStatus.COMPLETED
        made.ended_at = func.now()
        made.size, made.products, made.left_out, made.examples = size, products, left_out, list(examples)
        await session.flush()
    return made


async def by_id(session: AsyncSession, export_id: UUID) -> CatalogExport:
    """Refuses ``not_found``."""
    if found := await session.get(CatalogExport, export_id):
        return found
    raise Refusal("not_found", "There is no such export.")


async def with_file(session: AsyncSession, export_id: UUID) -> CatalogExport:
    """Refuses ``not_found``, ``export_not_finished`` and ``export_file_gone``."""
    found = await by_id(session, export_id)
    if found.status != ExportStatus.COMPLETED:
        raise Refusal(
            "export_not_finished", "The file is not written yet.", current_status=found.status, allowed=["completed"]
        )
    if found.file_deleted_at:
        raise Refusal("export_file_gone", "The file of this export is not kept any more; export again.")
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
    await session.execute(delete(ExportPiece).where(ExportPiece.export_id.in_(ended)))
    return len(ended)


TIDY = text(
    """
    UPDATE catalog_exports SET file_deleted_at = now()
    WHERE ended_at < now() - CAST(:older_than AS interval) AND file_deleted_at IS NULL
    RETURNING id
    """
)
