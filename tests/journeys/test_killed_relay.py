"""The relay dies in the middle of its work; whoever reads its stream does not notice."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from subprocess import Popen
from uuid import uuid4

import pytest

from db import outbox
from providers.events import RedisStream
from runtime.databases import migrated
from runtime.resources import Resources, opened
from runtime.settings import Settings
from tests.activities.test_relay import heard
from tests.support.engines import kill, make_namespace
from tests.support.events import once_and_in_order, tell
from tests.support.processes import process
from tests.support.waiting import eventually

STREAM = f"events:{uuid4().hex}"


@pytest.fixture(scope="module")
async def own(
    resources: Resources, settings: Settings, environment: dict[str, str]
) -> AsyncIterator[tuple[Resources, dict[str, str]]]:
    """A shop with tables and workflows that nobody else has, and the environment of its workers."""
    schema = f"relay_{uuid4().hex[:8]}"
    namespace = schema.replace("_", "-")
    await make_namespace(resources, namespace)
    database = settings.database.model_copy(update={"shop_schema": schema})
    await asyncio.to_thread(migrated, database)
    variables = {
        "APP_TEMPORAL__NAMESPACE": namespace,
        "APP_DATABASE__SHOP_SCHEMA": schema,
        "APP_EVENTS__STREAM": STREAM,
    }
    async with opened(settings.model_copy(update={"database": database})) as of_its_own:
        yield of_its_own, {**environment, **variables}


@pytest.mark.matrix("events: a relay is killed while it carries")
async def test_a_killed_relay_is_followed_by_another_that_goes_on_where_it_was(
    own: tuple[Resources, dict[str, str]], tmp_path: Path
) -> None:
    shop, environment = own
    stream = RedisStream(shop.settings.cache.url.get_secret_value(), name=STREAM, max_length=100_000)

    async def waiting() -> float:
        async with shop.sessions() as session:
            return (await outbox.lag(session, "redis")).waiting

    async def is_empty() -> bool:
        return await waiting() == 0

    async with AsyncExitStack() as parts:

        async def a_worker(name: str) -> "Popen[bytes]":
            ready = tmp_path / f"{name}.ready"
            variables = {**environment, "APP_READY_FILE": str(ready)}
            worker = process(
                "cli", "worker", "events", environment=variables, ready=ready.exists, log=tmp_path / f"{name}.log"
            )
            child = await asyncio.to_thread(worker.__enter__)
            parts.push_async_callback(asyncio.to_thread, worker.__exit__, None, None, None)
            return child

        first = await a_worker("first")
        keys = await tell(shop.sessions, orders=3, each=10)
        await eventually(is_empty)
        await a_worker("second")
        telling = asyncio.create_task(tell(shop.sessions, orders=40, each=100))
        await eventually(waiting)
        await kill(first)
        keys += await telling
        await eventually(is_empty, within=60)

    told = await heard(stream, 30 + 4000)
    await stream.aclose()
    orders = once_and_in_order(told)
    assert set(orders) == set(keys)
    assert all(sequence == list(range(1, len(sequence) + 1)) for sequence in orders.values())
    assert len({event["id"] for event in told}) == len(told)
