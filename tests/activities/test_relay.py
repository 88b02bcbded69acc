"""Events reach their stream, each order's in their order, whatever dies in between."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text
from temporalio.testing import ActivityEnvironment

from activities.events import EventActivities
from db import outbox
from deploy.events import news
from domain.events import CarryEvents, Destination
from providers.events import EventStream, Message, RedisStream, StreamAway
from providers.events.kafka import KafkaCluster, KafkaStream
from runtime.databases import migrated
from runtime.resources import Resources, opened
from runtime.settings import Settings
from tests.support.events import once_and_in_order, tell
from tests.support.kafka import TOPIC, Front, broker, make_topic, with_topic
from tests.support.processes import free_port, uncounted
from tests.support.waiting import eventually

Reader = Callable[[EventStream, str], AsyncIterator[dict[str, Any]]]
ALL = {"orders": 7, "each": 30}
IN_ORDER = list(range(1, 31))


@pytest.fixture(scope="module")
async def resources(settings: Settings) -> AsyncIterator[Resources]:
    """A shop of its own, where nobody else carries events."""
    database = settings.database.model_copy(update={"shop_schema": f"relay_{uuid4().hex[:8]}"})
    await asyncio.to_thread(migrated, database)
    async with opened(settings.model_copy(update={"database": database})) as own:
        yield own


@pytest.fixture
async def clean(resources: Resources) -> None:
    async with resources.sessions.begin() as session:
        await session.execute(text("DELETE FROM outbox"))
        await session.execute(text("DELETE FROM event_cursors WHERE name <> 'published'"))


@pytest.fixture
async def stream(resources: Resources, clean: None) -> AsyncIterator[RedisStream]:
    made = RedisStream(
        resources.settings.cache.url.get_secret_value(), name=f"events:{uuid4().hex}", max_length=100_000
    )
    yield made
    await made.aclose()


def relay(resources: Resources, destination: Destination = Destination.REDIS, **otherwise: Any) -> EventActivities:
    facts: dict[str, Any] = {
        "open_stream": lambda: None,
        "destination": destination,
        "source": "https://shop.example",
        "kept": timedelta(days=1),
        "news": (resources.engine.url, resources.settings.database.shop_schema),
    }
    return EventActivities(resources.sessions, **{**facts, **otherwise})


def everything(stream: EventStream, begin: str) -> AsyncIterator[dict[str, Any]]:
    return stream.read(begin)


async def heard(
    stream: EventStream, events: int, begin: str = "beginning", *, reader: Reader = everything
) -> list[dict[str, Any]]:
    told = []
    async with asyncio.timeout(30):
        async for event in reader(stream, begin):
            told.append(event)
            if len(told) == events:
                return told
    raise AssertionError("the stream ended")


async def all_carried(carrier: EventActivities, stream: EventStream) -> None:
    while await carrier.carry_a_bundle(stream):
        pass


class Unsure:
    """Sends, and then dies before it can say so, every other time."""

    def __init__(self, stream: EventStream) -> None:
        self._stream = stream
        self._tries = count()

    async def send(self, messages: Sequence[Message]) -> None:
        await self._stream.send(messages)
        if next(self._tries) % 2 == 0:
            raise StreamAway("the answer is lost")

    def read(self, begin: str) -> AsyncIterator[dict[str, Any]]:
        return self._stream.read(begin)

    async def aclose(self) -> None:
        await self._stream.aclose()


@pytest.mark.matrix("events: the relay dies after the stream has the events and before it knows")
async def test_every_event_is_carried_to_redis_once_and_in_its_place(
    resources: Resources, stream: RedisStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("activities.events.BUNDLE", 25)
    keys = await tell(resources.sessions, **ALL)
    carrier, unsure = relay(resources), Unsure(stream)

    while (await outbox_lag(resources)).waiting:
        try:
            await carrier.carry_a_bundle(unsure)
        except StreamAway:
            continue

    told = await heard(stream, 210)
    assert once_and_in_order(told) == dict.fromkeys(keys, IN_ORDER)
    assert len({event["id"] for event in told}) == len(told)


async def test_who_reads_the_stream_does_not_wait_until_a_long_backlog_has_its_places(
    resources: Resources, stream: RedisStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("activities.events.BUNDLE", 25)
    await tell(resources.sessions, orders=30, each=10)

    await relay(resources).carry_a_bundle(stream)

    async with resources.sessions() as session:
        placed = await outbox.published(session, most=1000)
    assert (len(placed), len(await heard(stream, 25))) == (250, 25)
    assert (await outbox_lag(resources)).waiting == 275


async def outbox_lag(resources: Resources, name: str = "redis") -> outbox.Lag:
    async with resources.sessions() as session:
        return await outbox.lag(session, name)


async def test_a_stream_can_be_read_again_from_any_place(resources: Resources, stream: RedisStream) -> None:
    await tell(resources.sessions, orders=2, each=5)
    await all_carried(relay(resources), stream)
    told = await heard(stream, 10)
    async with resources.sessions() as session:
        places = [event.position for event in await outbox.published(session, after=0, most=100)]

    assert await heard(stream, 4, begin=str(places[5])) == told[6:]
    with pytest.raises(ValueError, match="yesterday"):
        await heard(stream, 1, begin="yesterday")


async def test_a_stream_that_is_ahead_of_the_shop_is_not_written_to(resources: Resources, stream: RedisStream) -> None:
    await stream.send([Message(position=2**40, key="k", body=b"{}", at_ms=0)])
    await tell(resources.sessions, orders=1, each=1)

    with pytest.raises(StreamAway, match="Name another stream"):
        await relay(resources).carry_a_bundle(stream)
    assert (await outbox_lag(resources)).waiting == 1


async def test_what_waits_is_counted_until_it_is_carried(resources: Resources, stream: RedisStream) -> None:
    assert await outbox_lag(resources) == outbox.Lag(waiting=0, oldest_seconds=0.0)

    await tell(resources.sessions, orders=1, each=3)
    before = await outbox_lag(resources)
    await relay(resources, Destination.NONE).carry_a_bundle(None)
    published = await outbox_lag(resources)
    await all_carried(relay(resources), stream)

    assert (before.waiting, published.waiting) == (3, 3)
    assert 0 < before.oldest_seconds < published.oldest_seconds
    assert await outbox_lag(resources) == outbox.Lag(waiting=0, oldest_seconds=0.0)


async def test_events_that_were_carried_long_ago_are_removed_when_a_shift_begins(
    resources: Resources, stream: RedisStream
) -> None:
    await tell(resources.sessions, orders=1, each=3)
    carrier = relay(resources, open_stream=lambda: stream, kept=timedelta(0))
    await all_carried(carrier, stream)
    await tell(resources.sessions, orders=1, each=2)

    await ActivityEnvironment().run(carrier.carry, CarryEvents(seconds=0))

    async with resources.sessions() as session:
        assert await session.scalar(text("SELECT count(*) FROM outbox")) == 2


async def test_a_sleeping_relay_is_woken_by_the_event_itself(
    resources: Resources, stream: RedisStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("activities.events.LONGEST_SLEEP_SECONDS", 3600.0)
    carrier = relay(resources, open_stream=lambda: stream)
    shift = ActivityEnvironment()
    running = asyncio.ensure_future(shift.run(carrier.carry, CarryEvents(seconds=3600)))

    async def sleeps() -> bool:
        async with resources.sessions() as session:
            return bool(await session.scalar(text("SELECT bool_or(is_waiting) FROM event_cursors")))

    async def is_over(waiting: int) -> bool:
        return (await outbox_lag(resources)).waiting == waiting

    for _ in range(3):
        await eventually(sleeps)
        await tell(resources.sessions, orders=1, each=1)
        await eventually(lambda: is_over(0))
    shift.worker_shutdown()
    assert (await running).events == 3


@pytest.mark.matrix("events: the stream is away")
async def test_kafka_gets_every_event_in_its_orders_order_and_what_waited_while_it_was_away(
    resources: Resources, clean: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("activities.events.BUNDLE", 25)
    port, log = free_port(), tmp_path / "kafka.log"
    cluster = KafkaCluster(servers=f"127.0.0.1:{port}", topic=TOPIC, is_idempotent=False)
    stream = KafkaStream(cluster)
    carrier, unsure = relay(resources, Destination.KAFKA), Unsure(stream)
    keys = await tell(resources.sessions, **ALL)

    async with with_topic(port, log) as broker:
        while (await outbox_lag(resources, "kafka")).waiting:
            try:
                await carrier.carry_a_bundle(unsure)
            except StreamAway:
                continue
        told = await heard(stream, 420)  # each bundle went twice
        assert once_and_in_order(told) == dict.fromkeys(keys, IN_ORDER)
        once = await heard(stream, 210, reader=news)
        assert len({event["id"] for event in once}) == 210
        broker.kill()

    later = await tell(resources.sessions, orders=3, each=10)
    with pytest.raises(StreamAway):
        await carrier.carry_a_bundle(stream)
    assert (await outbox_lag(resources, "kafka")).waiting == 30

    async with with_topic(port, log):
        await all_carried(carrier, stream)
        assert once_and_in_order(await heard(stream, 30)) == {key: list(range(1, 11)) for key in later}

        [newest] = await tell(resources.sessions, orders=1, each=4)
        await all_carried(carrier, stream)
        when = max(event["time"] for event in await heard(stream, 34))
        assert {event["partitionkey"] for event in await heard(stream, 4, begin=when)} == {newest}
        with pytest.raises(ValueError, match="yesterday"):
            await heard(stream, 1, begin="yesterday")
        await stream.aclose()


async def test_a_relay_that_is_killed_between_kafkas_yes_and_its_own_note_loses_nothing(
    resources: Resources, clean: None, tmp_path: Path, environment: dict[str, str]
) -> None:
    port, own = free_port(), free_port()
    cluster = KafkaCluster(servers=f"127.0.0.1:{port}", topic=TOPIC, is_idempotent=True)
    keys, front = await tell(resources.sessions, **ALL), Front(own, loses=1)
    settings = {
        **environment,
        "APP_DATABASE__SHOP_SCHEMA": resources.settings.database.shop_schema,
        "APP_EVENTS__DESTINATION": "kafka",
        "APP_EVENTS__KAFKA_SERVERS": cluster.servers,
        "APP_EVENTS__SOURCE": "https://shop.example",
    }
    carrying = (sys.executable, "-m", "tests.activities.carrying_events")
    with broker(own, tmp_path / "kafka.log", told_port=port):
        async with front.opened(port):
            await make_topic(cluster.connection, partitions=1)
            front.victim = await asyncio.create_subprocess_exec(*carrying, env={**uncounted(), **settings})
            assert await front.victim.wait() == -signal.SIGKILL
            assert (await outbox_lag(resources, "kafka")).waiting == 210
            stream = KafkaStream(cluster)
            assert once_and_in_order(await heard(stream, 210)) == dict.fromkeys(keys, IN_ORDER)

            await all_carried(relay(resources, Destination.KAFKA), stream)
            await stream.aclose()
            assert (await outbox_lag(resources, "kafka")).waiting == 0

            told = await heard(stream, 420)  # of another producer: Kafka cannot know that it is the same again
            assert once_and_in_order(told) == dict.fromkeys(keys, IN_ORDER)
    assert front.producers == 2
