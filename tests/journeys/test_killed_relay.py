"""The relay dies in the middle of its work; whoever reads its stream does not notice."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import uuid4

import pytest

from db import outbox
from providers.events import RedisStream
from runtime.resources import Resources
from runtime.settings import Settings
from tests.activities.test_relay import heard
from tests.support.apart import a_worker, apart
from tests.support.engines import kill
from tests.support.events import once_and_in_order, tell
from tests.support.waiting import eventually

STREAM = f"events:{uuid4().hex}"


@pytest.fixture(scope="module")
async def own(
    resources: Resources, settings: Settings, environment: dict[str, str]
) -> AsyncIterator[tuple[Resources, dict[str, str]]]:
    """A shop with tables and workflows that nobody else has, and the environment of its workers."""
    async with apart("relay", resources, settings, environment) as (shop, of_workers):
        yield shop, {**of_workers, "APP_EVENTS__STREAM": STREAM}


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
        first = await a_worker(parts, "events", environment, tmp_path, "first")
        keys = await tell(shop.sessions, orders=3, each=10)
        await eventually(is_empty)
        await a_worker(parts, "events", environment, tmp_path, "second")
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
