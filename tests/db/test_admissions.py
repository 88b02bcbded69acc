"""The admission gate: as many as there are units, whoever asks, and whatever happens to what it knows."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from db import checkouts, hot_variants
from db.admissions import AdmissionGate
from db.base import new_id
from db.catalog_news import catalog_news
from db.hot_variants import hot_news
from db.inventory import Demand
from db.listening import Listening
from domain.inventory import Shortage
from runtime.resources import Resources
from tests.support.catalog import AProduct, a_product
from tests.support.orders import a_cart, a_wish
from tests.support.processes import free_port
from tests.support.statements import counted_statements
from tests.support.waiting import eventually


@pytest.fixture
def prefix() -> str:
    return f"{uuid4()}:"


@pytest.fixture
def gate(resources: Resources, prefix: str) -> AdmissionGate:
    return gate_in(resources.redis, resources, prefix)


def gate_in(redis: Redis, resources: Resources, prefix: str, *, rush: int = 3) -> AdmissionGate:
    return AdmissionGate(redis, resources.autocommit, prefix=prefix, rush=rush)


async def a_hot_product(resources: Resources, stock: int) -> AProduct:
    product = await a_product(resources.sessions, stock=stock)
    async with resources.sessions.begin() as session:
        await hot_variants.mark(session, product.variant_id, is_hot=True)
    return product


async def no_more_hot(resources: Resources, *products: AProduct) -> None:
    """Other tests' gates need not count these."""
    async with resources.sessions.begin() as session:
        for product in products:
            await hot_variants.mark(session, product.variant_id, is_hot=False)


def units(product: AProduct, quantity: int = 1) -> Demand:
    return Demand(product.variant_id, product.sku, quantity)


async def asks(gate: AdmissionGate, *demands: Demand, cart: UUID | None = None) -> list[Shortage]:
    """What a customer lacks; nothing, when the gate lets the cart in."""
    away = await gate.turns_away(a_wish(cart or uuid4()), new_id(), demands)
    return away.shortages if away else []


async def set_right(gate: AdmissionGate, product: AProduct) -> tuple[int, int]:
    """By how many units that changed what the gate says of the product, and what it says now."""
    changes = await gate.set_right()
    return changes[product.variant_id], (await gate.free())[product.variant_id]


def short(product: AProduct, requested: int, available: int) -> Shortage:
    return Shortage(variant_id=product.variant_id, sku=product.sku, requested=requested, available=available)


@pytest.fixture
async def hot(resources: Resources) -> AsyncIterator[AProduct]:
    product = await a_hot_product(resources, stock=3)
    yield product
    await no_more_hot(resources, product)


async def test_as_many_units_are_let_in_as_postgres_has(gate: AdmissionGate, hot: AProduct) -> None:
    await gate.set_right()

    assert [await asks(gate, units(hot, 2)), await asks(gate, units(hot, 2)), await asks(gate, units(hot, 1))] == [
        [],
        [short(hot, 2, 1)],
        [],
    ]
    assert await asks(gate, units(hot)) == [short(hot, 1, 0)]


class Counting(Redis):
    """Notes what it is asked; each command is one way to the server and back."""

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        asked.append(args[0])
        return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]


asked: list[str] = []


async def test_who_is_turned_away_costs_one_command_and_no_statement(
    resources: Resources, prefix: str, hot: AProduct
) -> None:
    redis = Counting.from_url(resources.settings.cache.url.get_secret_value())
    gate = gate_in(redis, resources, prefix)
    await gate.set_right()
    await asks(gate, units(hot, 3))
    asked.clear()

    with counted_statements(resources.engine) as statements:
        assert await asks(gate, units(hot)) == [short(hot, 1, 0)]

    assert (statements, asked) == ([], ["EVALSHA"])
    await redis.aclose()


async def test_a_cart_is_let_in_with_all_of_its_hot_units_or_with_none(
    gate: AdmissionGate, resources: Resources, hot: AProduct
) -> None:
    other = await a_hot_product(resources, stock=1)
    cold = await a_product(resources.sessions, stock=0)
    await gate.set_right()

    assert await asks(gate, units(hot, 3), units(other, 2), units(cold)) == [short(other, 2, 1)]
    assert await asks(gate, units(hot, 3), units(other, 1), units(cold)) == []
    assert await asks(gate, units(hot), units(other)) == [short(hot, 1, 0), short(other, 1, 0)]
    await no_more_hot(resources, other)


async def test_a_cart_that_was_let_in_is_let_in_again_and_takes_nothing(gate: AdmissionGate, hot: AProduct) -> None:
    await gate.set_right()
    cart = uuid4()

    assert [await asks(gate, units(hot, 2), cart=cart) for _ in range(3)] == [[], [], []]

    assert (await gate.free())[hot.variant_id] == 1


async def test_what_is_not_hot_passes_no_gate(gate: AdmissionGate, resources: Resources) -> None:
    product = await a_product(resources.sessions, stock=0)
    await gate.set_right()

    assert await asks(gate, units(product)) == []
    assert product.variant_id not in await gate.free()


async def test_an_admission_is_counted_once_wherever_its_checkout_is(
    gate: AdmissionGate, resources: Resources, hot: AProduct
) -> None:
    """Before it is taken in, once it is, and when it was refused."""
    await gate.set_right()
    cart = await a_cart(resources.sessions, (hot.variant_id, 2))
    wish, order_id, demand = a_wish(cart), new_id(), [units(hot, 2)]

    assert await gate.turns_away(wish, order_id, demand) is None
    assert await set_right(gate, hot) == (0, 1)

    async with resources.sessions.begin() as session:
        await checkouts.take_in(session, wish, order_id=order_id)
    assert await set_right(gate, hot) == (0, 1)

    async with resources.sessions.begin() as session:
        await checkouts.refuse(session, order_id)
    assert await set_right(gate, hot) == (2, 3)


async def test_however_often_it_is_counted_meanwhile_exactly_the_units_are_let_in(
    resources: Resources, prefix: str
) -> None:
    """Two processes with a gate each; customers come and are taken in while both count without a pause."""
    product = await a_hot_product(resources, stock=20)
    gates = [gate_in(resources.redis, resources, prefix) for _ in range(2)]
    for gate in gates:
        await gate.set_right()
    carts = [await a_cart(resources.sessions, (product.variant_id, 1)) for _ in range(40)]

    async def comes(number: int, cart: UUID) -> bool:
        wish, order_id = a_wish(cart), new_id()
        if await gates[number % 2].turns_away(wish, order_id, [units(product)]):
            return False
        async with resources.sessions.begin() as session:
            await checkouts.take_in(session, wish, order_id=order_id)
        return True

    async def counts(gate: AdmissionGate) -> None:
        while True:
            await gate.set_right()

    counting = [asyncio.create_task(counts(gate)) for gate in gates]
    let_in: list[bool] = []
    for first in range(0, 40, 8):
        let_in += await asyncio.gather(*(comes(n, carts[n]) for n in range(first, first + 8)))
    for task in counting:
        task.cancel()

    assert let_in.count(True) == 20
    await no_more_hot(resources, product)


@pytest.mark.parametrize("planted", [0, 1000])
async def test_a_gate_that_is_wrong_is_set_right(
    gate: AdmissionGate, resources: Resources, prefix: str, hot: AProduct, planted: int
) -> None:
    await gate.set_right()
    await resources.redis.hset(f"{prefix}admissions:{hot.variant_id}", "free", planted)

    assert await set_right(gate, hot) == (3 - planted, 3)


async def test_a_gate_that_lost_everything_lets_in_until_it_is_counted_again(
    gate: AdmissionGate, resources: Resources, prefix: str, hot: AProduct
) -> None:
    await gate.set_right()
    keys = [key async for key in resources.redis.scan_iter(match=f"{prefix}*")]
    await resources.redis.delete(*keys)

    assert await asks(gate, units(hot, 4)) == []

    await gate.set_right()
    assert await asks(gate, units(hot, 4)) == [short(hot, 4, 3)]


async def test_without_valkey_there_is_no_gate_and_it_is_back_when_valkey_is(
    gate: AdmissionGate, resources: Resources, hot: AProduct
) -> None:
    await gate.set_right()
    nowhere = Redis(port=free_port(), retry=Retry(NoBackoff(), 0))
    away = gate_in(nowhere, resources, "away:")
    away._hot = gate.hot

    assert await asks(away, units(hot, 4)) == []
    assert (away.hot, await away.set_right(), await away.free()) == (frozenset(), {}, {})
    await nowhere.aclose()

    away._redis, away._admit, away._set_right = gate._redis, gate._admit, gate._set_right
    await away.set_right()
    assert await asks(away, units(hot, 4)) == [short(hot, 4, 3)]


async def test_many_who_come_in_vain_make_a_variant_hot_for_all_processes(
    gate: AdmissionGate, resources: Resources, prefix: str
) -> None:
    product = await a_product(resources.sessions, stock=0)
    gate.refused([product.variant_id] * 2)
    await gate.set_right()
    assert product.variant_id not in gate.hot

    gate.refused([product.variant_id])
    await gate.set_right()

    other = gate_in(resources.redis, resources, prefix)
    await other.set_right()
    assert product.variant_id in gate.hot
    assert await asks(other, units(product)) == [short(product, 1, 0)]


@pytest.mark.parametrize(("ended_ago", "is_rush"), [(0.001, True), (60.0, False)], ids=["just now", "long ago"])
async def test_those_who_came_at_the_end_of_a_stretch_of_time_count_in_the_next_one(
    gate: AdmissionGate, resources: Resources, *, ended_ago: float, is_rush: bool
) -> None:
    product = await a_product(resources.sessions, stock=0)
    gate.refused([product.variant_id] * 2)

    gate._rush_ends_at = asyncio.get_running_loop().time() - ended_ago
    gate.refused([product.variant_id])
    await gate.set_right()

    assert (product.variant_id in gate.hot) is is_rush


async def test_a_request_that_was_turned_away_gets_the_same_answer_again(
    gate: AdmissionGate, resources: Resources, hot: AProduct
) -> None:
    await gate.set_right()
    wish, demand = a_wish(uuid4()), [units(hot, 4)]
    first = await gate.turns_away(wish, new_id(), demand)

    again = await gate.turns_away(wish, new_id(), [units(hot, 1)])

    assert first is not None
    assert again is not None
    assert (first.is_repeat, again.is_repeat) == (False, True)
    assert first.shortages == again.shortages == [short(hot, 4, 3)]


@asynccontextmanager
async def told(resources: Resources, *gates: AdmissionGate) -> AsyncIterator[None]:
    """What Postgres tells the API processes that have these gates; all have looked once, and found nothing hot."""
    shop = resources.settings.database.shop_schema
    news = Listening(resources.engine.url, catalog_news(shop, gates), hot_news(shop, gates))
    listening = asyncio.create_task(news.run())

    async def are_idle() -> bool:
        for gate in gates:
            await gate.set_right()
        return all(gate.is_idle for gate in gates)

    try:
        await eventually(are_idle)
        for gate in gates:
            await gate.until_news()
            await gate.set_right()
        yield
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


async def test_while_nothing_is_hot_a_gate_rests_until_staff_marks_a_variant(
    gate: AdmissionGate, resources: Resources
) -> None:
    async with told(resources, gate):
        resting = asyncio.create_task(gate.until_news())
        product = await a_hot_product(resources, stock=3)

        await resting
        await gate.set_right()
        assert (product.variant_id in gate.hot, gate.is_idle) == (True, False)

        await no_more_hot(resources, product)
        await gate.until_news()
        await gate.set_right()
        assert (product.variant_id in gate.hot, gate.is_idle) == (False, True)


async def test_what_one_process_finds_hot_wakes_the_others(
    gate: AdmissionGate, resources: Resources, prefix: str
) -> None:
    other = gate_in(resources.redis, resources, prefix)
    product = await a_product(resources.sessions, stock=0)
    async with told(resources, gate, other):
        resting = asyncio.create_task(other.until_news())
        gate.refused([product.variant_id] * 3)
        await gate.until_news()
        await gate.set_right()

        await resting
        await other.set_right()
        assert product.variant_id in other.hot


async def test_a_gate_that_is_not_told_or_could_not_look_does_not_rest(
    gate: AdmissionGate, resources: Resources
) -> None:
    nowhere = Redis(port=free_port(), retry=Retry(NoBackoff(), 0))
    lost = gate_in(nowhere, resources, "away:")
    async with told(resources, gate):
        await lost.begin()
        await lost.set_right()
        assert (gate.is_idle, lost.is_idle) == (True, False)

    assert not gate.is_idle
    await nowhere.aclose()
