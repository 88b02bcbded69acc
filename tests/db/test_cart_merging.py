"""A guest's cart becomes that of the customer who signs in."""

import asyncio
from uuid import UUID

import pytest
from sqlalchemy import text

from db import baskets, cart_merging, carts
from db.cart_merging import Claimed
from db.carts import Cart
from db.customers import User
from db.orders import Order
from domain.carts import CartCaps, MergeStrategy
from domain.errors import Refusal
from runtime.resources import Resources
from tests.support.catalog import a_product, unique
from tests.support.orders import a_cart, a_confirmed_order, a_placed_order, place, to_place

WIDE = CartCaps()


async def a_customer(resources: Resources) -> UUID:
    name = unique("customer").replace(" ", ".")
    async with resources.sessions.begin() as session:
        user = User(username=name, email=f"{name}@example.com", password_hash="none")
        session.add(user)
        await session.flush()
        return user.id


async def claim(
    resources: Resources,
    cart_id: UUID,
    user_id: UUID,
    strategy: MergeStrategy = MergeStrategy.SUM,
    caps: CartCaps = WIDE,
) -> Claimed:
    async with resources.sessions.begin() as session:
        return await cart_merging.claim(session, cart_id, user_id, strategy=strategy, caps=caps)


async def inside(resources: Resources, cart_id: UUID) -> dict[UUID, int]:
    async with resources.sessions() as session:
        found = await baskets.priced(session, cart_id)
    assert found is not None
    return {priced.line.variant_id: priced.line.quantity for priced in found.priced.lines}


async def open_carts(resources: Resources, user_id: UUID) -> list[UUID]:
    async with resources.sessions() as session:
        found = await session.scalars(
            text("SELECT id FROM carts WHERE user_id = :id AND merged_into IS NULL AND completed_at IS NULL"),
            {"id": user_id},
        )
        return list(found)


async def test_a_guests_cart_becomes_the_customers_when_they_have_none(resources: Resources) -> None:
    product, user = await a_product(resources.sessions), await a_customer(resources)
    cart = await a_cart(resources.sessions, (product.variant_id, 2))

    for _ in range(2):
        assert await claim(resources, cart, user) == Claimed(cart_id=cart, left_out=[])

    assert await open_carts(resources, user) == [cart]
    assert await inside(resources, cart) == {product.variant_id: 2}


async def test_its_things_are_put_into_the_cart_that_the_customer_has_once(resources: Resources) -> None:
    both, only = await a_product(resources.sessions), await a_product(resources.sessions)
    user = await a_customer(resources)
    own = await a_cart(resources.sessions, (both.variant_id, 2), user_id=user, email=None, shipping=None)
    guests = await a_cart(resources.sessions, (both.variant_id, 3), (only.variant_id, 1), email="guest@example.com")

    for _ in range(2):
        assert await claim(resources, guests, user) == Claimed(cart_id=own, left_out=[])

    assert await inside(resources, own) == {both.variant_id: 5, only.variant_id: 1}
    assert await inside(resources, guests) == {}
    assert await open_carts(resources, user) == [own]
    async with resources.sessions() as session:
        said = await session.execute(
            text("SELECT email, shipping_method, shipping_address IS NULL FROM carts WHERE id = ANY(:ids) ORDER BY 1"),
            {"ids": [own, guests]},
        )
        assert said.all() == [("guest@example.com", "standard", False), (None, "standard", True)]
    with pytest.raises(Refusal) as refused:
        async with resources.sessions.begin() as session:
            await carts.editable(session, guests)
    assert (refused.value.code, refused.value.facts) == ("cart_merged", {"cart_id": str(own)})


async def test_what_does_not_fit_is_named_and_stays_where_it_was(resources: Resources) -> None:
    many, one = await a_product(resources.sessions), await a_product(resources.sessions)
    user = await a_customer(resources)
    own = await a_cart(resources.sessions, (many.variant_id, 998), user_id=user)
    guests = await a_cart(resources.sessions, (many.variant_id, 4), (one.variant_id, 1))

    for _ in range(2):
        claimed = await claim(resources, guests, user, caps=CartCaps(lines=1, units=5000))
        assert {left.sku: left.quantity for left in claimed.left_out} == {many.sku: 3, one.sku: 1}

    assert await inside(resources, own) == {many.variant_id: 999}
    assert await inside(resources, guests) == {many.variant_id: 3, one.variant_id: 1}


async def test_claims_that_come_at_once_end_as_one(resources: Resources) -> None:
    product, user = await a_product(resources.sessions), await a_customer(resources)
    guests = [await a_cart(resources.sessions, (product.variant_id, 2)) for _ in range(3)]

    claimed = await asyncio.gather(*(claim(resources, cart, user) for cart in guests * 2))

    [own] = await open_carts(resources, user)
    assert {each.cart_id for each in claimed} == {own}
    assert await inside(resources, own) == {product.variant_id: 6}


async def test_of_two_customers_who_claim_one_cart_one_gets_it(resources: Resources) -> None:
    product = await a_product(resources.sessions)
    users = [await a_customer(resources) for _ in range(2)]
    cart = await a_cart(resources.sessions, (product.variant_id, 2))

    outcomes = await asyncio.gather(*(claim(resources, cart, user) for user in users), return_exceptions=True)

    [refused] = [outcome for outcome in outcomes if isinstance(outcome, Refusal)]
    assert refused.code == "not_found"
    assert sorted([await open_carts(resources, user) for user in users]) == [[], [cart]]


async def test_a_cart_that_is_being_checked_out_or_was_ordered_is_not_merged(resources: Resources) -> None:
    product, user = await a_product(resources.sessions, stock=9), await a_customer(resources)
    own = await a_cart(resources.sessions, (product.variant_id, 1), user_id=user)
    pending = await a_placed_order(resources.sessions, (product.variant_id, 1))
    confirmed = await a_confirmed_order(resources.sessions, (product.variant_id, 1))

    for cart, code in ((pending.cart_id, "cart_in_checkout"), (confirmed.cart_id, "cart_completed")):
        with pytest.raises(Refusal) as refused:
            await claim(resources, cart, user)
        assert refused.value.code == code
    await place(resources.sessions, await to_place(resources.sessions, own))
    guests = await a_cart(resources.sessions, (product.variant_id, 3))
    with pytest.raises(Refusal) as refused:
        await claim(resources, guests, user)
    assert refused.value.code == "cart_in_checkout"
    assert (await inside(resources, own), await inside(resources, guests)) == (
        {product.variant_id: 1},
        {product.variant_id: 3},
    )


async def test_a_merged_cart_is_not_ordered_also_when_its_checkout_was_on_its_way(resources: Resources) -> None:
    product, user = await a_product(resources.sessions, stock=9), await a_customer(resources)
    own = await a_cart(resources.sessions, (product.variant_id, 1), user_id=user)
    guests = await a_cart(resources.sessions, (product.variant_id, 2))
    late = await to_place(resources.sessions, guests)
    await claim(resources, guests, user)

    with pytest.raises(Refusal) as refused:
        await place(resources.sessions, late)

    assert refused.value.code == "cart_merged"
    async with resources.sessions() as session:
        assert await session.get(Order, late.order_id) is None
    assert await inside(resources, own) == {product.variant_id: 3}


@pytest.mark.parametrize(
    ("strategy", "kept"),
    [
        (MergeStrategy.SUM, [*(f"OWN{n}" for n in range(9)), "BOTH"]),
        (MergeStrategy.CUSTOMER, [*(f"OWN{n}" for n in range(9)), "BOTH"]),
        (MergeStrategy.GUEST, ["GUEST", "BOTH", *(f"OWN{n}" for n in range(8))]),
    ],
)
async def test_codes_come_along_as_many_as_a_cart_takes(
    resources: Resources, strategy: MergeStrategy, kept: list[str]
) -> None:
    product, user = await a_product(resources.sessions), await a_customer(resources)
    own = await a_cart(resources.sessions, (product.variant_id, 1), user_id=user)
    guests = await a_cart(resources.sessions, (product.variant_id, 2))
    entered = {own: [*(f"OWN{n}" for n in range(9)), "BOTH"], guests: ["GUEST", "BOTH"]}
    async with resources.sessions.begin() as session:
        for cart_id, codes in entered.items():
            (await session.get_one(Cart, cart_id)).promotion_codes = codes

    await claim(resources, guests, user, strategy)

    async with resources.sessions() as session:
        assert (await session.get_one(Cart, own)).promotion_codes == kept


async def test_currencies_are_not_mixed(resources: Resources) -> None:
    dollars, euros = await a_product(resources.sessions), await a_product(resources.sessions, currency="EUR")
    user = await a_customer(resources)
    own = await a_cart(resources.sessions, (dollars.variant_id, 1), user_id=user)
    guests = await a_cart(resources.sessions, (euros.variant_id, 1), currency="EUR")

    with pytest.raises(Refusal) as refused:
        await claim(resources, guests, user)

    assert (refused.value.code, refused.value.detail) == (
        "cart_currencies_differ",
        "This cart is in EUR and yours is in USD; order or empty one of them first.",
    )
    assert await inside(resources, own) == {dollars.variant_id: 1}
    assert await inside(resources, guests) == {euros.variant_id: 1}
