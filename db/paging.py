"""Pages of rows whose ids are made in the order of time."""

from collections.abc import Sequence
from typing import TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncSession

from db.base import Base

Row = TypeVar("Row", bound=Base)


async def newest(
    session: AsyncSession, rows: type[Row], *which: ColumnElement[bool], limit: int, before: UUID | None
) -> Sequence[Row]:
    """The newest first, from behind the id ``before``, of those that are meant."""
    row_id = rows.__table__.c.id
    wanted = select(rows).where(*which).order_by(row_id.desc()).limit(limit)
    return (await session.scalars(wanted if before is None else wanted.where(row_id < before))).all()
