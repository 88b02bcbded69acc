"""Carts that nobody comes back to."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import text

from db import cart_tidying
from db.cart_tidying import BEGINNING
from domain.cart_tidying import TidyCarts
from runtime.resources import Resources
from tests.db.test_cart_merging import a_customer
from tests.support.catalog import a_product
from tests.support.orders import a_cart, a_confirmed_order, a_placed_order, to_place

HOUR, DAY = 3600.0, 86_400.0
AGES = TidyCarts(empty_seconds=6 * HOUR, guest_seconds=30 * DAY, customer_seconds=90 * DAY)
NOW = datetime(2001, 6, 1, tzinfo=UTC)
"""Long before any other test's carts were changed, so that only ours are removed."""
INSTANT = timedelta(microseconds=1)


async def last_changed(resources: Resources, ages: Mapping[UUID, timedelta]) -> None:
    """They were made an hour before."""
    async with resources.sessions.begin() as session:
        for cart_id, age in ages.items():
            await session.execute(
                text("UPDATE carts SET created_at = :made, updated_at = :at WHERE id = :id"),
                {"made": NOW - age - timedelta(hours=1), "at": NOW - age, "id": cart_id},
            )


async def there(resources: Resources, carts: Mapping[UUID, object]) -> set[UUID]:
    async with resources.sessions() as session:
        found = await session.scalars(text("SELECT id FROM carts WHERE id = ANY(:ids)"), {"ids": list(carts)})
        return set(found)


async def tidied(resources: Resources, *, most: int = 500) -> int:
    removed, batch = 0, BEGINNING
    while not batch.is_last:
        async with resources.sessions.begin() as session:
            batch = await cart_tidying.remove(session, AGES, now=NOW, behind=batch, most=most)
        removed += batch.carts
    return removed


async def test_each_kind_of_cart_is_removed_in_the_instant_its_time_is_over(resources: Resources) -> None:
    product, user = await a_product(resources.sessions), await a_customer(resources)
    something = (product.variant_id, 1)
    over, still = {}, {}
    for age, owner, contents in (
        (timedelta(hours=6), None, []),
        (timedelta(hours=6), user, []),
        (timedelta(days=30), None, [something]),
        (timedelta(days=90), user, [something]),
    ):
        over[await a_cart(resources.sessions, *contents, user_id=owner)] = age
        still[await a_cart(resources.sessions, *contents, user_id=owner)] = age - INSTANT
    await last_changed(resources, {**over, **still})

    assert await tidied(resources) == 4

    assert await there(resources, {**over, **still}) == set(still)
    await last_changed(resources, dict.fromkeys(still, timedelta(days=90)))  # they leave nothing for other tests
    assert await tidied(resources) == 4


async def test_a_cart_with_a_checkout_is_never_removed(resources: Resources) -> None:
    product = await a_product(resources.sessions, stock=9)
    pending = await a_placed_order(resources.sessions, (product.variant_id, 1))
    confirmed = await a_confirmed_order(resources.sessions, (product.variant_id, 1))
    asked_for = await a_cart(resources.sessions, (product.variant_id, 1))
    await to_place(resources.sessions, asked_for)
    old = dict.fromkeys((pending.cart_id, confirmed.cart_id, asked_for), timedelta(days=400))
    await last_changed(resources, old)

    assert await tidied(resources) == 0

    assert await there(resources, old) == set(old)


async def test_they_go_a_few_at_a_time_and_one_that_somebody_is_changing_waits(resources: Resources) -> None:
    old = {await a_cart(resources.sessions): timedelta(days=1, seconds=number) for number in range(5)}
    await last_changed(resources, old)
    busy = next(iter(old))

    async with resources.sessions.begin() as somebody:
        await somebody.execute(text("SELECT FROM carts WHERE id = :id FOR UPDATE"), {"id": busy})
        assert await tidied(resources, most=2) == 4

    assert await there(resources, old) == {busy}
    assert await tidied(resources, most=2) == 1
