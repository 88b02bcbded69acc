"""The audit log: who asked for what, and why, in their own words. Rows are only ever added.

What people write stays here; workflows and events carry the row's id.
"""

from typing import Any
from uuid import UUID

from sqlalchemy import Index, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, Id, Now, new_id


class AuditEntry(Base):
    __tablename__ = "audit_log"

    id: Mapped[Id]
    at: Mapped[Now]
    actor: Mapped[str]
    action: Mapped[str]
    order_id: Mapped[UUID | None] = mapped_column()
    note: Mapped[str | None]

    __table_args__ = (
        Index("ix_audit_log_order_id", "order_id", postgresql_where=text("order_id IS NOT NULL")),
        Index("ix_audit_log_actor_id", "actor", "id"),
    )


async def note(
    session: AsyncSession,
    actor: str,
    action: str,
    *,
    order_id: UUID | None = None,
    words: str | None = None,
    entry_id: UUID | None = None,
) -> UUID:
    """Write the entry before what it speaks of is done; its id. A wish that is repeated has its one entry."""
    entry_id = entry_id or new_id()
    entry = {"id": entry_id, "actor": actor, "action": action, "order_id": order_id, "note": words}
    await session.execute(insert(AuditEntry).values(entry).on_conflict_do_nothing())
    return entry_id


async def note_once(
    session: AsyncSession, entry_id: UUID, actor: str, action: str, *, order_id: UUID | None, words: str
) -> bool:
    """Write the entry of this id; false when it was written before."""
    entry = {"id": entry_id, "actor": actor, "action": action, "order_id": order_id, "note": words}
    written = await session.execute(insert(AuditEntry).values(entry).on_conflict_do_nothing().returning(AuditEntry.id))
    return written.first() is not None


async def entries(
    session: AsyncSession, *, limit: int, before: UUID | None, order_id: UUID | None, actor: str | None
) -> list[dict[str, Any]]:
    """The newest entries below ``before``."""
    wanted = select(AuditEntry).order_by(AuditEntry.id.desc()).limit(limit)
    for column, value in ((AuditEntry.order_id, order_id), (AuditEntry.actor, actor)):
        if value is not None:
            wanted = wanted.where(column == value)
    if before is not None:
        wanted = wanted.where(AuditEntry.id < before)
    found = await session.scalars(wanted)
    columns = ("id", "at", "actor", "action", "order_id", "note")
    return [{name: getattr(entry, name) for name in columns} for entry in found]
