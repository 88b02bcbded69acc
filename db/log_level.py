"""The level of the log while it is another than the settings say."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Boolean, CheckConstraint, delete, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, Now, one_of
from db.listening import Channel, Reader
from domain.telemetry import LogLevel


class ChangedLogLevel(Base):
    """One row at most."""

    __tablename__ = "changed_log_level"

    is_one: Mapped[bool] = mapped_column(Boolean, primary_key=True, server_default=text("true"))
    level: Mapped[str]
    changed_at: Mapped[Now]

    __table_args__ = (
        CheckConstraint("is_one", name="is_one"),
        CheckConstraint(one_of("level", LogLevel), name="level"),
    )


async def changed(session: AsyncSession) -> tuple[LogLevel, datetime] | None:
    """To what, and when; ``None`` while it is as the settings say."""
    row = await session.scalar(select(ChangedLogLevel))
    return (LogLevel(row.level), row.changed_at) if row else None


async def change(session: AsyncSession, level: LogLevel | None) -> None:
    """From now on it is this; with ``None`` again what the settings say."""
    await session.execute(delete(ChangedLogLevel))
    if level is not None:
        await session.execute(insert(ChangedLogLevel).values(level=level))


def log_level_news(shop_schema: str, readers: Sequence[Reader[None]]) -> Channel[None]:
    return Channel(f"log_level_{shop_schema}", lambda _: None, readers)
