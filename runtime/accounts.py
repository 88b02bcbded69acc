"""The two accounts that a demonstration needs."""

from db import customers
from db.engine import connect, sessions_of
from domain.customers import Role
from runtime.passwords import Passwords
from runtime.settings import Environment, Settings

DEMO_ACCOUNTS = (
    ("operator", "operator@example.com", Role.ADMIN),
    ("shopper", "shopper@example.com", Role.CUSTOMER),
)


class NotInProductionError(Exception):
    """Accounts whose password everybody knows."""


async def make_demo_accounts(settings: Settings) -> dict[str, bool]:
    """E-mail addresses, and whether each was made now. One that exists stays as it is, its password too."""
    if settings.env is Environment.PRODUCTION:
        raise NotInProductionError("Demo accounts have a password that everybody knows; none is made in production.")
    database, passwords = settings.database, Passwords()
    password = settings.demo.password.get_secret_value()
    made: dict[str, bool] = {}
    try:
        async with connect(
            database.url.get_secret_value(),
            shop_schema=database.shop_schema,
            pool_size=1,
            pool_wait_seconds=database.pool_wait_seconds,
            stock=settings.shop.stock_rules,
            taxes=settings.tax.policy,
        ) as engine:
            for username, email, role in DEMO_ACCOUNTS:
                password_hash = await passwords.hash(password)
                async with sessions_of(engine).begin() as session:
                    made[email] = await customers.make_verified(
                        session, username=username, email=email, password_hash=password_hash, role=role
                    )
    finally:
        passwords.close()
    return made
