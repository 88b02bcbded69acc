"""Gift cards and store credit for tests."""

from uuid import UUID, uuid4

from sqlalchemy import text

from db import credit
from db.base import new_id
from db.customers import User
from db.engine import Sessions
from domain.credit import new_code
from domain.customers import AccountStatus
from domain.money import Money


async def a_customer(sessions: Sessions) -> UUID:
    """The id of an account that has nothing yet."""
    name = f"customer.{uuid4().hex[:12]}"
    async with sessions.begin() as session:
        user = User(username=name, email=f"{name}@example.com", password_hash="none", status=AccountStatus.ACTIVE)
        session.add(user)
        await session.flush()
        return user.id


async def a_gift_card(sessions: Sessions, worth: str = "10.00", *, currency: str = "USD") -> tuple[UUID, str]:
    """Its id and its code."""
    card_id, code = new_id(), new_code()
    async with sessions.begin() as session:
        await credit.issue(
            session, card_id, code, Money.parse(worth, currency), expires_at=None, actor="operator:test", words="a test"
        )
    return card_id, code


async def store_credit(sessions: Sessions, user_id: UUID, amount: str, *, currency: str = "USD") -> UUID:
    """The account that it is in."""
    async with sessions.begin() as session:
        account = await credit.adjust(
            session, user_id, Money.parse(amount, currency), actor="operator:test", words="a test"
        )
        return account.id


async def balance_of(sessions: Sessions, account_id: UUID) -> tuple[int, int]:
    """What the account says, and what its entries add up to."""
    async with sessions() as session:
        found = await session.execute(BALANCE, {"id": account_id})
        balance, entries = found.one()
        return balance, entries


BALANCE = text(
    """
    SELECT balance, (
        SELECT coalesce(sum(amount), 0)::bigint FROM credit_entries WHERE account_id = credit_accounts.id
    ) FROM credit_accounts WHERE id = :id
    """
)


async def expire(sessions: Sessions, card_id: UUID) -> None:
    async with sessions.begin() as session:
        await session.execute(
            text("UPDATE credit_accounts SET expires_at = now() - interval '1 second' WHERE id = :id"), {"id": card_id}
        )
