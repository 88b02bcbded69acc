"""Letters to customers: asked for in the transaction that gives reason to write, sent soon after."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, Now, one_of
from domain.notifications import MailOutcome, Occasion, mail_key

LONGEST_PAUSE = timedelta(minutes=10)
GIVE_UP_AFTER = timedelta(hours=24)


class Letter(Base):
    """``key`` names the occasion (``order_confirmed:<order id>``), for which one letter is written, ever."""

    __tablename__ = "letters"

    key: Mapped[str] = mapped_column(primary_key=True)
    occasion: Mapped[str]
    about: Mapped[UUID]
    """The order or the user; what the letter says of them is looked up when it is sent."""
    asked_at: Mapped[Now]
    next_try_at: Mapped[Now]
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    problem: Mapped[str | None]
    """Why the last attempt failed, in the mail server's words; never the recipient."""
    outcome: Mapped[str | None]
    """``None`` while it is still to be sent."""
    ended_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint(one_of("outcome", MailOutcome), name="outcome"),
        CheckConstraint("(outcome IS NULL) = (ended_at IS NULL)", name="ended_has_time"),
        Index("ix_letters_waiting", "next_try_at", postgresql_where=text("outcome IS NULL")),
    )


@dataclass(frozen=True, slots=True)
class WaitingLetter:
    key: str
    occasion: Occasion
    about: UUID


async def ask_for(
    session: AsyncSession, occasion: Occasion, about: UUID, *, occasion_of: UUID | str | None = None
) -> None:
    """Have a letter written as soon as this transaction has come true; content when it was asked for before.

    An occasion that an order or a user can have several times is told apart by ``occasion_of``.
    """
    key = mail_key(occasion, occasion_of or about)
    await session.execute(ASK_FOR, {"key": key, "occasion": occasion, "about": about})


ASK_FOR = text("INSERT INTO letters (key, occasion, about) VALUES (:key, :occasion, :about) ON CONFLICT DO NOTHING")


async def take(session: AsyncSession, *, most: int) -> list[WaitingLetter]:
    """Letters whose time has come; nobody else takes them before this transaction ends."""
    rows = await session.execute(TAKE, {"most": most})
    return [WaitingLetter(row.key, Occasion(row.occasion), row.about) for row in rows]


TAKE = text(
    """
    SELECT key, occasion, about FROM letters WHERE outcome IS NULL AND next_try_at <= now()
    ORDER BY next_try_at LIMIT :most FOR UPDATE SKIP LOCKED
    """
)


async def note(session: AsyncSession, outcomes: Mapping[str, MailOutcome], problems: Mapping[str, str]) -> None:
    """What became of letters; those with a problem are tried again, each time later, for a day."""
    if outcomes:
        await session.execute(END, {"keys": list(outcomes), "outcomes": [str(how) for how in outcomes.values()]})
    if problems:
        await session.execute(
            POSTPONE,
            {
                "keys": list(problems),
                "problems": list(problems.values()),
                "longest": LONGEST_PAUSE.total_seconds(),
                "give_up_after": GIVE_UP_AFTER,
            },
        )


END = text(
    """
    UPDATE letters SET outcome = ended.outcome, ended_at = now(), attempts = attempts + 1, problem = NULL
    FROM unnest(CAST(:keys AS text[]), CAST(:outcomes AS text[])) AS ended (key, outcome)
    WHERE letters.key = ended.key
    """
)

POSTPONE = text(
    """
    UPDATE letters
    SET attempts = attempts + 1, problem = failed.problem,
        next_try_at = now() + make_interval(secs => least(power(2, least(attempts, 20)), :longest)),
        outcome = CASE WHEN asked_at < now() - CAST(:give_up_after AS interval) THEN 'given_up' END,
        ended_at = CASE WHEN asked_at < now() - CAST(:give_up_after AS interval) THEN now() END
    FROM unnest(CAST(:keys AS text[]), CAST(:problems AS text[])) AS failed (key, problem)
    WHERE letters.key = failed.key
    """
)


async def was_sent(session: AsyncSession, key: str) -> bool:
    sent = select(Letter.key).where(Letter.key == key, Letter.outcome == MailOutcome.SENT)
    return await session.scalar(sent) is not None


async def note_sent(session: AsyncSession, key: str, occasion: Occasion, about: UUID) -> None:
    """A letter that was sent without being asked for here; content when it was noted before."""
    await session.execute(NOTE_SENT, {"key": key, "occasion": occasion, "about": about})


NOTE_SENT = text(
    """
    INSERT INTO letters (key, occasion, about, attempts, outcome, ended_at)
    VALUES (:key, :occasion, :about, 1, 'sent', now())
    ON CONFLICT (key) DO NOTHING
    """
)
