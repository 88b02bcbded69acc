"""Stock at several locations: sold as one, kept apart, and each unit goes back to where it came from."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from db import hot_variants, inventory, inventory_views, locations, parcels, repairs
from db.engine import Sessions, connect, sessions_of
from db.inventory import Demand
from db.laws import breaches_of
from domain.audit import Law
from domain.errors import Refusal
from domain.inventory import Allocation, StockLevel, StockRules
from domain.orders import PlacedOrder
from runtime.resources import Resources
from tests.support.catalog import AProduct, a_product, ledger_of, stock_of
from tests.support.orders import a_cart, a_confirmed_order, place, to_place, to_plan, to_ship
from tests.support.superuser import behind_its_back

Places = dict[str, tuple[int, int]]
"""By location: how many units lie there, and how many of them are reserved."""


@pytest.fixture
async def north(resources: Resources) -> str:
    """Gives units after the main location."""
    return await a_location(resources, "north", priority=1)


@pytest.fixture
async def south(resources: Resources) -> str:
    return await a_location(resources, "south", priority=2)


async def a_location(resources: Resources, name: str, *, priority: int) -> str:
    code = f"{name}-{uuid4().hex[:8]}"
    async with resources.sessions.begin() as session:
        await locations.create(session, code=code, name=name, priority=priority)
    return code


async def bring(resources: Resources, product: AProduct, location: str, units: int) -> None:
    async with resources.sessions.begin() as session:
        await inventory.adjust(
            session, product.variant_id, units, reason="delivered", actor="admin:1", location=location
        )


async def transfer(resources: Resources, product: AProduct, units: int, source: str, target: str) -> None:
    async with resources.sessions.begin() as session:
        await locations.transfer(
            session, product.variant_id, units, source=source, target=target, reason="moved", actor="admin:1"
        )


async def reserve(sessions: Sessions, product: AProduct, quantity: int) -> UUID:
    order_id = uuid4()
    async with sessions.begin() as session:
        demand = Demand(product.variant_id, product.sku, quantity)
        await inventory.reserve(session, order_id, [demand], hold_seconds=60)
    return order_id


async def places_of(resources: Resources, product: AProduct) -> Places:
    """As the stock has it, which is as the ledger has it."""
    stock, ledger = [
        await levels(resources, product, query)
        for query in (
            "SELECT location, on_hand, reserved FROM stock WHERE variant_id = :id",
            """
            SELECT location, sum(on_hand_change)::int AS on_hand, sum(reserved_change)::int AS reserved
            FROM stock_movements WHERE variant_id = :id GROUP BY location
            """,
        )
    ]
    assert {place: level for place, level in stock.items() if level != (0, 0)} == {
        place: level for place, level in ledger.items() if level != (0, 0)
    }
    return stock


async def levels(resources: Resources, product: AProduct, query: str) -> Places:
    async with resources.sessions() as session:
        rows = await session.execute(text(query), {"id": product.variant_id})
        return {row.location: (row.on_hand, row.reserved) for row in rows}


async def held_by(resources: Resources, order_id: UUID) -> dict[str, tuple[int, int, int]]:
    async with resources.sessions() as session:
        rows = await session.execute(
            text("SELECT location, quantity, shipped, released FROM stock_holds WHERE order_id = :id"), {"id": order_id}
        )
        return {row.location: (row.quantity, row.shipped, row.released) for row in rows}


async def told_of(resources: Resources, product: AProduct) -> list[tuple[str, int]]:
    async with resources.sessions() as session:
        rows = await session.execute(
            text("SELECT type, payload FROM outbox WHERE key = :key ORDER BY id"), {"key": str(product.variant_id)}
        )
        return [(row.type, row.payload["available"]) for row in rows]


class TestAnOrder:
    async def test_takes_all_of_it_from_the_first_location_by_priority_that_has_all(
        self, resources: Resources, north: str, south: str
    ) -> None:
        product = await a_product(resources.sessions, stock=2)
        await bring(resources, product, south, 9)
        await bring(resources, product, north, 5)

        order = await reserve(resources.sessions, product, 4)

        assert await held_by(resources, order) == {north: (4, 0, 0)}
        assert await places_of(resources, product) == {"main": (2, 0), north: (5, 4), south: (9, 0)}

    async def test_takes_it_from_the_location_with_the_most_where_the_shop_wants_it_so(
        self, resources: Resources, north: str, south: str
    ) -> None:
        product = await a_product(resources.sessions, stock=6)
        await bring(resources, product, north, 5)
        await bring(resources, product, south, 9)

        async with with_rules(resources, StockRules(allocation=Allocation.MOST_STOCK)) as sessions:
            orders = [await reserve(sessions, product, quantity) for quantity in (4, 4, 6)]

        assert [await held_by(resources, order) for order in orders] == [
            {south: (4, 0, 0)},
            {"main": (4, 0, 0)},
            {north: (5, 0, 0), south: (1, 0, 0)},
        ]

    async def test_takes_it_from_several_when_none_has_all_and_no_more_than_is_wanted(
        self, resources: Resources, north: str, south: str
    ) -> None:
        product = await a_product(resources.sessions, stock=3)
        await bring(resources, product, north, 2)
        await bring(resources, product, south, 4)

        order = await reserve(resources.sessions, product, 6)

        assert await held_by(resources, order) == {"main": (3, 0, 0), north: (2, 0, 0), south: (1, 0, 0)}
        assert await places_of(resources, product) == {"main": (3, 3), north: (2, 2), south: (4, 1)}

    async def test_is_refused_when_all_locations_together_have_too_little_and_then_holds_nothing(
        self, resources: Resources, north: str
    ) -> None:
        product = await a_product(resources.sessions, stock=3)
        await bring(resources, product, north, 2)

        with pytest.raises(Refusal) as refused:
            await reserve(resources.sessions, product, 6)

        assert refused.value.code == "out_of_stock"
        assert [item["available"] for item in refused.value.facts["items"]] == [5]
        assert await places_of(resources, product) == {"main": (3, 0), north: (2, 0)}

    async def test_that_is_cancelled_gives_units_back_where_they_lie(self, resources: Resources, north: str) -> None:
        product = await a_product(resources.sessions, stock=3)
        await bring(resources, product, north, 2)
        order = await reserve(resources.sessions, product, 5)

        for _ in range(2):
            async with resources.sessions.begin() as session:
                await inventory.release(session, order, reason="cancelled")

        assert await held_by(resources, order) == {"main": (3, 0, 3), north: (2, 0, 2)}
        assert await places_of(resources, product) == {"main": (3, 0), north: (2, 0)}

    async def test_sends_from_the_first_location_and_gives_up_units_of_the_last(
        self, resources: Resources, north: str
    ) -> None:
        product = await a_product(resources.sessions, stock=3)
        await bring(resources, product, north, 3)
        order = await reserve(resources.sessions, product, 6)

        async with resources.sessions.begin() as session:
            await inventory.release_units(session, order, {product.variant_id: 1}, actor="operator:1")
            await inventory.ship(session, order, {product.variant_id: 4}, actor="operator:1")

        assert await held_by(resources, order) == {"main": (3, 3, 0), north: (3, 1, 1)}
        assert await places_of(resources, product) == {"main": (0, 0), north: (2, 1)}
        with pytest.raises(AssertionError):
            async with resources.sessions.begin() as session:
                await inventory.ship(session, order, {product.variant_id: 2}, actor="operator:1")
        with pytest.raises(AssertionError):
            async with resources.sessions.begin() as session:
                await inventory.release_units(session, order, {product.variant_id: 2}, actor="operator:1")
        assert await places_of(resources, product) == {"main": (0, 0), north: (2, 1)}

    async def test_that_comes_back_fills_the_locations_that_it_left(self, resources: Resources, north: str) -> None:
        product = await a_product(resources.sessions, stock=3)
        await bring(resources, product, north, 3)
        order = await reserve(resources.sessions, product, 5)
        async with resources.sessions.begin() as session:
            await inventory.ship(session, order, {product.variant_id: 5}, actor="operator:1")

        for units in (2, 2, 1):
            async with resources.sessions.begin() as session:
                await inventory.restock(session, order, {product.variant_id: units}, actor="operator:1")

        assert await places_of(resources, product) == {"main": (3, 0), north: (3, 0)}

    async def test_that_comes_back_to_a_closed_location_goes_to_the_main_one(
        self, resources: Resources, north: str
    ) -> None:
        product = await a_product(resources.sessions, stock=0)
        await bring(resources, product, north, 2)
        order = await reserve(resources.sessions, product, 2)
        async with resources.sessions.begin() as session:
            await inventory.ship(session, order, {product.variant_id: 2}, actor="operator:1")
        async with resources.sessions.begin() as session:
            await locations.change(session, north, {"is_active": False})

        async with resources.sessions.begin() as session:
            await inventory.restock(session, order, {product.variant_id: 2}, actor="operator:1")

        assert await places_of(resources, product) == {"main": (2, 0), north: (0, 0)}

    async def test_is_packed_and_sent_whole_although_its_units_lie_apart(
        self, resources: Resources, north: str
    ) -> None:
        product = await a_product(resources.sessions, stock=1)
        await bring(resources, product, north, 1)
        order = await a_confirmed_order(resources.sessions, (product.variant_id, 2))
        planned = to_plan(order)

        async with resources.sessions() as session:
            units = await locations.units_of(session, order.order_id)
        async with resources.sessions.begin() as session:
            await parcels.plan(session, planned)
            await parcels.charge(session, to_ship(order, planned.fulfillment_id))
            await parcels.ship(session, to_ship(order, planned.fulfillment_id))

        assert [(row["location"], row["waiting"], row["shipped"]) for row in units] == [("main", 1, 0), (north, 1, 0)]
        assert await places_of(resources, product) == {"main": (0, 0), north: (0, 0)}
        assert await held_by(resources, order.order_id) == {"main": (1, 1, 0), north: (1, 1, 0)}


@asynccontextmanager
async def with_rules(resources: Resources, rules: StockRules) -> AsyncIterator[Sessions]:
    """Sessions of a process whose settings say so."""
    database = resources.settings.database
    url = database.url.get_secret_value()
    async with connect(
        url,
        shop_schema=database.shop_schema,
        pool_size=2,
        pool_wait_seconds=5,
        stock=rules,
        taxes=resources.settings.tax.policy,
    ) as engine:
        yield sessions_of(engine)


async def test_buyers_at_once_get_all_units_of_all_locations_and_none_twice(
    resources: Resources, north: str, south: str
) -> None:
    product = await a_product(resources.sessions, stock=4)
    await bring(resources, product, north, 3)
    await bring(resources, product, south, 3)
    carts = [await a_cart(resources.sessions, (product.variant_id, 1)) for _ in range(20)]
    requests = [await to_place(resources.sessions, cart) for cart in carts]

    outcomes = await asyncio.gather(*(place(resources.sessions, one) for one in requests), return_exceptions=True)

    assert Counter(type(outcome) for outcome in outcomes) == {PlacedOrder: 10, Refusal: 10}
    assert await places_of(resources, product) == {"main": (4, 4), north: (3, 3), south: (3, 3)}
    assert await told_of(resources, product) == [("stock.low", 5), ("stock.out", 0)]


async def test_units_that_move_at_several_locations_at_once_cross_a_line_once_and_never_deadlock(
    resources: Resources, north: str
) -> None:
    product = await a_product(resources.sessions, stock=6)
    await bring(resources, product, north, 6)

    async def take_off(location: str) -> None:
        async with resources.sessions.begin() as session:
            await inventory.adjust(session, product.variant_id, -1, reason="broken", actor="admin:1", location=location)

    await asyncio.gather(*(take_off(location) for location in ["main", north] * 6))

    assert await places_of(resources, product) == {"main": (0, 0), north: (0, 0)}
    assert await told_of(resources, product) == [("stock.low", 5), ("stock.out", 0)]


class TestATransfer:
    async def test_moves_free_units_and_changes_nothing_that_can_be_sold(
        self, resources: Resources, north: str
    ) -> None:
        product = await a_product(resources.sessions, stock=9)

        await transfer(resources, product, 6, "main", north)
        await transfer(resources, product, 1, north, "main")

        assert await places_of(resources, product) == {"main": (4, 0), north: (5, 0)}
        assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=9, reserved=0)
        assert await ledger_of(resources.sessions, product.variant_id) == StockLevel(on_hand=9, reserved=0)
        assert await told_of(resources, product) == []

    async def test_leaves_what_orders_hold(self, resources: Resources, north: str) -> None:
        product = await a_product(resources.sessions, stock=9)
        await reserve(resources.sessions, product, 7)

        with pytest.raises(Refusal) as refused:
            await transfer(resources, product, 3, "main", north)

        assert (refused.value.code, refused.value.facts) == (
            "insufficient_stock",
            {"on_hand": 9, "reserved": 7, "available": 2},
        )
        assert await places_of(resources, product) == {"main": (9, 7)}

    async def test_both_ways_at_once_loses_nothing(self, resources: Resources, north: str) -> None:
        product = await a_product(resources.sessions, stock=20)
        await transfer(resources, product, 10, "main", north)

        ways = [("main", north), (north, "main")] * 10
        await asyncio.gather(*(transfer(resources, product, 1, *way) for way in ways))

        assert await places_of(resources, product) == {"main": (10, 0), north: (10, 0)}

    @pytest.mark.parametrize(
        ("source", "target", "pointer"), [("main", "nowhere", "/to"), ("nowhere", "main", "/from")]
    )
    async def test_from_or_to_nowhere_is_refused(
        self, resources: Resources, source: str, target: str, pointer: str
    ) -> None:
        product = await a_product(resources.sessions, stock=9)

        with pytest.raises(Refusal) as refused:
            await transfer(resources, product, 1, source, target)

        assert (refused.value.code, refused.value.facts["errors"][0]["pointer"]) == ("validation_failed", pointer)
        assert await places_of(resources, product) == {"main": (9, 0)}


class TestALocation:
    async def test_cannot_have_more_reserved_than_lies_there_although_others_have_more(
        self, resources: Resources, north: str
    ) -> None:
        product = await a_product(resources.sessions, stock=9)
        await bring(resources, product, north, 1)

        with pytest.raises(IntegrityError, match="not_oversold"):
            async with resources.sessions.begin() as session:
                await session.execute(
                    text("UPDATE stock SET reserved = 2 WHERE variant_id = :id AND location = :location"),
                    {"id": product.variant_id, "location": north},
                )

    async def test_that_is_not_empty_cannot_be_closed(self, resources: Resources, north: str) -> None:
        product = await a_product(resources.sessions, stock=0)
        await bring(resources, product, north, 2)

        with pytest.raises(Refusal) as refused:
            async with resources.sessions.begin() as session:
                await locations.change(session, north, {"is_active": False})
        assert (refused.value.code, refused.value.facts) == ("location_in_use", {"on_hand": 2})

        await transfer(resources, product, 2, north, "main")
        async with resources.sessions.begin() as session:
            closed = await locations.change(session, north, {"is_active": False})
        assert closed["is_active"] is False
        with pytest.raises(Refusal) as refused:
            await bring(resources, product, north, 1)
        assert refused.value.facts["errors"][0]["pointer"] == "/location"
        assert await places_of(resources, product) == {"main": (2, 0), north: (0, 0)}

    async def test_is_not_closed_while_somebody_brings_units(self, resources: Resources, north: str) -> None:
        products = [await a_product(resources.sessions, stock=0) for _ in range(5)]

        async def close() -> None:
            async with resources.sessions.begin() as session:
                await locations.change(session, north, {"is_active": False})

        tries = [bring(resources, product, north, 1) for product in products]
        outcomes = await asyncio.gather(*tries[:3], close(), *tries[3:], return_exceptions=True)

        is_closed = outcomes[3] is None
        brought = [outcome for index, outcome in enumerate(outcomes) if index != 3 and outcome is None]
        assert {type(outcome) for outcome in outcomes} <= {type(None), Refusal}
        assert (len(brought) == 0) is is_closed

    async def test_the_main_one_stays_open_whoever_wants_to_close_it(self, resources: Resources) -> None:
        with pytest.raises(Refusal) as refused:
            async with resources.sessions.begin() as session:
                await locations.change(session, "main", {"is_active": False})
        assert refused.value.code == "location_in_use"

        with pytest.raises(IntegrityError, match="main_is_active"):
            async with resources.sessions.begin() as session:
                await session.execute(text("UPDATE locations SET is_active = false WHERE code = 'main'"))


class TestTheAudit:
    async def test_finds_shipments_that_the_ledger_has_at_another_place(self, resources: Resources, north: str) -> None:
        product = await a_product(resources.sessions, stock=1)
        await bring(resources, product, north, 1)
        order = await a_confirmed_order(resources.sessions, (product.variant_id, 2))
        planned = to_plan(order)
        async with resources.sessions.begin() as session:
            await parcels.plan(session, planned)
            await parcels.charge(session, to_ship(order, planned.fulfillment_id))
            await parcels.ship(session, to_ship(order, planned.fulfillment_id))
            assert await of_order(session, order.order_id) == []

        async with behind_its_back(resources.settings) as session:
            await session.execute(
                text("UPDATE stock_movements SET location = 'main' WHERE order_id = :id AND reason = 'shipped'"),
                {"id": order.order_id},
            )
        async with resources.sessions.begin() as session:
            assert len(await of_order(session, order.order_id)) == 1

            assert await repairs.write_missing_shipments(session, order.order_id, actor="test") is None
            assert await of_order(session, order.order_id) == []

    async def test_finds_goods_whose_stock_is_gone_and_puts_it_back(self, resources: Resources, north: str) -> None:
        product = await a_product(resources.sessions, stock=1)
        await bring(resources, product, north, 3)
        subject = f"{product.variant_id}/{north}"
        async with resources.sessions.begin() as session:
            await session.execute(text("DELETE FROM stock WHERE location = :location"), {"location": north})

            found = [
                breach
                for breach in await breaches_of(session, Law.STOCK_IS_ITS_MOVEMENTS, patience_seconds=0)
                if breach.subject == subject
            ]
            assert [breach.words for breach in found] == [
                f"0 units of {product.sku} are in stock at {north}, but its movements add up to 3"
            ]

            await repairs.write_missing_movement(session, product.variant_id, north, actor="test")
            left = await breaches_of(session, Law.STOCK_IS_ITS_MOVEMENTS, patience_seconds=0)
            assert subject not in {breach.subject for breach in left}
        assert await places_of(resources, product) == {"main": (1, 0), north: (0, 0)}

    async def test_finds_holds_whose_stock_is_gone_and_leaves_them_to_a_person(
        self, resources: Resources, north: str
    ) -> None:
        product = await a_product(resources.sessions, stock=0)
        await bring(resources, product, north, 3)
        await reserve(resources.sessions, product, 2)
        subject = f"{product.variant_id}/{north}"

        async def look_and_repair() -> None:
            async with resources.sessions.begin() as session:
                await session.execute(text("DELETE FROM stock WHERE location = :location"), {"location": north})
                found = await breaches_of(session, Law.RESERVED_IS_HELD, patience_seconds=0)
                assert [breach.words for breach in found if breach.subject == subject] == [
                    f"0 units of {product.sku} are reserved at {north}, but orders hold 2 and the stock ledger says 2"
                ]
                why_not = await repairs.settle_reservations(session, product.variant_id, north, actor="test")
                assert why_not == "orders hold 2 units of which 0 are there; count the goods"
                raise RollBackError

        with pytest.raises(RollBackError):
            await look_and_repair()
        assert await places_of(resources, product) == {"main": (0, 0), north: (3, 2)}


class RollBackError(Exception):
    pass


async def of_order(session: Any, order_id: UUID) -> list[str]:
    found = await breaches_of(session, Law.SHIPPED_GOODS_HAVE_LEFT, patience_seconds=0)
    return [breach.words for breach in found if breach.order_id == order_id]


async def test_staff_sees_each_location_and_the_sum(resources: Resources, north: str) -> None:
    product = await a_product(resources.sessions, stock=3)
    await bring(resources, product, north, 2)
    await reserve(resources.sessions, product, 4)

    async with resources.sessions() as session:
        row = await inventory_views.level(session, product.variant_id, low_stock=5)

    assert (row["on_hand"], row["reserved"], row["available"], row["state"]) == (5, 4, 1, "low")
    assert row["locations"] == [
        {"location": "main", "on_hand": 3, "reserved": 3, "available": 0},
        {"location": north, "on_hand": 2, "reserved": 1, "available": 1},
    ]


async def test_the_gate_before_a_hot_variant_counts_all_locations(resources: Resources, north: str) -> None:
    product = await a_product(resources.sessions, stock=3)
    await bring(resources, product, north, 4)
    await reserve(resources.sessions, product, 2)

    async with resources.sessions() as session:
        counted = await hot_variants.count(session, [product.variant_id])

    assert [(units.variant_id, units.available) for units in counted.units] == [(product.variant_id, 5)]
