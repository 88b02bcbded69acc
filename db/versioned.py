"""Rows with a code that staff defines, and that nobody overwrites who has not seen what they are."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import delete, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from domain.errors import Refusal

Versions = Collection[int] | None
"""Those that the asker knows; ``None`` when any will do."""


class Versioned:
    code: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(server_default=text("1"))


async def put(
    session: AsyncSession, table: type[Versioned], code: str, fields: Mapping[str, Any], expected: Versions
) -> int:
    """Make the row, or change it: its version now. Refuses ``precondition_failed``."""
    made = insert(table).values(code=code, **fields)
    put = made.on_conflict_do_update(
        index_elements=[table.code],
        set_={**fields, "version": table.version + 1},
        where=None if expected is None else table.version.in_(expected),
    ).returning(table.version)
    version: int | None = await session.scalar(put)
    if version is None or (expected is not None and version == 1):  # there was nothing that could be changed
        raise stale()
    return version


async def remove(session: AsyncSession, table: type[Versioned], code: str, expected: Versions) -> None:
    """Refuses ``not_found`` and ``precondition_failed``."""
    removal = delete(table).where(table.code == code).returning(table.code)
    if expected is not None:
        removal = removal.where(table.version.in_(expected))
    if await session.scalar(removal) is None:
        if await session.scalar(select(table.code).where(table.code == code)):
            raise stale()
        raise Refusal("not_found", "There is no such thing.")


def stale() -> Refusal:
    return Refusal("precondition_failed", "It was changed since the version in If-Match; read it again.")
