"""A worker dies while an endpoint has an event in its hands; the event is not lost, and comes as the same."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from subprocess import Popen
from uuid import uuid4

import pytest

from db import outbox, webhook_deliveries
from runtime.databases import migrated
from runtime.resources import Resources, opened
from runtime.settings import Settings
from tests.support.engines import kill, make_namespace
from tests.support.events import tell
from tests.support.processes import process
from tests.support.receiver import a_receiver
from tests.support.waiting import eventually
from tests.support.webhooks import an_endpoint


@pytest.fixture
async def own(
    resources: Resources, settings: Settings, environment: dict[str, str]
) -> AsyncIterator[tuple[Resources, dict[str, str]]]:
    """A shop with tables and workflows that nobody else has, and the environment of its workers."""
    schema = f"courier_{uuid4().hex[:8]}"
    namespace = schema.replace("_", "-")
    await make_namespace(resources, namespace)
    database = settings.database.model_copy(update={"shop_schema": schema})
    await asyncio.to_thread(migrated, database)
    variables = {"APP_TEMPORAL__NAMESPACE": namespace, "APP_DATABASE__SHOP_SCHEMA": schema}
    async with opened(settings.model_copy(update={"database": database})) as of_its_own:
        yield of_its_own, {**environment, **variables}


@pytest.mark.matrix("events: a worker is killed while a webhook endpoint has an event in its hands")
async def test_a_killed_worker_loses_no_event_and_another_one_sends_the_same_again(
    own: tuple[Resources, dict[str, str]], tmp_path: Path
) -> None:
    shop, environment = own
    async with AsyncExitStack() as parts:

        async def a_worker(name: str) -> "Popen[bytes]":
            ready = tmp_path / f"{name}.ready"
            variables = {**environment, "APP_READY_FILE": str(ready)}
            worker = process(
                "cli", "worker", "webhooks", environment=variables, ready=ready.exists, log=tmp_path / f"{name}.log"
            )
            child = await asyncio.to_thread(worker.__enter__)
            parts.push_async_callback(asyncio.to_thread, worker.__exit__, None, None, None)
            return child

        receiver = await parts.enter_async_context(a_receiver())
        endpoint = await an_endpoint(shop, receiver.url)
        first = await a_worker("first")
        receiver.speaks.clear()
        [key] = await tell(shop.sessions, orders=1, each=3)
        async with shop.sessions.begin() as session:
            await outbox.publish(session, most=10)
        await receiver.asked.wait()
        await kill(first)
        receiver.speaks.set()
        await a_worker("second")

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
