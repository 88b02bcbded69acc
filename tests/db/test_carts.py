"""Carts as the tables keep them."""

import asyncio
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from db import cart_views, carts
from domain.errors import Refusal
from runtime.resources import Resources
from tests.support.catalog import a_product
from tests.support.orders import a_cart, a_confirmed_order, a_placed_order


async def add(resources: Resources, cart_id: UUID, variant_id: UUID, quantity: int) -> None:
    async with resources.sessions.begin() as session:
        await carts.add_item(session, await carts.editable(session, cart_id), variant_id, quantity)


async def quantities(resources: Resources, cart_id: UUID) -> list[int]:
    async with resources.sessions() as session:
        view = await cart_views.cart(session, cart_id)
    assert view is not None
    return [item["quantity"] for item in view.items]


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

    for order, code in [(pending, "cart_in_checkout"), (confirmed, "cart_completed")]:
        with pytest.raises(Refusal) as refused:
            await add(resources, order.cart_id, product.variant_id, 1)
        assert (refused.value.code, refused.value.facts) == (code, {"order_id": str(order.order_id)})
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
