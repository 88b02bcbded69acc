"""Accounts come alive or are forgotten, once."""

import asyncio
from uuid import uuid4

from activities.customers import CustomerActivities
from db.customers import User, state_of
from domain.customers import AccountState, Customer
from runtime.resources import Resources
from tests.activities.test_notifications import a_customer


async def user(resources: Resources, customer: Customer) -> User | None:
    async with resources.sessions() as session:
        return await session.get(User, customer.user_id)


async def test_an_account_is_activated_however_often_that_is_asked(resources: Resources) -> None:
    accounts, customer = CustomerActivities(resources.sessions), await a_customer(resources)

    assert await accounts.look_up(customer) is AccountState.PENDING
    assert await accounts.activate(customer) is AccountState.ACTIVE
    found = await user(resources, customer)
    assert found
    verified_at = found.verified_at
    assert verified_at is not None

    assert await accounts.activate(customer) is AccountState.ACTIVE
    found = await user(resources, customer)
    assert found
    assert found.verified_at == verified_at


async def test_a_pending_account_expires_and_frees_its_names(resources: Resources) -> None:
    accounts, customer = CustomerActivities(resources.sessions), await a_customer(resources)
    found = await user(resources, customer)
    assert found

    assert await accounts.expire(customer) is AccountState.GONE
    assert await accounts.expire(customer) is AccountState.GONE

    async with resources.sessions.begin() as session:
        session.add(User(username=found.username.upper(), email=found.email.upper(), password_hash="x"))


async def test_an_active_account_does_not_expire(resources: Resources) -> None:
    accounts, customer = CustomerActivities(resources.sessions), await a_customer(resources)
    await accounts.activate(customer)

    assert await accounts.expire(customer) is AccountState.ACTIVE
    assert await user(resources, customer)


async def test_an_account_that_never_was_is_gone_and_stays_gone(resources: Resources) -> None:
    accounts, nobody = CustomerActivities(resources.sessions), Customer(user_id=uuid4())

    assert await accounts.look_up(nobody) is AccountState.GONE
    assert await accounts.activate(nobody) is AccountState.GONE
    assert await accounts.expire(nobody) is AccountState.GONE


async def test_a_verification_and_an_expiry_that_meet_have_one_outcome(resources: Resources) -> None:
    accounts = CustomerActivities(resources.sessions)
    for _ in range(20):
        customer = await a_customer(resources)
        activated, expired = await asyncio.gather(accounts.activate(customer), accounts.expire(customer))
        async with resources.sessions() as session:
            outcome = await state_of(session, customer.user_id)
        assert outcome is not AccountState.PENDING
        assert {activated, expired} == {outcome}
