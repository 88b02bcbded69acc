"""Events through the outbox and the relay, beside plain inserts and bare sends of the same bytes, in the same run.

``python -m benchmarks.relay [EVENTS] [KILLS]``. The relay is a worker process of its own, as in production. In the
first round nobody disturbs it; in the second it is killed so many times, and each time the engine finds the next one.
What the stream has is then counted one by one.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID, uuid4

import uvloop
from redis.asyncio import Redis
from rich.console import Console
from rich.table import Table
from sqlalchemy import TextClause, text

from benchmarks.report import keep_text
from db.engine import Sessions
from db.outbox import PUBLISHED
from deploy import embedded
from deploy.ports import free_ports
from deploy.processes import kill_session
from providers.events import EventStream, Message, RedisStream
from providers.events.kafka import KafkaCluster, KafkaStream
from runtime.databases import migrated
from runtime.resources import opened
from runtime.settings import Settings
from tests.support.kafka import TOPIC, with_topic
from tests.support.processes import process

EVENTS_OF_AN_ORDER = 10
AT_ONCE = 1000
LONGEST_STANDSTILL_SECONDS = 120
"""After a kill it takes ten seconds until the relay is missed."""

BODY = """jsonb_build_object(
    'order_id', key, 'sequence', sequence, 'at', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'order', jsonb_build_object(
        'status', 'confirmed', 'payment_status', 'authorized', 'fulfillment_status', 'unfulfilled',
        'return_status', 'none', 'pending_step', NULL, 'cancel_reason', NULL, 'needs_attention', false,
        'is_held', false, 'is_closed', false))"""
ROWS = "generate_series(1, CAST(:each AS int)) AS sequence, unnest(CAST(:keys AS text[])) AS key ORDER BY sequence"
TELL = text(f"""
    INSERT INTO outbox (event_id, type, version, key, payload)
    SELECT gen_random_uuid(), 'order.payment_renewed', 1, key, {BODY} FROM {ROWS}
""")  # noqa: S608
PLAIN = text(f"INSERT INTO plain (key, payload) SELECT key, {BODY} FROM {ROWS}")  # noqa: S608
PLAIN_TABLE = """
    CREATE TABLE plain (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, key text NOT NULL, payload jsonb NOT NULL,
                        created_at timestamptz NOT NULL DEFAULT now())
"""


@dataclass
class Found:
    """What a reader of the stream has heard."""

    events: int = 0
    bodies: dict[bytes, int] = field(default_factory=dict)
    """The first body of each id, by its hash."""
    reached: dict[UUID, int] = field(default_factory=dict)
    out_of_order: int = 0
    other_bodies: int = 0

    def hear(self, event: Mapping[str, str]) -> None:
        self.events += 1
        name, body = UUID(event["id"]).bytes, hash(json.dumps(event, sort_keys=True))
        if name in self.bodies:
            self.other_bodies += self.bodies[name] != body
            return
        self.bodies[name] = body
        order, sequence = UUID(event["partitionkey"]), int(event["sequence"])
        self.out_of_order += sequence != self.reached.get(order, 0) + 1
        self.reached[order] = sequence


@dataclass(frozen=True)
class Target:
    name: str
    settings: dict[str, str]
    stream: EventStream
    send_alone: Callable[[list[bytes]], Awaitable[None]]


async def written(sessions: Sessions, statement: TextClause, count: int) -> float:
    """How long it takes to write so many events, a thousand in each transaction."""
    began = time.perf_counter()
    for _ in range(count // AT_ONCE):
        keys = [str(uuid4()) for _ in range(AT_ONCE // EVENTS_OF_AN_ORDER)]
        async with sessions.begin() as session:
            await session.execute(statement, {"keys": keys, "each": EVENTS_OF_AN_ORDER})
    return time.perf_counter() - began


async def sent(target: Target, body: bytes, count: int) -> float:
    """How long it takes to send as many bodies, and nothing else."""
    began = time.perf_counter()
    for _ in range(count // AT_ONCE):
        await target.send_alone([body] * AT_ONCE)
    return time.perf_counter() - began


@asynccontextmanager
async def relay(environment: Mapping[str, str], directory: Path) -> AsyncIterator[Callable[[], None]]:
    """A worker of the events queue, and how it is killed."""
    ready = directory / f"{uuid4().hex}.ready"
    worker = process(
        *("cli", "worker", "events"),
        environment={**environment, "APP_READY_FILE": str(ready)},
        ready=ready.exists,
        log=directory / "relay.log",
    )
    child = await asyncio.to_thread(worker.__enter__)
    try:
        yield lambda: kill_session(child.pid)
    finally:
        await asyncio.to_thread(worker.__exit__, None, None, None)


async def carried(
    sessions: Sessions, name: str, environment: Mapping[str, str], directory: Path, *, count: int, kills: int
) -> float:
    """How long it takes until so many are carried, from the first one; the relay is killed so often in between."""
    first = await place(sessions, name, otherwise=await place(sessions, PUBLISHED, otherwise=0))
    began, reached, reached_at = 0.0, first, time.perf_counter()
    for killed in range(kills + 1):
        async with relay(environment, directory) as kill:
            while (now := await place(sessions, name, otherwise=first)) < first + count * (killed + 1) // (kills + 1):
                if now > reached:
                    reached, reached_at = now, time.perf_counter()
                    began = began or reached_at
                elif time.perf_counter() - reached_at > LONGEST_STANDSTILL_SECONDS:
                    raise TimeoutError(f"nothing was carried behind event {now}; see {directory}/relay.log")
                await asyncio.sleep(0.01)
            kill()
    return time.perf_counter() - began


async def place(sessions: Sessions, name: str, *, otherwise: int) -> int:
    """How far the stream has the events; nothing is there before it begins."""
    async with sessions() as session:
        found = await session.scalar(text("SELECT position FROM event_cursors WHERE name = :name"), {"name": name})
    return int(found or otherwise)


async def heard(stream: EventStream, at_least: int) -> Found:
    """All that the stream has; whatever is missing after ten minutes is lost."""
    found, before, ends_at = Found(), -1, time.monotonic() + 600

    async def listen() -> None:
        async for event in stream.read("beginning"):
            found.hear(event)

    listening = asyncio.create_task(listen())
    while found.events > before or (len(found.bodies) < at_least and time.monotonic() < ends_at):
        before = found.events
        await asyncio.sleep(3)
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    return found


async def a_body(sessions: Sessions) -> bytes:
    """As large as what the relay sends."""
    async with sessions() as session:
        payload = await session.scalar(text("SELECT payload FROM plain LIMIT 1"))
    envelope = {"id": str(uuid4()), "partitionkey": str(uuid4()), "dataschema": "https://shop.example/" + "x" * 400}
    return json.dumps({**envelope, "data": payload}).encode()


@asynccontextmanager
async def targets(stack: embedded.Running, directory: Path) -> AsyncIterator[list[Target]]:
    async with AsyncExitStack() as exits:
        redis = Redis.from_url(stack.cache_url)
        exits.push_async_callback(redis.aclose)
        await redis.config_set("maxmemory", 0)  # a stream that is forgotten could not be counted
        [port] = free_ports(1)
        await exits.enter_async_context(with_topic(port, directory / "kafka.log"))
        kafka = KafkaStream(KafkaCluster(servers=f"127.0.0.1:{port}", topic=TOPIC, is_idempotent=False))
        alone = KafkaStream(KafkaCluster(servers=f"127.0.0.1:{port}", topic="alone", is_idempotent=False))
        stream = RedisStream(stack.cache_url, name="sutler:events", max_length=10**9)
        for opened_here in (kafka, alone, stream):
            exits.push_async_callback(opened_here.aclose)

        async def add_alone(bodies: list[bytes]) -> None:
            async with redis.pipeline(transaction=False) as together:
                for body in bodies:
                    together.xadd("alone", {"key": "order", "event": body})
                await together.execute()

        async def produce_alone(bodies: list[bytes]) -> None:
            await alone.send([Message(position=0, key=str(n), body=body, at_ms=0) for n, body in enumerate(bodies)])

        yield [
            Target("redis", {"APP_EVENTS__MAX_LENGTH": str(10**9)}, stream, add_alone),
            Target(
                "kafka",
                {
                    "APP_EVENTS__DESTINATION": "kafka",
                    "APP_EVENTS__KAFKA_SERVERS": f"127.0.0.1:{port}",
                    "APP_EVENTS__KAFKA_IS_IDEMPOTENT": "false",
                },
                kafka,
                produce_alone,
            ),
        ]


@dataclass(frozen=True)
class Round:
    inserts: float
    sends: float


async def main(count: int, kills: int) -> None:
    console = Console()
    table = Table(title=f"{count:,} events through outbox and relay, beside plain inserts and bare sends")
    for column in ("to", "what", "inserts/s", "sends/s", "both/s", "of the floor", "lost", "twice", "out of order"):
        table.add_column(column, justify="left" if column in ("to", "what") else "right")
    with embedded.stack() as stack, TemporaryDirectory() as folder:
        await asyncio.to_thread(migrated, stack.database)
        settings = Settings(database=stack.database)
        async with (
            opened(settings) as resources,
            opened(settings.model_copy(update={"database": owners(settings)})) as owner,
            targets(stack, Path(folder)) as places,
        ):
            async with owner.sessions.begin() as session:
                await session.execute(text(PLAIN_TABLE))
            for target in places:
                async with owner.sessions.begin() as session:
                    await session.execute(text("TRUNCATE plain, outbox"))
                floor_inserts = await written(owner.sessions, PLAIN, count)
                floor = Round(floor_inserts, await sent(target, await a_body(owner.sessions), count))
                environment = {**stack.environment, **target.settings, "APP_LOG_LEVEL": "WARNING"}
                rounds = []
                for killed in (0, kills):
                    inserts = await written(resources.sessions, TELL, count)
                    sends = await carried(
                        resources.sessions, target.name, environment, Path(folder), count=count, kills=killed
                    )
                    rounds.append(Round(inserts, sends))
                found = await heard(target.stream, at_least=len(rounds) * count)
                tell(table, target.name, count, kills, floor, rounds, found)
    console.print(table)
    console.print(f"Written to {keep_text(table, 'relay')}")


def owners(settings: Settings) -> Any:
    return settings.database.model_copy(update={"url": settings.database.owner_url})


def tell(table: Table, name: str, count: int, kills: int, floor: Round, rounds: list[Round], found: Found) -> None:
    def rates(each: Round) -> list[str]:
        both = count / (each.inserts + each.sends)
        of_floor = both / (count / (floor.inserts + floor.sends))
        return [f"{count / each.inserts:,.0f}", f"{count / each.sends:,.0f}", f"{both:,.0f}", f"{of_floor:.2f}"]

    undisturbed, disturbed = rounds
    lost = len(rounds) * count - len(found.bodies)
    twice = found.events - len(found.bodies)
    table.add_row(name, "floor", *rates(floor))
    table.add_row(name, "outbox and relay", *rates(undisturbed))
    table.add_row(name, f"killed {kills} times", *rates(disturbed), f"{lost}", f"{twice}", f"{found.out_of_order}")
    assert (lost, found.out_of_order, found.other_bodies) == (0, 0, 0), found


if __name__ == "__main__":
    wanted = [int(number) for number in sys.argv[1:]]
    uvloop.run(main(*[*wanted, *(1_000_000, 20)[len(wanted) :]]))
