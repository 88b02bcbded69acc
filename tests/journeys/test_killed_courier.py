"""A worker dies while an endpoint has an event in its hands; the event is not lost, and comes as the same."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from db import outbox, webhook_deliveries
from runtime.resources import Resources
from runtime.settings import Settings
from tests.support.apart import a_worker, apart
from tests.support.engines import kill
from tests.support.events import tell
from tests.support.receiver import a_receiver
from tests.support.waiting import eventually
from tests.support.webhooks import an_endpoint


@pytest.fixture
async def own(
    resources: Resources, settings: Settings, environment: dict[str, str]
) -> AsyncIterator[tuple[Resources, dict[str, str]]]:
    """A shop with tables and workflows that nobody else has, and the environment of its workers."""
    async with apart("courier", resources, settings, environment) as (shop, of_workers):
        yield shop, of_workers


@pytest.mark.matrix("events: a worker is killed while a webhook endpoint has an event in its hands")
async def test_a_killed_worker_loses_no_event_and_another_one_sends_the_same_again(
    own: tuple[Resources, dict[str, str]], tmp_path: Path
) -> None:
    shop, environment = own
    async with AsyncExitStack() as parts:
        receiver = await parts.enter_async_context(a_receiver())
        endpoint = await an_endpoint(shop, receiver.url)
        first = await a_worker(parts, "webhooks", environment, tmp_path, "first")
        receiver.speaks.clear()
        [key] = await tell(shop.sessions, orders=1, each=3)
        async with shop.sessions.begin() as session:
            await outbox.publish(session, most=10)
        await receiver.asked.wait()
        await kill(first)
        receiver.speaks.set()
        await a_worker(parts, "webhooks", environment, tmp_path, "second")

        async def all_taken() -> bool:
            async with shop.sessions() as session:
                rows = await webhook_deliveries.page(
                    session, endpoint, limit=9, before=None, status=None, event_type=None, key=None
                )
            return [row["status"] for row in rows] == ["delivered"] * 3

        await eventually(all_taken, within=60)

    assert receiver.sequences(key)[-3:] == [1, 2, 3]
    told: dict[str, bytes] = {}
    for each in receiver.told:
        assert told.setdefault(each.id, each.body) == each.body
    assert len(told) == 3
