"""What a tax provider has said, kept for as long as it holds, under the fingerprint of what it was asked."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from sqlalchemy import CheckConstraint, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, Now
from db.engine import Sessions
from domain.taxes import NamedTax, TaxAnswer, TaxQuestion

Assess = Callable[[TaxQuestion], Awaitable[TaxAnswer]]


class KeptTaxAnswer(Base):
    """Of a question only its fingerprint is kept."""

    __tablename__ = "tax_answers"

    fingerprint: Mapped[str] = mapped_column(primary_key=True)
    answer: Mapped[dict[str, Any]] = mapped_column(JSONB)
    asked_at: Mapped[Now]

    __table_args__ = (
        CheckConstraint("fingerprint ~ '^[0-9a-f]{64}$'", name="fingerprint_form"),
        Index(None, "asked_at"),
    )


async def ask(sessions: Sessions, question: TaxQuestion, assess: Assess) -> None:
    """No transaction is open while it is asked."""
    answer = await assess(question)
    async with sessions.begin() as session:
        await keep(session, question.fingerprint, answer)


async def known(session: AsyncSession, fingerprint: str, *, hold_seconds: int) -> TaxAnswer | None:
    found = await session.scalar(KNOWN, {"fingerprint": fingerprint, "hold_seconds": hold_seconds})
    return _read(found) if found is not None else None


KNOWN = text(
    "SELECT answer FROM tax_answers "
    "WHERE fingerprint = :fingerprint AND asked_at > now() - make_interval(secs => :hold_seconds)"
)


async def keep(session: AsyncSession, fingerprint: str, answer: TaxAnswer) -> None:
    """Each one that is kept takes some away that nobody believes any more."""
    await session.execute(KEEP, {"fingerprint": fingerprint, "answer": _written(answer)})
    await session.execute(FORGET_OLD)


KEEP = text(
    """
    INSERT INTO tax_answers (fingerprint, answer) VALUES (:fingerprint, CAST(:answer AS jsonb))
    ON CONFLICT (fingerprint) DO UPDATE SET answer = excluded.answer, asked_at = now()
    """
)
FORGET_OLD = text(
    """
    DELETE FROM tax_answers WHERE fingerprint IN (
        SELECT fingerprint FROM tax_answers WHERE asked_at < now() - interval '1 day'
        ORDER BY asked_at LIMIT 20 FOR UPDATE SKIP LOCKED
    )
    """
)


def _written(answer: TaxAnswer) -> str:
    return json.dumps(asdict(answer), default=str)


def _read(told: Mapping[str, Any]) -> TaxAnswer:
    return TaxAnswer(
        amounts=tuple(told["amounts"]),
        taxes=tuple(NamedTax(**{**tax, "percent": Decimal(tax["percent"])}) for tax in told["taxes"]),
        is_known=told["is_known"],
        reference=told["reference"],
    )
