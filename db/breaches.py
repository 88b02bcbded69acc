"""Breaches: what audits found wrong, since when, and when it was healed."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Identity, Index, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from db import orders
from db.base import Base, Now
from domain.attention import Concern
from domain.audit import Breach, Law, Repair
from domain.orders import OrderAttention


class BreachRow(Base):
    """One law that does not hold of one thing; open until an audit finds that it holds again."""

    __tablename__ = "breaches"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    law: Mapped[str]
    subject: Mapped[str]
    order_id: Mapped[UUID | None]
    words: Mapped[str]
    repair: Mapped[str | None]
    since: Mapped[Now]
    healed_at: Mapped[datetime | None]

    __table_args__ = (
        Index("uq_breaches_open", "law", "subject", unique=True, postgresql_where=text("healed_at IS NULL")),
        Index("ix_breaches_order_id", "order_id", postgresql_where=text("healed_at IS NULL")),
    )


async def open_breaches(session: AsyncSession, laws: Sequence[Law]) -> list[Breach]:
    """What earlier audits found and nobody has seen healed."""
    rows = await session.execute(OPEN, {"laws": [str(law) for law in laws]})
    return [
        Breach(
            law=Law(row.law),
            subject=row.subject,
            words=row.words,
            order_id=row.order_id,
            repair=Repair(row.repair) if row.repair else None,
        )
        for row in rows
    ]


OPEN = text("SELECT * FROM breaches WHERE healed_at IS NULL AND law = ANY(:laws) ORDER BY id")


async def note(session: AsyncSession, found: Sequence[Breach], healed: Sequence[Breach]) -> None:
    """Open what was found, or say it in today's words, and close what is healed."""
    for breach in found:
        await session.execute(
            NOTE,
            {
                "law": breach.law,
                "subject": breach.subject,
                "order_id": breach.order_id,
                "words": breach.words,
                "repair": breach.repair,
            },
        )
    for breach in healed:
        await session.execute(HEAL, {"law": breach.law, "subject": breach.subject})


NOTE = text(
    """
    INSERT INTO breaches (law, subject, order_id, words, repair) VALUES (:law, :subject, :order_id, :words, :repair)
    ON CONFLICT (law, subject) WHERE healed_at IS NULL
    DO UPDATE SET words = excluded.words, repair = excluded.repair
    """
)
HEAL = text("UPDATE breaches SET healed_at = now() WHERE law = :law AND subject = :subject AND healed_at IS NULL")


async def note_of_order(
    session: AsyncSession, order_id: UUID, found: Sequence[Breach], healed: Sequence[Breach]
) -> None:
    """The same for one order, whose concerns follow: a person is called, or need not come any more."""
    await orders.locked(session, order_id)
    await note(session, found, healed)
    still = await session.execute(OF_ORDER, {"order_id": order_id})
    words: dict[Concern, list[str]] = {breach.concern: [] for breach in (*found, *healed)}
    for row in still:
        concern = Breach(law=Law(row.law), subject=row.subject, words=row.words).concern
        if concern in words:
            words[concern].append(row.words)
    for concern, why in words.items():
        await orders.attend(
            session, OrderAttention(order_id=order_id, concern=concern, detail="; ".join(why) if why else None)
        )


OF_ORDER = text("SELECT law, subject, words FROM breaches WHERE order_id = :order_id AND healed_at IS NULL ORDER BY id")


async def page(session: AsyncSession, *, limit: int, after: int, law: Law | None) -> list[dict[str, Any]]:
    """Open breaches, the oldest first."""
    rows = await session.execute(PAGE, {"limit": limit, "after": after, "law": law})
    return [dict(row) for row in rows.mappings()]


PAGE = text(
    """
    SELECT * FROM breaches
    WHERE healed_at IS NULL AND id > :after AND (CAST(:law AS text) IS NULL OR law = CAST(:law AS text))
    ORDER BY id LIMIT :limit
    """
)


async def counts(session: AsyncSession) -> dict[str, int]:
    """How many breaches are open, by the law that they break."""
    rows = await session.execute(
        text("SELECT law, count(*) AS open FROM breaches WHERE healed_at IS NULL GROUP BY law")
    )
    return {row.law: row.open for row in rows}
