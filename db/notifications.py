"""Mails that were sent, so that none is sent twice."""

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, Now


class SentMail(Base):
    """``key`` names the occasion (``order_confirmed:<order id>``); its row is proof that the mail went out."""

    __tablename__ = "sent_mails"

    key: Mapped[str] = mapped_column(primary_key=True)
    sent_at: Mapped[Now]


async def was_sent(session: AsyncSession, key: str) -> bool:
    return await session.scalar(select(SentMail.key).where(SentMail.key == key)) is not None


async def note_sent(session: AsyncSession, key: str) -> None:
    """Content when it was noted before."""
    await session.execute(insert(SentMail).values(key=key).on_conflict_do_nothing())
