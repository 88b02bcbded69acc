"""Stock is never sold twice, never negative, and every unit of it is accounted for."""

import asyncio
from collections import Counter
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from db import baskets, inventory
from db.inventory import Demand
from domain.baskets import Line
from domain.errors import Refusal
from domain.inventory import StockLevel
from runtime.resources import Resources
from tests.support.baskets import a_line
from tests.support.catalog import AProduct, VariantWanted, a_product, ledger_of, stock_of
from tests.support.roles import signed_in
from tests.support.waiting import eventually


def demand_of(product: AProduct, quantity: int) -> Demand:
    return Demand(product.variant_id, product.sku, quantity)


async def reserve(resources: Resources, order_id: UUID, *demands: Demand) -> None:
    async with resources.sessions.begin() as session:
        await inventory.reserve(session, order_id, sorted(demands, key=lambda d: d.variant_id), hold_seconds=60)


async def release(resources: Resources, order_id: UUID) -> None:
    async with resources.sessions.begin() as session:
        await inventory.release(session, order_id, reason="cancelled")


async def held_by(resources: Resources, order_id: UUID) -> list[tuple[int, int, int]]:
    async with resources.sessions() as session:
        rows = await session.execute(
            text("SELECT quantity, shipped, released FROM stock_holds WHERE order_id = :id ORDER BY variant_id"),
            {"id": order_id},
        )
        return [tuple(row) for row in rows]


async def is_stock(resources: Resources, product: AProduct, on_hand: int, reserved: int) -> None:
    """The stock is as given, and so is the sum of its ledger."""
    level = StockLevel(on_hand=on_hand, reserved=reserved)
    assert await stock_of(resources.sessions, product.variant_id) == level
    assert await ledger_of(resources.sessions, product.variant_id) == level


async def test_two_hundred_who_want_one_of_ten_units_at_once_reserve_ten(resources: Resources) -> None:
    product = await a_product(resources.sessions, stock=10)

    tries = [reserve(resources, uuid4(), demand_of(product, 1)) for _ in range(200)]
    outcomes = await asyncio.gather(*tries, return_exceptions=True)

    refusals = [outcome for outcome in outcomes if isinstance(outcome, Refusal)]
    assert Counter(type(outcome) for outcome in outcomes) == {type(None): 10, Refusal: 190}
    assert {refusal.code for refusal in refusals} == {"out_of_stock"}
    assert all(
        refusal.facts["items"]
        == [{"variant_id": str(product.variant_id), "sku": product.sku, "requested": 1, "available": 0}]
        for refusal in refusals
    )
    await is_stock(resources, product, on_hand=10, reserved=10)


async def test_orders_for_the_same_goods_in_opposite_order_never_deadlock(resources: Resources) -> None:
    one, other = await a_product(resources.sessions, stock=200), await a_product(resources.sessions, stock=200)

    async def forwards() -> None:
        order = uuid4()
        await reserve(resources, order, demand_of(one, 1), demand_of(other, 1))
        await release(resources, order)

    async def backwards() -> None:
        order = uuid4()
        async with resources.sessions.begin() as session:
            # Unsorted, as no caller does it: the statement itself locks in the order of the keys.
            demands = sorted([demand_of(one, 1), demand_of(other, 1)], key=lambda d: d.variant_id, reverse=True)
            await inventory.reserve(session, order, demands, hold_seconds=60)
        await release(resources, order)

    for _ in range(50):
        await asyncio.gather(forwards(), backwards(), forwards(), backwards())

    await is_stock(resources, one, on_hand=200, reserved=0)
    await is_stock(resources, other, on_hand=200, reserved=0)


async def test_reserving_and_shipping_the_same_goods_at_once_never_deadlocks(resources: Resources) -> None:
    one, other = await a_product(resources.sessions, stock=500), await a_product(resources.sessions, stock=500)

    async def reserve_and_ship() -> None:
        order = uuid4()
        await reserve(resources, order, demand_of(one, 2), demand_of(other, 2))
        async with resources.sessions.begin() as session:
            await inventory.ship(session, order, {other.variant_id: 1, one.variant_id: 1}, actor="operator:1")
        await release(resources, order)

    for _ in range(10):
        await asyncio.gather(*(reserve_and_ship() for _ in range(8)))

    await is_stock(resources, one, on_hand=420, reserved=0)
    await is_stock(resources, other, on_hand=420, reserved=0)


async def test_a_unit_that_comes_back_while_its_next_buyer_waits_for_the_row_is_sold(resources: Resources) -> None:
    product, first, second = await a_product(resources.sessions, stock=1), uuid4(), uuid4()
    await reserve(resources, first, demand_of(product, 1))

    async def is_waited_for() -> bool:
        async with resources.sessions() as session:
            return bool(await session.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")))

    async with resources.sessions.begin() as session:
        await inventory.release(session, first, reason="cancelled")
        buying = asyncio.create_task(reserve(resources, second, demand_of(product, 1)))
        await eventually(is_waited_for)
    await buying

    assert (await held_by(resources, first), await held_by(resources, second)) == ([(1, 0, 1)], [(1, 0, 0)])
    await is_stock(resources, product, on_hand=1, reserved=1)


async def test_an_order_that_is_short_of_one_thing_reserves_nothing_of_the_other(resources: Resources) -> None:
    plenty, short = await a_product(resources.sessions, stock=10), await a_product(resources.sessions, stock=1)
    order = uuid4()

    with pytest.raises(Refusal) as refused:
        await reserve(resources, order, demand_of(plenty, 3), demand_of(short, 2))

    assert refused.value.code == "out_of_stock"
    assert refused.value.facts["items"] == [
        {"variant_id": str(short.variant_id), "sku": short.sku, "requested": 2, "available": 1}
    ]
    await is_stock(resources, plenty, on_hand=10, reserved=0)
    await is_stock(resources, short, on_hand=1, reserved=0)
    assert await held_by(resources, order) == []


async def test_a_variant_without_a_row_of_stock_has_nothing_to_sell(resources: Resources) -> None:
    unknown = Demand(uuid4(), "SKU-UNKNOWN", 1)

    with pytest.raises(Refusal) as refused:
        await reserve(resources, uuid4(), unknown)

    assert refused.value.facts["items"][0]["available"] == 0


def test_units_of_one_variant_on_several_lines_are_wanted_together() -> None:
    first, second = sorted([uuid4(), uuid4()])

    def line(variant: UUID, quantity: int) -> Line:
        return a_line(100, quantity, variant_id=variant)

    assert baskets.demand_of([line(second, 2), line(first, 1), line(second, 3)]) == [
        Demand(first, f"SKU-{first}", 1),
        Demand(second, f"SKU-{second}", 5),
    ]


async def test_what_an_order_holds_is_released_once(resources: Resources) -> None:
    product, order = await a_product(resources.sessions, stock=5), uuid4()
    await reserve(resources, order, demand_of(product, 3))

    await release(resources, order)
    await release(resources, order)

    await is_stock(resources, product, on_hand=5, reserved=0)
    assert await held_by(resources, order) == [(3, 0, 3)]


async def test_releasing_at_the_same_time_releases_once(resources: Resources) -> None:
    product, order = await a_product(resources.sessions, stock=5), uuid4()
    await reserve(resources, order, demand_of(product, 3))

    await asyncio.gather(*(release(resources, order) for _ in range(10)))

    await is_stock(resources, product, on_hand=5, reserved=0)


async def test_what_has_been_shipped_is_not_given_back(resources: Resources) -> None:
    product, order = await a_product(resources.sessions, stock=5), uuid4()
    await reserve(resources, order, demand_of(product, 3))
    async with resources.sessions.begin() as session:
        await inventory.ship(session, order, {product.variant_id: 2}, actor="operator:1")

    await release(resources, order)

    await is_stock(resources, product, on_hand=3, reserved=0)
    assert await held_by(resources, order) == [(3, 2, 1)]


async def test_more_than_an_order_holds_is_never_shipped(resources: Resources) -> None:
    product, order = await a_product(resources.sessions, stock=5), uuid4()
    await reserve(resources, order, demand_of(product, 2))

    with pytest.raises(AssertionError):
        async with resources.sessions.begin() as session:
            await inventory.ship(session, order, {product.variant_id: 3}, actor="operator:1")

    await is_stock(resources, product, on_hand=5, reserved=2)
    assert await held_by(resources, order) == [(2, 0, 0)]


async def test_releasing_for_an_order_that_holds_nothing_changes_nothing(resources: Resources) -> None:
    product = await a_product(resources.sessions, stock=5)

    await release(resources, uuid4())

    await is_stock(resources, product, on_hand=5, reserved=0)


async def test_units_that_orders_hold_cannot_be_taken_off_the_stock(resources: Resources) -> None:
    product, order = await a_product(resources.sessions, stock=5), uuid4()
    await reserve(resources, order, demand_of(product, 3))

    with pytest.raises(Refusal) as refused:
        async with resources.sessions.begin() as session:
            await inventory.adjust(session, product.variant_id, -3, reason="broken", actor="admin:1")

    assert refused.value.code == "insufficient_stock"
    assert refused.value.facts == {"on_hand": 5, "reserved": 3, "available": 2}
    await is_stock(resources, product, on_hand=5, reserved=3)


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("on_hand = -1", "on_hand_not_negative"),
        ("reserved = -1", "reserved_not_negative"),
        ("reserved = on_hand + 1", "not_oversold"),
    ],
)
async def test_the_database_itself_refuses_stock_that_cannot_be(
    resources: Resources, change: str, constraint: str
) -> None:
    product = await a_product(resources.sessions, stock=5)

    with pytest.raises(IntegrityError, match=f"{constraint}|not_oversold"):
        async with resources.sessions.begin() as session:
            await session.execute(
                text(f"UPDATE stock SET {change} WHERE variant_id = :id"),  # noqa: S608 (the test's own text)
                {"id": product.variant_id},
            )

    await is_stock(resources, product, on_hand=5, reserved=0)


@pytest.mark.parametrize("change", ["shipped = 2, released = 2", "shipped = 4", "released = -1"])
async def test_the_database_itself_refuses_to_use_a_hold_twice(resources: Resources, change: str) -> None:
    product, order = await a_product(resources.sessions, stock=5), uuid4()
    await reserve(resources, order, demand_of(product, 3))

    with pytest.raises(IntegrityError, match="not_used_twice"):
        async with resources.sessions.begin() as session:
            await session.execute(
                text(f"UPDATE stock_holds SET {change} WHERE order_id = :id"),  # noqa: S608 (the test's own text)
                {"id": order},
            )

    assert await held_by(resources, order) == [(3, 0, 0)]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE stock_movements SET on_hand_change = 99 WHERE variant_id = :id",
        "DELETE FROM stock_movements WHERE variant_id = :id",
    ],
)
async def test_the_stock_ledger_is_append_only(resources: Resources, statement: str) -> None:
    product = await a_product(resources.sessions, stock=5)

    with pytest.raises(DBAPIError, match="permission denied"):
        async with resources.sessions.begin() as session:
            await session.execute(text(statement), {"id": product.variant_id})
    async with signed_in(resources.settings.database.owner_url) as owner:
        with pytest.raises(DBAPIError, match="append-only"):
            await owner.execute(text(statement), {"id": product.variant_id})

    await is_stock(resources, product, on_hand=5, reserved=0)


async def test_variants_of_one_product_have_stock_of_their_own(resources: Resources) -> None:
    product = await a_product(resources.sessions, variants=[VariantWanted(stock=1), VariantWanted(stock=7)])
    small, large = product.variants

    await reserve(resources, uuid4(), Demand(large.variant_id, large.sku, 7))

    assert await stock_of(resources.sessions, small.variant_id) == StockLevel(on_hand=1, reserved=0)
    assert await stock_of(resources.sessions, large.variant_id) == StockLevel(on_hand=7, reserved=7)
