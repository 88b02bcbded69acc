"""A new e-mail address for an account: both mailboxes have to agree, and either can say no."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from db import confirmations, customers
from db.base import new_id
from db.confirmations import Confirmation
from db.tokens import hash_of
from domain.confirmations import ConfirmationStatus, Purpose
from domain.errors import Refusal


class Agreement(StrEnum):
    ONE = "waiting_for_the_other"
    BOTH = "changed"


@dataclass(frozen=True, kw_only=True)
class Answered:
    confirmation_id: UUID
    user_id: UUID
    agreement: Agreement


async def ask(session: AsyncSession, user_id: UUID, email: str, *, lasts: timedelta) -> UUID:
    """Write the wish down in the place of an older one; refuses ``email_taken`` and ``too_many_mails``."""
    await customers.locked(session, user_id)
    if await customers.by_email_with_hash(session, email) is not None:
        raise Refusal("email_taken", "There is an account with this e-mail address.")
    await confirmations.end_open(session, user_id, Purpose.EMAIL_CHANGE)
    wanted = new_id()
    asked = await session.scalar(
        ASK, {"id": wanted, "user_id": user_id, "email": email, "lasts": lasts, "most": confirmations.MOST_IN_AN_HOUR}
    )
    if asked is None:
        raise Refusal("too_many_mails", "Enough mails about this were sent; try again in an hour.")
    return wanted


ASK = text(
    """
    INSERT INTO confirmations (id, purpose, user_id, email, expires_at)
    SELECT :id, 'email_change', :user_id, :email, now() + CAST(:lasts AS interval)
    WHERE :most > (
        SELECT count(*) FROM confirmations
        WHERE user_id = :user_id AND purpose = 'email_change' AND created_at > now() - interval '1 hour'
    )
    RETURNING id
    """
)


async def agree(session: AsyncSession, token: str) -> Answered:
    """One mailbox has agreed, and with the second one the address is changed; refuses ``email_taken`` as late as here.

    A link that is followed twice answers the same twice, as long as the other one was not.
    """
    link = await confirmations.followed(session, Purpose.EMAIL_CHANGE, token)
    wanted = await session.get(Confirmation, link.confirmation_id, with_for_update=True, populate_existing=True)
    if wanted is None or wanted.email is None or wanted.status != ConfirmationStatus.OPEN:
        raise confirmations.over()
    agreed = await session.scalar(AGREE, {"token_hash": hash_of(token), "confirmation_id": wanted.id})
    agreement = Agreement.BOTH if agreed == BOTH_MAILBOXES else Agreement.ONE
    if agreement is Agreement.BOTH:
        await confirmations.use(session, wanted.id)
        await confirmations.end_open(session, link.user_id)
        await customers.change_email(session, link.user_id, wanted.email)
    return Answered(confirmation_id=wanted.id, user_id=link.user_id, agreement=agreement)


BOTH_MAILBOXES = 2

AGREE = text(
    """
    WITH followed AS (
        UPDATE mailed_tokens SET followed_at = coalesce(followed_at, now()) WHERE token_hash = :token_hash
        RETURNING occasion
    )
    SELECT count(DISTINCT occasion) FROM (
        SELECT occasion FROM followed
        UNION ALL
        SELECT occasion FROM mailed_tokens
        WHERE confirmation_id = :confirmation_id AND followed_at IS NOT NULL
    ) AS agreed
    """
)


async def refuse(session: AsyncSession, token: str) -> Answered:
    """Either mailbox ends the wish, at any time before both have agreed."""
    link = await confirmations.followed(session, Purpose.EMAIL_CHANGE, token)
    refused = await session.scalar(REFUSE, {"id": link.confirmation_id})
    if refused is None:
        raise confirmations.over()
    return Answered(confirmation_id=link.confirmation_id, user_id=link.user_id, agreement=Agreement.ONE)


REFUSE = text(
    """
    UPDATE confirmations SET status = 'refused', ended_at = now()
    WHERE id = :id AND status = 'open' AND expires_at > now() RETURNING id
    """
)
