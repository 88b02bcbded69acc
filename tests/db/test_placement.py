"""A cart becomes an order in one transaction, or nothing is written."""

import asyncio
from datetime import UTC
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from activities.orders import OrderActivities
from db import carts
from domain.deadlines import Term
from domain.errors import Refusal
from domain.inventory import StockLevel
from domain.money import Money
from domain.orders import OrderStatus, PlacedOrder
from runtime.resources import Resources
from tests.support.catalog import a_product, ledger_of, stock_of
from tests.support.orders import a_cart, a_placed_order, place, to_place, written_about
from tests.support.statements import counted_statements


async def test_a_placed_order_is_priced_by_the_catalogue_and_holds_its_goods(resources: Resources) -> None:
    sessions = resources.sessions
    lamp, desk = await a_product(sessions, price="19.99", stock=5), await a_product(sessions, price="250.00", stock=2)
    cart = await a_cart(sessions, (lamp.variant_id, 2), (desk.variant_id, 1))
    request = await to_place(sessions, cart)

    placed = await place(sessions, request)

    assert placed == PlacedOrder(order_id=request.order_id, total=Money(29497, "USD"), units=3)
    written = await written_about(sessions, request.order_id, cart)
    assert written.order is not None
    assert written.order[:4] == ("pending", "pending", "unfulfilled", 29497)
    assert written.lines == ((lamp.sku, 2, 1999, 3998), (desk.sku, 1, 25000, 25000))
    assert written.events == ((1, "order.placed", "system"),)
    assert [letter[0] for letter in written.letters] == ["order.placed"]
    assert sorted(hold[1:] for hold in written.holds) == [(1, 0, 0, False), (2, 0, 0, False)]
    assert await stock_of(sessions, lamp.variant_id) == StockLevel(on_hand=5, reserved=2)
    assert await ledger_of(sessions, lamp.variant_id) == StockLevel(on_hand=5, reserved=2)
    assert await stock_of(sessions, desk.variant_id) == StockLevel(on_hand=2, reserved=1)


async def test_an_order_is_placed_in_five_statements(resources: Resources) -> None:
    lamp, desk = await a_product(resources.sessions), await a_product(resources.sessions)
    request = await to_place(
        resources.sessions, await a_cart(resources.sessions, (lamp.variant_id, 2), (desk.variant_id, 1))
    )

    with counted_statements(resources.engine) as statements:
        await place(resources.sessions, request)

    assert len(statements) == 5


async def test_placed_twice_is_placed_once(resources: Resources) -> None:
    product = await a_product(resources.sessions, stock=5)
    cart = await a_cart(resources.sessions, (product.variant_id, 2))
    request = await to_place(resources.sessions, cart)

    first = await place(resources.sessions, request)
    before = await written_about(resources.sessions, request.order_id, cart)
    second = await place(resources.sessions, request)

    assert second == first
    assert await written_about(resources.sessions, request.order_id, cart) == before
    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=5, reserved=2)


async def test_placed_twenty_times_at_once_is_placed_once(resources: Resources) -> None:
    product = await a_product(resources.sessions, stock=50)
    cart = await a_cart(resources.sessions, (product.variant_id, 2))
    request = await to_place(resources.sessions, cart)

    placed = await asyncio.gather(*(place(resources.sessions, request) for _ in range(20)))

    assert len(set(placed)) == 1
    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=50, reserved=2)
    assert await ledger_of(resources.sessions, product.variant_id) == StockLevel(on_hand=50, reserved=2)


async def test_a_repetition_is_not_priced_again(resources: Resources) -> None:
    product = await a_product(resources.sessions, price="10.00", stock=5)
    cart = await a_cart(resources.sessions, (product.variant_id, 1))
    request = await to_place(resources.sessions, cart, expected_total_minor=1499)
    first = await place(resources.sessions, request)
    async with resources.sessions.begin() as session:
        await session.execute(
            text("UPDATE prices SET amount = 9999 WHERE variant_id = :id"), {"id": product.variant_id}
        )

    assert await place(resources.sessions, request) == first


async def refused(resources: Resources, cart: Any, **otherwise: Any) -> Refusal:
    """Why this cart was not placed; nothing may have been written on the way to the answer."""
    request = await to_place(resources.sessions, cart, **otherwise)
    before = await written_about(resources.sessions, request.order_id, cart)
    with pytest.raises(Refusal) as refusal:
        await place(resources.sessions, request)
    assert await written_about(resources.sessions, request.order_id, cart) == before
    assert before.order is None
    return refusal.value


async def test_a_cart_with_more_than_there_is_names_what_is_short_and_holds_nothing(resources: Resources) -> None:
    sessions = resources.sessions
    plenty, short = await a_product(sessions, stock=10), await a_product(sessions, stock=1)
    cart = await a_cart(sessions, (plenty.variant_id, 1), (short.variant_id, 3))

    refusal = await refused(resources, cart)

    assert refusal.code == "out_of_stock"
    assert refusal.facts == {
        "items": [{"variant_id": str(short.variant_id), "sku": short.sku, "requested": 3, "available": 1}]
    }
    assert await stock_of(sessions, plenty.variant_id) == StockLevel(on_hand=10, reserved=0)
    assert await stock_of(sessions, short.variant_id) == StockLevel(on_hand=1, reserved=0)


async def test_a_total_that_is_not_what_the_customer_saw_is_told_and_nothing_is_written(resources: Resources) -> None:
    product = await a_product(resources.sessions, price="10.00", stock=5)
    cart = await a_cart(resources.sessions, (product.variant_id, 1))

    refusal = await refused(resources, cart, expected_total_minor=1498)

    assert refusal.code == "price_changed"
    assert refusal.facts == {"total": {"amount": "14.99", "currency": "USD"}}
    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=5, reserved=0)


async def test_an_empty_cart_is_incomplete(resources: Resources) -> None:
    refusal = await refused(resources, await a_cart(resources.sessions))

    assert refusal.code == "cart_incomplete"
    assert [error["pointer"] for error in refusal.facts["errors"]] == ["/items"]


async def test_a_cart_without_a_person_and_a_way_to_ship_says_what_is_missing(resources: Resources) -> None:
    product = await a_product(resources.sessions)
    cart = await a_cart(resources.sessions, (product.variant_id, 1), email=None, shipping=None)

    refusal = await refused(resources, cart)

    assert refusal.code == "cart_incomplete"
    assert [error["pointer"] for error in refusal.facts["errors"]] == ["/email", "/shipping_method"]


@pytest.mark.parametrize(
    "withdrawn",
    [
        "UPDATE products SET is_active = false WHERE id = :product_id",
        "UPDATE products SET archived_at = now() WHERE id = :product_id",
        "DELETE FROM prices WHERE variant_id = :variant_id",
    ],
)
async def test_what_is_not_sold_any_more_is_not_ordered(resources: Resources, withdrawn: str) -> None:
    product = await a_product(resources.sessions, stock=5)
    cart = await a_cart(resources.sessions, (product.variant_id, 1))
    ids = {"product_id": product.product_id, "variant_id": product.variant_id}
    async with resources.sessions.begin() as session:
        await session.execute(text(withdrawn), {name: value for name, value in ids.items() if f":{name}" in withdrawn})

    refusal = await refused(resources, cart)

    assert refusal.code == "not_sold_in_currency"
    assert refusal.facts == {"items": [{"variant_id": str(product.variant_id), "sku": product.sku}]}
    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=5, reserved=0)


async def test_a_cart_that_is_being_checked_out_is_not_placed_as_another_order(resources: Resources) -> None:
    product = await a_product(resources.sessions, stock=5)
    order = await a_placed_order(resources.sessions, (product.variant_id, 1))
    before = await written_about(resources.sessions, order.order_id, order.cart_id)
    async with resources.sessions.begin() as session:  # the unique index would not let this wish in
        await session.execute(
            text("UPDATE checkouts SET is_refused = true WHERE order_id = :id"), {"id": order.order_id}
        )
    request = await to_place(resources.sessions, order.cart_id)

    with pytest.raises(Refusal) as refusal:
        await place(resources.sessions, request)

    assert refusal.value.code == "cart_in_checkout"
    assert await written_about(resources.sessions, order.order_id, order.cart_id) == before
    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=5, reserved=1)


async def test_an_unknown_cart_is_not_placed(resources: Resources) -> None:
    product = await a_product(resources.sessions)
    request = await to_place(resources.sessions, await a_cart(resources.sessions, (product.variant_id, 1)))

    with pytest.raises(Refusal) as refusal:
        await place(resources.sessions, type(request)(**{**vars(request), "cart_id": uuid4()}))

    assert refusal.value.code == "not_found"


async def test_an_edit_that_meets_the_placement_is_either_in_the_order_or_refused(resources: Resources) -> None:
    product = await a_product(resources.sessions, price="10.00", stock=500)

    async def edit(cart_id: Any) -> str:
        try:
            async with resources.sessions.begin() as session:
                cart = await carts.editable(session, cart_id)
                await carts.add_item(session, cart, product.variant_id, 1)
        except Refusal as refusal:
            return refusal.code
        return "edited"

    for _ in range(20):
        cart = await a_cart(resources.sessions, (product.variant_id, 1))
        request = await to_place(resources.sessions, cart)
        placed, edited = await asyncio.gather(place(resources.sessions, request), edit(cart))
        assert (placed.units, edited) in {(1, "cart_in_checkout"), (2, "edited")}
        written = await written_about(resources.sessions, request.order_id, cart)
        assert written.status is OrderStatus.PENDING
        assert placed.total == Money(placed.units * 1000 + 499, "USD")


async def test_yen_have_no_cents_and_cost_what_the_catalogue_says(resources: Resources) -> None:
    product = await a_product(resources.sessions, price="1980", currency="JPY", stock=5)
    cart = await a_cart(resources.sessions, (product.variant_id, 2), currency="JPY")

    placed = await place(resources.sessions, await to_place(resources.sessions, cart))

    assert placed.total == Money(4660, "JPY")


async def test_a_refusal_repeated_after_a_crash_still_says_why(resources: Resources) -> None:
    product = await a_product(resources.sessions, stock=1)
    cart = await a_cart(resources.sessions, (product.variant_id, 2))
    request = await to_place(resources.sessions, cart)
    activities = OrderActivities(resources.sessions, provider="stripe", return_term=Term(days=30, zone=UTC))

    first, second = await activities.place(request), await activities.place(request)

    assert first.refused is not None
    assert first.refused.code == "out_of_stock"
    assert second == first
