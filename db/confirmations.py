"""Links that are mailed to be followed once: what they are for, and the hashes of their tokens."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, Id, Now, new_id, one_of
from db.tokens import hash_of, new_token
from domain.confirmations import ConfirmationOutcome, ConfirmationStatus, Purpose
from domain.errors import Refusal, unacceptable
from domain.notifications import Occasion

MOST_IN_AN_HOUR = 5
"""So many mails of one purpose an account gets in an hour, however often somebody asks in its name."""


class Confirmation(Base):
    """One wish that waits for a click; without ``user_id`` nobody is there to click."""

    __tablename__ = "confirmations"

    id: Mapped[Id]
    purpose: Mapped[str]
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    email: Mapped[str | None]
    """The address that an account is to have, or that was invited to have one."""
    role: Mapped[str | None]
    """What an invitation makes of whoever accepts it."""
    asked_by: Mapped[str | None]
    """Who invites, as audits call them."""
    status: Mapped[str] = mapped_column(server_default=ConfirmationStatus.OPEN)
    created_at: Mapped[Now]
    expires_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint(one_of("purpose", Purpose), name="purpose"),
        CheckConstraint(one_of("status", ConfirmationStatus), name="status"),
        CheckConstraint("(status = 'open') = (ended_at IS NULL)", name="ended_has_time"),
        CheckConstraint("(purpose = 'password_reset') = (email IS NULL)", name="reset_has_no_email"),
        CheckConstraint("(purpose = 'invitation') = (role IS NOT NULL)", name="invitation_has_role"),
        CheckConstraint("role <> 'customer'", name="role_of_staff"),
        Index("ix_confirmations_user_id_created_at", "user_id", "created_at"),
    )


class MailedToken(Base):
    """The token of a mailed link, known only by its SHA-256. A mail that is tried again carries a token of its own."""

    __tablename__ = "mailed_tokens"

    token_hash: Mapped[bytes] = mapped_column(primary_key=True)
    confirmation_id: Mapped[UUID] = mapped_column(ForeignKey("confirmations.id", ondelete="CASCADE"), index=True)
    occasion: Mapped[str]
    created_at: Mapped[Now]
    followed_at: Mapped[datetime | None]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """``user_id`` is ``None`` when there is no such account, or when it had enough mails."""

    confirmation_id: UUID
    user_id: UUID | None


@dataclass(frozen=True, kw_only=True)
class Link:
    """All that a mail needs. This is the only place where its token is ever known."""

    token: str
    email: str
    username: str
    language: str | None
    expires_at: datetime


@dataclass(frozen=True, kw_only=True)
class Followed:
    """Whose link was followed, and for what."""

    confirmation_id: UUID
    user_id: UUID
    username: str
    email: str


async def ask_for_reset(session: AsyncSession, email: str, *, lasts: timedelta) -> Asked:
    """Write the wish down, whether the address belongs to an account or not: the same one statement for both."""
    asked = await session.execute(
        ASK_FOR_RESET, {"id": new_id(), "email": email, "lasts": lasts, "most": MOST_IN_AN_HOUR}
    )
    row = asked.one()
    return Asked(confirmation_id=row.id, user_id=row.user_id)


ASK_FOR_RESET = text(
    """
    INSERT INTO confirmations (id, purpose, user_id, expires_at)
    SELECT :id, 'password_reset', (
        SELECT users.id FROM users
        WHERE lower(users.email) = lower(:email) AND users.status = 'active' AND :most > (
            SELECT count(*) FROM confirmations
            WHERE confirmations.user_id = users.id AND confirmations.purpose = 'password_reset'
              AND confirmations.created_at > now() - interval '1 hour'
        )
    ), now() + CAST(:lasts AS interval)
    RETURNING id, user_id
    """
)


async def make_link(session: AsyncSession, confirmation_id: UUID, occasion: Occasion) -> Link | None:
    """A fresh token for a mail; ``None`` when nobody is there to read it, or the wish is not open any more."""
    found = (await session.execute(READER, {"id": confirmation_id})).one_or_none()
    if found is None:
        return None
    token = new_token()
    session.add(MailedToken(token_hash=hash_of(token), confirmation_id=confirmation_id, occasion=occasion))
    await session.flush()
    email = found.wanted_email if occasion in TO_THE_WANTED_ADDRESS else found.email
    return Link(token=token, email=email, username=found.username, language=found.language, expires_at=found.expires_at)


TO_THE_WANTED_ADDRESS = frozenset({Occasion.EMAIL_CHANGE_NEW, Occasion.INVITATION})

READER = text(
    """
    SELECT users.email, coalesce(users.username, '') AS username, users.language, confirmations.email AS wanted_email,
           confirmations.expires_at
    FROM confirmations LEFT JOIN users ON users.id = confirmations.user_id
    WHERE confirmations.id = :id AND (users.id IS NOT NULL OR confirmations.purpose = 'invitation')
      AND confirmations.status = 'open' AND confirmations.expires_at > now()
    """
)


async def followed(session: AsyncSession, purpose: Purpose, token: str) -> Followed:
    """Whose link this is, without using it; refuses ``validation_failed`` and ``token_expired``."""
    found = (await session.execute(FOLLOWED, {"token_hash": hash_of(token), "purpose": purpose})).one_or_none()
    if found is None:
        raise unknown()
    if not found.is_open:
        raise over()
    return Followed(
        confirmation_id=found.confirmation_id, user_id=found.user_id, username=found.username, email=found.email
    )


FOLLOWED = text(
    """
    SELECT confirmations.id AS confirmation_id, users.id AS user_id, users.username, users.email,
           confirmations.status = 'open' AND confirmations.expires_at > now() AS is_open
    FROM mailed_tokens
    JOIN confirmations ON confirmations.id = mailed_tokens.confirmation_id
    JOIN users ON users.id = confirmations.user_id
    WHERE mailed_tokens.token_hash = :token_hash AND confirmations.purpose = :purpose
    """
)


async def use(session: AsyncSession, confirmation_id: UUID) -> None:
    """The click counts, once: of two that come at the same moment one is refused ``token_expired``."""
    used = await session.scalar(USE, {"id": confirmation_id})
    if used is None:
        raise over()


USE = text(
    """
    UPDATE confirmations SET status = 'confirmed', ended_at = now()
    WHERE id = :id AND status = 'open' AND expires_at > now()
    RETURNING id
    """
)


def unknown() -> Refusal:
    return unacceptable("/token", "This is not a token that we have mailed.")


def over() -> Refusal:
    return Refusal("token_expired", "This link was used before, or its time is over; ask for another one.")


async def end_open(session: AsyncSession, user_id: UUID, *purposes: Purpose) -> None:
    """Links that the account was mailed are worth nothing from now on; those of all purposes when none is named."""
    await session.execute(END_OPEN, {"purposes": list(purposes or Purpose), "user_id": user_id})


END_OPEN = text(
    """
    UPDATE confirmations SET status = 'expired', ended_at = now()
    WHERE purpose = ANY(CAST(:purposes AS text[])) AND user_id = :user_id AND status = 'open'
    """
)


async def close(session: AsyncSession, confirmation_id: UUID) -> ConfirmationOutcome:
    """What became of it; what was open until now has expired. What nobody asked for is forgotten."""
    await session.execute(FORGET, {"id": confirmation_id})
    status = await session.scalar(CLOSE, {"id": confirmation_id})
    return ConfirmationOutcome(status) if status else ConfirmationOutcome.NOBODY_ASKED


FORGET = text("DELETE FROM confirmations WHERE id = :id AND user_id IS NULL AND purpose = 'password_reset'")

CLOSE = text(
    """
    UPDATE confirmations
    SET status = CASE status WHEN 'open' THEN 'expired' ELSE status END, ended_at = coalesce(ended_at, now())
    WHERE id = :id RETURNING status
    """
)
