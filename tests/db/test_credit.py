"""Balances and their ledger: what moves them, once for each reason, and never below nothing."""

import asyncio
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from db import credit
from db.credit import Move
from domain.credit import CreditReason
from domain.errors import Refusal
from domain.money import Money
from runtime.resources import Resources
from tests.support.credit import a_customer, a_gift_card, balance_of, store_credit


async def test_a_card_begins_with_what_it_is_worth_and_its_code_is_not_kept(resources: Resources) -> None:
    card_id, code = await a_gift_card(resources.sessions, "25.00")

    async with resources.sessions() as session:
        found = await credit.by_code(session, code.lower().replace("-", " "))
        row = (await session.execute(text("SELECT * FROM credit_accounts WHERE id = :id"), {"id": card_id})).one()
    assert found is not None
    assert (found.id, found.last4, found.initial_amount) == (card_id, code[-4:], 2500)
    assert await balance_of(resources.sessions, card_id) == (2500, 2500)
    assert code not in str(row)
    assert code.replace("-", "") not in str(row)


async def test_what_happened_for_the_same_thing_moves_a_balance_once(resources: Resources) -> None:
    card_id, _ = await a_gift_card(resources.sessions)
    other_id, _ = await a_gift_card(resources.sessions)
    key = f"test/{uuid4()}"

    async def take(account_id: UUID) -> None:
        async with resources.sessions.begin() as session:
            taken = Move(account_id=account_id, amount=-300, reason=CreditReason.ADJUSTED, key=key)
            await credit.move(session, [taken])

    await asyncio.gather(*(take(card_id) for _ in range(5)))
    await take(other_id)

    assert await balance_of(resources.sessions, card_id) == (700, 700)
    assert await balance_of(resources.sessions, other_id) == (1000, 1000)


async def test_of_twenty_who_take_at_once_as_many_get_something_as_there_is(resources: Resources) -> None:
    user = await a_customer(resources.sessions)
    account_id = await store_credit(resources.sessions, user, "10.00")

    async def take() -> str:
        try:
            async with resources.sessions.begin() as session:
                await credit.adjust(session, user, Money(-300, "USD"), actor="operator:test", words="a test")
        except Refusal as refusal:
            return refusal.code
        return "taken"

    told = await asyncio.gather(*(take() for _ in range(20)))

    assert sorted(told) == ["insufficient_credit"] * 17 + ["taken"] * 3
    assert await balance_of(resources.sessions, account_id) == (100, 100)


async def test_store_credit_is_kept_by_currency_and_nobody_has_less_than_nothing(resources: Resources) -> None:
    user = await a_customer(resources.sessions)
    await store_credit(resources.sessions, user, "10.00")
    await store_credit(resources.sessions, user, "500", currency="JPY")
    await store_credit(resources.sessions, user, "-2.50")

    with pytest.raises(Refusal, match="There are only USD 7"):
        await store_credit(resources.sessions, user, "-7.51")

    async with resources.sessions() as session:
        accounts = await credit.of_customer(session, user)
        rows = await credit.entries_of_customer(session, user, limit=10, before=None)
    assert [(account.currency, account.balance) for account in accounts] == [("JPY", 500), ("USD", 750)]
    assert [(entry.amount, currency) for entry, currency in rows] == [(-250, "USD"), (500, "JPY"), (1000, "USD")]


async def test_nobody_gets_credit_who_has_no_account(resources: Resources) -> None:
    with pytest.raises(Refusal, match="There is no such account"):
        await store_credit(resources.sessions, uuid4(), "1.00")


@pytest.mark.parametrize(
    "change", ["UPDATE credit_entries SET amount = amount + 1", "DELETE FROM credit_entries", "TRUNCATE credit_entries"]
)
async def test_the_ledger_is_only_added_to(resources: Resources, change: str) -> None:
    card_id, _ = await a_gift_card(resources.sessions)

    with pytest.raises(DBAPIError, match=r"append-only|permission denied"):
        async with resources.sessions.begin() as session:
            await session.execute(text(change))

    assert await balance_of(resources.sessions, card_id) == (1000, 1000)


@pytest.mark.parametrize("balance", [-1, 1001])
async def test_a_card_has_never_less_than_nothing_nor_more_than_it_was_worth(
    resources: Resources, balance: int
) -> None:
    card_id, _ = await a_gift_card(resources.sessions)

    with pytest.raises(IntegrityError):
        async with resources.sessions.begin() as session:
            await session.execute(
                text("UPDATE credit_accounts SET balance = :balance WHERE id = :id"),
                {"id": card_id, "balance": balance},
            )


async def test_a_disabled_card_keeps_what_is_on_it(resources: Resources) -> None:
    card_id, _ = await a_gift_card(resources.sessions)

    async with resources.sessions.begin() as session:
        first = await credit.disable(session, card_id, actor="operator:test", words="stolen")
        at = first.disabled_at
        again = await credit.disable(session, card_id, actor="operator:test", words="stolen")

    assert at is not None
    assert again.disabled_at == at
    assert await balance_of(resources.sessions, card_id) == (1000, 1000)
