"""What files of products have in common, on their way in and out: who wanted them, and until when they are kept."""

from collections.abc import Collection
from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, CheckConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Id, Now, one_of
from domain.imports import FileFormat


class CatalogFile:
    """The columns of a table of such files. Their content lies beside it, in pieces."""

    id: Mapped[Id]
    format: Mapped[str]
    currency: Mapped[str]
    actor: Mapped[str]
    size: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    created_at: Mapped[Now]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    file_deleted_at: Mapped[datetime | None]
    """The row tells what became of the file for ever; the content is kept for some days after the end."""


def rules_of_files(statuses: type[StrEnum], ended: Collection[StrEnum]) -> list[CheckConstraint]:
    is_over = f"status IN ({', '.join(repr(str(status)) for status in sorted(ended))})"
    return [
        CheckConstraint(one_of("status", statuses), name="status"),
        CheckConstraint(one_of("format", FileFormat), name="format"),
        CheckConstraint(f"({is_over}) = (ended_at IS NOT NULL)", name="ended_has_time"),
        CheckConstraint("file_deleted_at IS NULL OR ended_at IS NOT NULL", name="kept_until_ended"),
    ]
