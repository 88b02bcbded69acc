"""What takes too long is given up, by Postgres as long as there is one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncSession

from db import inventory
from db.engine import Sessions, TimeLimits, connect, sessions_of
from domain.inventory import StockRules
from domain.taxes import TaxPolicy
from runtime.resources import Resources
from tests.support.catalog import AProduct, a_product, stock_of
from tests.support.gate import Gate
from tests.support.processes import free_port

LOCKED = text("SELECT 1 FROM stock WHERE variant_id = :id FOR UPDATE")


@asynccontextmanager
async def limited(resources: Resources, *, through: Gate | None = None, **limits: float) -> AsyncIterator[Sessions]:
    database = resources.settings.database
    url = resources.engine.url.set(port=through.port) if through else resources.engine.url
    async with connect(
        url.render_as_string(hide_password=False),
        shop_schema=database.shop_schema,
        pool_size=1,
        pool_wait_seconds=0.5,
        stock=StockRules(),
        taxes=TaxPolicy(),
        limits=TimeLimits(**limits),
    ) as engine:
        yield sessions_of(engine)


@pytest.fixture
async def product(resources: Resources) -> AProduct:
    return await a_product(resources.sessions, stock=3)


async def take_one(session: AsyncSession, product: AProduct) -> None:
    await inventory.adjust(session, product.variant_id, -1, reason="lost", actor="operator:test")


async def take_one_each(sessions: Sessions, *products: AProduct) -> None:
    async with sessions.begin() as session:
        for product in products:
            await take_one(session, product)


def state_of(failed: "pytest.ExceptionInfo[DBAPIError]") -> str:
    return str(getattr(failed.value.orig, "sqlstate", ""))


async def test_a_statement_that_waits_for_others_is_given_up_and_what_came_before_it_is_undone(
    resources: Resources, product: AProduct
) -> None:
    other = await a_product(resources.sessions, stock=5)
    async with limited(resources, lock=0.2) as sessions:
        async with resources.sessions.begin() as in_the_way:
            await in_the_way.execute(LOCKED, {"id": product.variant_id})
            with pytest.raises(DBAPIError) as failed:
                await take_one_each(sessions, other, product)
            assert state_of(failed) == "55P03"
            assert (await stock_of(resources.sessions, other.variant_id)).on_hand == 5

        await take_one_each(sessions, product)
    assert (await stock_of(resources.sessions, product.variant_id)).on_hand == 2


async def test_a_statement_that_does_not_come_to_its_end_is_given_up(resources: Resources) -> None:
    async with limited(resources, statement=0.2) as sessions, sessions() as session:
        with pytest.raises(DBAPIError) as failed:
            await session.execute(text("SELECT pg_sleep(60)"))

    assert state_of(failed) == "57014"


async def test_a_transaction_in_which_nothing_is_asked_any_more_frees_what_it_has_locked(
    resources: Resources, product: AProduct
) -> None:
    async with limited(resources, idle=0.2) as sessions, sessions() as forgotten:
        await forgotten.execute(LOCKED, {"id": product.variant_id})

        await take_one_each(resources.sessions, product)

        with pytest.raises(DBAPIError):
            await take_one(forgotten, product)
        await forgotten.invalidate()
    assert (await stock_of(resources.sessions, product.variant_id)).on_hand == 2


@pytest.fixture
async def way(resources: Resources) -> AsyncIterator[Gate]:
    url = resources.engine.url
    assert url.host is not None
    assert url.port is not None
    gate = Gate(free_port(), url.host, url.port)
    await gate.open()
    yield gate
    await gate.close()


async def test_a_server_that_answers_nothing_at_all_is_not_waited_for(resources: Resources, way: Gate) -> None:
    async with limited(resources, through=way, statement=2) as sessions:
        async with sessions() as session:
            await session.execute(text("SELECT 1"))
        way.hold_up()

        with pytest.raises((TimeoutError, DBAPIError)):
            async with sessions() as session:
                await session.execute(text("SELECT 1"))
        with pytest.raises((TimeoutError, PoolTimeout, DBAPIError)):
            async with sessions() as session:
                await session.execute(text("SELECT 1"))
