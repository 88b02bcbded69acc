"""Carts as the tables keep them."""

import asyncio
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from db import baskets, carts
from domain.carts import CartCaps
from domain.errors import Refusal
from runtime.resources import Resources
from tests.support.catalog import AProduct, a_product
from tests.support.orders import a_cart, a_confirmed_order, a_placed_order


async def add(resources: Resources, cart_id: UUID, variant_id: UUID, quantity: int) -> None:
    async with resources.sessions.begin() as session:
        await carts.add_item(session, await carts.editable(session, cart_id), variant_id, quantity)


async def quantities(resources: Resources, cart_id: UUID) -> list[int]:
    async with resources.sessions() as session:
        found = await baskets.priced(session, cart_id)
    assert found is not None
    return [priced.line.quantity for priced in found.priced.lines]


async def test_units_of_one_variant_add_up_also_when_they_arrive_at_once(resources: Resources) -> None:
    product, cart = await a_product(resources.sessions), await a_cart(resources.sessions)

    await asyncio.gather(*(add(resources, cart, product.variant_id, 2) for _ in range(20)))

    assert await quantities(resources, cart) == [40]


async def test_a_cart_never_carries_more_than_999_of_a_variant(resources: Resources) -> None:
    product = await a_product(resources.sessions)
    cart = await a_cart(resources.sessions, (product.variant_id, 998))

    with pytest.raises(Refusal) as refused:
        await add(resources, cart, product.variant_id, 2)
    assert refused.value.facts["errors"] == [{"pointer": "/quantity", "detail": "adds up to more than 999"}]
    assert await quantities(resources, cart) == [998]
    await add(resources, cart, product.variant_id, 1)
    assert await quantities(resources, cart) == [999]


@pytest.mark.parametrize("quantity", [0, 1000])
async def test_the_database_itself_refuses_a_quantity_that_cannot_be(resources: Resources, quantity: int) -> None:
    product = await a_product(resources.sessions)
    cart = await a_cart(resources.sessions, (product.variant_id, 1))

    with pytest.raises(IntegrityError, match="quantity_range"):
        async with resources.sessions.begin() as session:
            await session.execute(
                text("UPDATE cart_items SET quantity = :quantity WHERE cart_id = :id"),
                {"quantity": quantity, "id": cart},
            )


async def counted(resources: Resources, cart_id: UUID) -> tuple[int, int]:
    async with resources.sessions() as session:
        lines, units = (
            await session.execute(text("SELECT line_count, unit_count FROM carts WHERE id = :id"), {"id": cart_id})
        ).one()
    return lines, units


async def test_lines_and_units_are_counted_where_they_are_written(resources: Resources) -> None:
    first, second = await a_product(resources.sessions), await a_product(resources.sessions)
    cart = await a_cart(resources.sessions, (first.variant_id, 2), (second.variant_id, 5))
    assert await counted(resources, cart) == (2, 7)

    async with resources.sessions.begin() as session:
        await session.execute(text("UPDATE cart_items SET quantity = quantity + 1 WHERE cart_id = :id"), {"id": cart})
    assert await counted(resources, cart) == (2, 9)
    async with resources.sessions.begin() as session:
        await session.execute(
            text("DELETE FROM cart_items WHERE cart_id = :id AND variant_id = :variant"),
            {"id": cart, "variant": first.variant_id},
        )
    assert await counted(resources, cart) == (1, 6)


async def test_a_cart_takes_no_more_than_its_caps_also_when_it_comes_at_once(resources: Resources) -> None:
    products = [await a_product(resources.sessions) for _ in range(3)]
    cart = await a_cart(resources.sessions)
    caps = CartCaps(lines=2, units=10)

    async def put(product: AProduct) -> str:
        try:
            async with resources.sessions.begin() as session:
                await carts.add_item(session, await carts.editable(session, cart), product.variant_id, 4, caps=caps)
        except Refusal as refused:
            return f"{refused.code} {refused.facts['cap']}"
        return "taken"

    assert sorted(await asyncio.gather(*(put(product) for product in products))) == [
        "cart_full lines",
        "taken",
        "taken",
    ]
    assert await quantities(resources, cart) == [4, 4]
    async with resources.sessions() as session:
        found = await baskets.priced(session, cart)
    assert found is not None
    with pytest.raises(Refusal) as refused:
        async with resources.sessions.begin() as session:
            await carts.set_quantity(
                session, await carts.editable(session, cart), found.priced.lines[0].line.id, 7, caps=caps
            )
    assert refused.value.facts == {"cap": "units", "limit": 10}
    assert await counted(resources, cart) == (2, 8)


async def test_a_cart_over_a_cap_that_was_lowered_since_can_be_made_smaller(resources: Resources) -> None:
    product = await a_product(resources.sessions)
    cart = await a_cart(resources.sessions, (product.variant_id, 9))
    async with resources.sessions() as session:
        found = await baskets.priced(session, cart)
    assert found is not None

    async with resources.sessions.begin() as session:
        locked = await carts.editable(session, cart)
        await carts.set_quantity(session, locked, found.priced.lines[0].line.id, 8, caps=CartCaps(lines=1, units=5))

    assert await quantities(resources, cart) == [8]


@pytest.mark.parametrize(("column", "most"), [("line_count", 1000), ("unit_count", 100_000)])
async def test_the_database_itself_refuses_a_cart_larger_than_any_shop_allows(
    resources: Resources, column: str, most: int
) -> None:
    cart = await a_cart(resources.sessions)
    with pytest.raises(IntegrityError, match=f"{column}_range"):
        async with resources.sessions.begin() as session:
            await session.execute(
                text(f"UPDATE carts SET {column} = :most + 1 WHERE id = :id"),  # noqa: S608 (constant text)
                {"most": most, "id": cart},
            )


async def test_a_change_is_based_on_the_version_that_it_names(resources: Resources) -> None:
    cart = await a_cart(resources.sessions)
    async with resources.sessions.begin() as session:
        version = (await carts.editable(session, cart)).version - 1

    with pytest.raises(Refusal) as refused:
        async with resources.sessions.begin() as session:
            await carts.editable(session, cart, expected={version})
    assert (refused.value.code, refused.value.facts) == ("precondition_failed", {"version": version + 1})
    async with resources.sessions.begin() as session:
        assert (await carts.editable(session, cart, expected={version + 1})).version == version + 2


async def test_a_variant_has_one_line_in_a_cart(resources: Resources) -> None:
    product = await a_product(resources.sessions)
    cart = await a_cart(resources.sessions, (product.variant_id, 1))

    with pytest.raises(IntegrityError, match="uq_cart_items_cart_id_variant_id"):
        async with resources.sessions.begin() as session:
            await session.execute(
                text("INSERT INTO cart_items (id, cart_id, variant_id, quantity) VALUES (:id, :cart, :variant, 1)"),
                {"id": uuid4(), "cart": cart, "variant": product.variant_id},
            )


async def test_a_cart_on_its_way_and_a_cart_that_became_an_order_are_not_changed(resources: Resources) -> None:
    product = await a_product(resources.sessions, stock=9)
    pending = await a_placed_order(resources.sessions, (product.variant_id, 1))
    confirmed = await a_confirmed_order(resources.sessions, (product.variant_id, 1))

    deciding = {"waits_for": "decision", "until": None}
    for order, code, more in [(pending, "cart_in_checkout", deciding), (confirmed, "cart_completed", {})]:
        with pytest.raises(Refusal) as refused:
            await add(resources, order.cart_id, product.variant_id, 1)
        assert (refused.value.code, refused.value.facts) == (code, {"order_id": str(order.order_id), **more})
        assert await quantities(resources, order.cart_id) == [1]


async def test_a_cart_is_given_back_only_by_the_order_that_has_it(resources: Resources) -> None:
    product = await a_product(resources.sessions, stock=9)
    order = await a_placed_order(resources.sessions, (product.variant_id, 1))

    async with resources.sessions.begin() as session:
        await carts.reopen(session, order.cart_id, uuid4())

    with pytest.raises(Refusal) as refused:
        await add(resources, order.cart_id, product.variant_id, 1)
    assert refused.value.code == "cart_in_checkout"


async def test_a_cart_that_became_an_order_is_never_given_back(resources: Resources) -> None:
    product = await a_product(resources.sessions, stock=9)
    order = await a_confirmed_order(resources.sessions, (product.variant_id, 1))

    async with resources.sessions.begin() as session:
        await carts.reopen(session, order.cart_id, order.order_id)

    with pytest.raises(Refusal) as refused:
        await add(resources, order.cart_id, product.variant_id, 1)
    assert refused.value.code == "cart_completed"
