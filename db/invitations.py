"""Invitations: how somebody becomes one of the shop's staff."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import func, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from db import customers, paging
from db.confirmations import Confirmation, over, unknown
from db.tokens import hash_of
from domain.confirmations import ConfirmationStatus, Purpose
from domain.customers import Role
from domain.errors import Refusal

INVITED = Confirmation.purpose == Purpose.INVITATION


@dataclass(frozen=True, kw_only=True)
class Invited:
    confirmation_id: UUID
    email: str
    role: Role


async def ask(session: AsyncSession, email: str, role: Role, *, asked_by: str, lasts: timedelta) -> Confirmation:
    """In the place of an older invitation of the same address; refuses ``email_taken``."""
    if await customers.by_email_with_hash(session, email) is not None:
        raise Refusal("email_taken", "There is an account with this e-mail address.")
    await session.execute(
        update(Confirmation)
        .where(INVITED, func.lower(Confirmation.email) == email.lower(), Confirmation.status == ConfirmationStatus.OPEN)
        .values(status=ConfirmationStatus.EXPIRED, ended_at=func.now())
    )
    invitation = Confirmation(
        purpose=Purpose.INVITATION, email=email, role=role, asked_by=asked_by, expires_at=func.now() + lasts
    )
    session.add(invitation)
    await session.flush()
    await session.refresh(invitation)
    return invitation


async def followed(session: AsyncSession, token: str) -> Invited:
    """Who was invited with this link, without using it; refuses ``validation_failed`` and ``token_expired``."""
    found = (await session.execute(FOLLOWED, {"token_hash": hash_of(token)})).one_or_none()
    if found is None:
        raise unknown()
    if not found.is_open:
        raise over()
    return Invited(confirmation_id=found.id, email=found.email, role=Role(found.role))


FOLLOWED = text(
    """
    SELECT confirmations.id, confirmations.email, confirmations.role,
           confirmations.status = 'open' AND confirmations.expires_at > now() AS is_open
    FROM mailed_tokens JOIN confirmations ON confirmations.id = mailed_tokens.confirmation_id
    WHERE mailed_tokens.token_hash = :token_hash AND confirmations.purpose = 'invitation'
    """
)


async def belongs_to(session: AsyncSession, invitation_id: UUID, user_id: UUID) -> None:
    """Whoever has accepted it; it is forgotten with them."""
    await session.execute(update(Confirmation).where(Confirmation.id == invitation_id).values(user_id=user_id))


async def page(session: AsyncSession, *, limit: int, before: UUID | None) -> Sequence[Confirmation]:
    return await paging.newest(session, Confirmation, INVITED, limit=limit, before=before)


async def withdraw(session: AsyncSession, invitation_id: UUID) -> bool:
    """Its link is worth nothing from now on; false when it is not open any more."""
    withdrawn = await session.scalar(
        update(Confirmation)
        .where(INVITED, Confirmation.id == invitation_id, Confirmation.status == ConfirmationStatus.OPEN)
        .values(status=ConfirmationStatus.REFUSED, ended_at=func.now())
        .returning(Confirmation.id)
    )
    return withdrawn is not None
