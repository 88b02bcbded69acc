"""The two demo accounts."""

import pytest
from sqlalchemy import select, text

from db import customers
from db.customers import User
from runtime.accounts import NotInProductionError, make_demo_accounts
from runtime.resources import Resources
from runtime.settings import Environment, Settings

EMAILS = ("operator@example.com", "shopper@example.com")


@pytest.fixture
async def without_demo_accounts(resources: Resources) -> None:
    async with resources.sessions.begin() as session:
        await session.execute(text("DELETE FROM users WHERE email = ANY(:emails)"), {"emails": list(EMAILS)})


async def accounts(resources: Resources) -> dict[str, tuple[str, str, str, str]]:
    async with resources.sessions() as session:
        found = await session.execute(
            select(User.email, User.username, User.role, User.status, User.password_hash).where(User.email.in_(EMAILS))
        )
        return {row.email: (row.username, row.role, row.status, row.password_hash) for row in found}


async def test_an_admin_and_a_customer_are_made_verified_and_with_the_demo_password(
    settings: Settings, resources: Resources, without_demo_accounts: None
) -> None:
    assert await make_demo_accounts(settings) == {"operator@example.com": True, "shopper@example.com": True}

    made = await accounts(resources)
    assert made["operator@example.com"][:3] == ("operator", "admin", "active")
    assert made["shopper@example.com"][:3] == ("shopper", "customer", "active")
    for *_, password_hash in made.values():
        assert (await resources.passwords.check("sutler-demo-1", password_hash)).is_right


async def test_accounts_that_are_there_stay_as_they_are(
    settings: Settings, resources: Resources, without_demo_accounts: None
) -> None:
    await make_demo_accounts(settings)
    before = await accounts(resources)
    async with resources.sessions.begin() as session:
        shopper = await customers.by_email_with_hash(session, "shopper@example.com")
        assert shopper
        await customers.replace_hash(session, shopper.id, old=shopper.password_hash, new="changed")

    assert await make_demo_accounts(settings) == {"operator@example.com": False, "shopper@example.com": False}

    after = await accounts(resources)
    assert after["operator@example.com"] == before["operator@example.com"]
    assert after["shopper@example.com"] == (*before["shopper@example.com"][:3], "changed")


async def test_none_is_made_in_production(
    settings: Settings, resources: Resources, without_demo_accounts: None
) -> None:
    with pytest.raises(NotInProductionError):
        await make_demo_accounts(settings.model_copy(update={"env": Environment.PRODUCTION}))
    assert await accounts(resources) == {}
