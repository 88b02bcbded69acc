"""Limits that were changed while the shop runs; all others are as the settings say."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import CheckConstraint, delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, Now
from db.listening import Channel, Reader
from domain.limits import LONGEST_SECONDS, Quota


class ChangedLimit(Base):
    __tablename__ = "changed_limits"

    name: Mapped[str] = mapped_column(primary_key=True)
    amount: Mapped[int]
    seconds: Mapped[int]
    changed_at: Mapped[Now]

    __table_args__ = (
        CheckConstraint("amount > 0", name="amount_positive"),
        CheckConstraint(f"seconds BETWEEN 1 AND {LONGEST_SECONDS}", name="seconds_within_a_day"),
    )


async def changed(session: AsyncSession) -> dict[str, tuple[Quota, datetime]]:
    """What was changed to what, and when."""
    rows = await session.scalars(select(ChangedLimit).order_by(ChangedLimit.name))
    return {row.name: (Quota(row.amount, row.seconds), row.changed_at) for row in rows}


async def change(session: AsyncSession, name: str, quota: Quota | None) -> None:
    """From now on it is this; with ``None`` again what the settings say."""
    await session.execute(delete(ChangedLimit).where(ChangedLimit.name == name))
    if quota is not None:
        await session.execute(insert(ChangedLimit).values(name=name, amount=quota.amount, seconds=quota.seconds))


def limit_news(shop_schema: str, readers: Sequence[Reader[None]]) -> Channel[None]:
    """That some limit was changed; which one, the table says."""
    return Channel(f"limits_{shop_schema}", lambda _: None, readers)
