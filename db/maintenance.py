"""That the shop changes nothing for its customers, for as long as operators say so."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Boolean, CheckConstraint, delete, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, Now
from db.listening import Channel, Reader

LONGEST_SECONDS = 86_400


class Maintenance(Base):
    """One row at most: while there is one, there is maintenance."""

    __tablename__ = "maintenance"

    is_one: Mapped[bool] = mapped_column(Boolean, primary_key=True, server_default=text("true"))
    retry_after_seconds: Mapped[int]
    begun_at: Mapped[Now]

    __table_args__ = (
        CheckConstraint("is_one", name="is_one"),
        CheckConstraint(f"retry_after_seconds BETWEEN 1 AND {LONGEST_SECONDS}", name="within_a_day"),
    )


@dataclass(frozen=True)
class Pause:
    retry_after_seconds: int
    """When customers are told to come again."""
    begun_at: datetime


async def in_force(session: AsyncSession) -> Pause | None:
    row = await session.scalar(select(Maintenance))
    return Pause(row.retry_after_seconds, row.begun_at) if row else None


async def begin(session: AsyncSession, retry_after_seconds: int) -> None:
    """One that goes on goes on, and customers are told another time."""
    await session.execute(
        insert(Maintenance)
        .values(retry_after_seconds=retry_after_seconds)
        .on_conflict_do_update(index_elements=[Maintenance.is_one], set_={"retry_after_seconds": retry_after_seconds})
    )


async def end(session: AsyncSession) -> None:
    await session.execute(delete(Maintenance))


def maintenance_news(shop_schema: str, readers: Sequence[Reader[None]]) -> Channel[None]:
    return Channel(f"maintenance_{shop_schema}", lambda _: None, readers)
