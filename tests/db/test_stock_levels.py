"""Who runs low, is sold out or is there again is told of once, by the transaction that moved the units."""

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from db import inventory, orders
from db.catalog_import import import_records
from db.inventory import Demand
from domain.catalog import ProductRecord, VariantRecord
from domain.errors import Refusal
from domain.inventory import StockLevel
from domain.money import Money
from domain.orders import CancelOrder, CancelReason, PlacedOrder
from runtime.resources import Resources
from tests.support.catalog import AProduct, VariantWanted, a_product, stock_of
from tests.support.orders import a_cart, a_confirmed_order, place, to_place

LINE = 5
"""The shop's own, as its settings have it by default."""


async def told_of(resources: Resources, variant_id: UUID) -> list[tuple[str, int]]:
    """The events of the variant in their order: which, and how many units can be sold."""
    return [(row["type"], row["payload"]["available"]) for row in await events_of(resources, variant_id)]


async def events_of(resources: Resources, variant_id: UUID) -> list[Any]:
    async with resources.sessions() as session:
        rows = await session.execute(
            text("SELECT type, payload, event_id FROM outbox WHERE key = :key ORDER BY id"),
            {"key": str(variant_id)},
        )
        return list(rows.mappings())


async def reserve(resources: Resources, product: AProduct, quantity: int, order_id: UUID | None = None) -> UUID:
    order_id = order_id or uuid4()
    async with resources.sessions.begin() as session:
        demand = Demand(product.variant_id, product.sku, quantity)
        await inventory.reserve(session, order_id, [demand], hold_seconds=60)
    return order_id


async def release(resources: Resources, order_id: UUID) -> None:
    async with resources.sessions.begin() as session:
        await inventory.release(session, order_id, reason="cancelled")


async def adjust(resources: Resources, product: AProduct, change: int) -> None:
    async with resources.sessions.begin() as session:
        await inventory.adjust(session, product.variant_id, change, reason="counted", actor="admin:1")


async def draw_the_line(resources: Resources, product: AProduct, quantity: int | None) -> None:
    async with resources.sessions.begin() as session:
        await inventory.set_low_stock(session, product.variant_id, quantity)


async def test_the_sale_that_leaves_few_units_tells_of_it_with_all_that_a_buyer_needs_to_know(
    resources: Resources,
) -> None:
    product = await a_product(resources.sessions, stock=8)
    await reserve(resources, product, 2)
    assert await events_of(resources, product.variant_id) == []

    await reserve(resources, product, 1)

    [event] = await events_of(resources, product.variant_id)
    assert event["type"] == "stock.low"
    assert event["payload"].pop("at") is not None
    assert event["payload"] == {
        "variant_id": str(product.variant_id),
        "product_id": str(product.product_id),
        "sku": product.sku,
        "available": LINE,
        "low_stock": LINE,
    }


async def test_units_that_go_and_come_tell_only_where_they_cross_a_line(resources: Resources) -> None:
    product = await a_product(resources.sessions, stock=10)

    few = await reserve(resources, product, 6)  # 4: low
    await reserve(resources, product, 1)  # 3: still low
    last = await reserve(resources, product, 3)  # 0: out
    await release(resources, last)  # 3: back
    await release(resources, few)  # 9: more than few, which is no news
    await reserve(resources, product, 9)  # 0: out, past the line of few in one step
    await adjust(resources, product, 20)  # 20: back

    assert await told_of(resources, product.variant_id) == [
        ("stock.low", 4),
        ("stock.out", 0),
        ("stock.back", 3),
        ("stock.out", 0),
        ("stock.back", 20),
    ]


async def test_checkouts_at_once_cross_each_line_once(resources: Resources) -> None:
    product = await a_product(resources.sessions, stock=10)
    carts = [await a_cart(resources.sessions, (product.variant_id, 1)) for _ in range(20)]
    requests = [await to_place(resources.sessions, cart) for cart in carts]

    outcomes = await asyncio.gather(
        *(place(resources.sessions, request) for request in requests), return_exceptions=True
    )

    assert Counter(type(outcome) for outcome in outcomes) == {PlacedOrder: 10, Refusal: 10}
    assert await told_of(resources, product.variant_id) == [("stock.low", LINE), ("stock.out", 0)]


async def test_units_that_come_back_at_once_are_told_of_once(resources: Resources) -> None:
    product = await a_product(resources.sessions, stock=4)
    orders = [await reserve(resources, product, 1) for _ in range(4)]

    await asyncio.gather(*(release(resources, order) for order in orders * 2))

    assert await told_of(resources, product.variant_id) == [("stock.out", 0), ("stock.back", 1)]


async def test_placed_and_cancelled_again_and_again_tells_once_of_each(resources: Resources) -> None:
    product = await a_product(resources.sessions, stock=6)
    request = await to_place(resources.sessions, await a_cart(resources.sessions, (product.variant_id, 6)))
    never = CancelOrder(order_id=request.order_id, reason=CancelReason.CUSTOMER)

    for _ in range(3):
        await place(resources.sessions, request)
    assert await told_of(resources, product.variant_id) == [("stock.out", 0)]
    for _ in range(3):
        async with resources.sessions.begin() as session:
            await orders.cancel(session, never)

    assert await told_of(resources, product.variant_id) == [("stock.out", 0), ("stock.back", 6)]


async def test_an_order_that_is_refused_tells_nothing_of_what_it_would_have_taken(resources: Resources) -> None:
    plenty, short = await a_product(resources.sessions, stock=6), await a_product(resources.sessions, stock=0)

    demands = [Demand(plenty.variant_id, plenty.sku, 6), Demand(short.variant_id, short.sku, 1)]
    with pytest.raises(Refusal):
        async with resources.sessions.begin() as session:
            await inventory.reserve(session, uuid4(), demands, hold_seconds=60)

    assert await events_of(resources, plenty.variant_id) == []
    assert await stock_of(resources.sessions, plenty.variant_id) == StockLevel(on_hand=6, reserved=0)


async def test_shipping_what_was_sold_before_is_no_news(resources: Resources) -> None:
    product = await a_product(resources.sessions, stock=20)
    order = await a_confirmed_order(resources.sessions, (product.variant_id, 16))
    assert await told_of(resources, product.variant_id) == [("stock.low", 4)]

    async with resources.sessions.begin() as session:
        await inventory.ship(session, order.order_id, {product.variant_id: 16}, actor="operator:1")

    assert await told_of(resources, product.variant_id) == [("stock.low", 4)]
    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=4, reserved=0)


async def test_a_variant_can_have_a_line_of_its_own_and_give_it_up(resources: Resources) -> None:
    product = await a_product(resources.sessions, stock=100)
    await draw_the_line(resources, product, 80)

    first = await reserve(resources, product, 20)
    assert await told_of(resources, product.variant_id) == [("stock.low", 80)]
    await release(resources, first)
    await draw_the_line(resources, product, None)
    await reserve(resources, product, 94)
    assert await told_of(resources, product.variant_id) == [("stock.low", 80)]
    await reserve(resources, product, 1)

    assert await told_of(resources, product.variant_id) == [("stock.low", 80), ("stock.low", LINE)]


async def test_where_the_line_is_nothing_only_the_last_unit_is_told_of(resources: Resources) -> None:
    product = await a_product(resources.sessions, stock=3)
    await draw_the_line(resources, product, 0)

    await reserve(resources, product, 2)
    await reserve(resources, product, 1)

    assert await told_of(resources, product.variant_id) == [("stock.out", 0)]


async def test_variants_of_one_order_are_told_of_each_by_its_own_line(resources: Resources) -> None:
    sizes = [VariantWanted(stock=6), VariantWanted(stock=9), VariantWanted(stock=1)]
    product = await a_product(resources.sessions, variants=sizes)

    demands = [Demand(variant.variant_id, variant.sku, 1) for variant in product.variants]
    async with resources.sessions.begin() as session:
        await inventory.reserve(session, uuid4(), demands, hold_seconds=60)

    assert [await told_of(resources, v.variant_id) for v in product.variants] == [
        [("stock.low", 5)],
        [],
        [("stock.out", 0)],
    ]


async def test_somebody_at_the_tables_themselves_is_told_of_by_the_variants_own_line(resources: Resources) -> None:
    watched, plain = await a_product(resources.sessions, stock=8), await a_product(resources.sessions, stock=8)
    await draw_the_line(resources, watched, 3)
    by_hand = text(
        """
        WITH counted AS (UPDATE stock SET on_hand = 2 WHERE variant_id = ANY(:variants) RETURNING variant_id)
        INSERT INTO stock_movements (variant_id, on_hand_change, reserved_change, reason)
        SELECT variant_id, -6, 0, 'by hand' FROM counted
        """
    )

    engine = create_async_engine(resources.engine.url)
    async with engine.begin() as connection:
        await connection.execute(by_hand, {"variants": [watched.variant_id, plain.variant_id]})
    await engine.dispose()

    assert await told_of(resources, watched.variant_id) == [("stock.low", 2)]
    assert await told_of(resources, plain.variant_id) == []


async def test_an_import_tells_of_what_it_sold_out_and_of_what_it_brought(resources: Resources) -> None:
    record = ProductRecord(line=2, slug=f"mug-{uuid4().hex[:12]}", name="Mug", description="", variants=[])
    sku = f"{record.slug}-one"

    for stock in (9, 9, 0, 7, 2):
        variant = VariantRecord(line=2, sku=sku, price=Money(1999, "USD"), name="", options={}, stock=stock)
        async for batch in import_records(resources.engine, [replace(record, variants=[variant])]):
            assert batch.errors == []

    async with resources.sessions() as session:
        variant_id = await session.scalar(text("SELECT id FROM variants WHERE sku = :sku"), {"sku": sku})
    assert await told_of(resources, variant_id) == [("stock.out", 0), ("stock.back", 7), ("stock.low", 2)]
