"""The relay: events of the outbox get their places and are carried to the stream, in their order.

What is promised: at least once. How far the stream has them is written after it has said so; a worker that dies between
the two sends the last bundle again, with the same ids. While one carries, the cursor is locked, so nobody overtakes it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from time import time_ns
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import Counter
from sqlalchemy import URL
from temporalio import activity

from activities.heartbeats import heard_of
from db import outbox
from db.engine import Sessions, bit_by_bit
from db.listening import Listening
from db.waiting import ended
from domain.events import CarryEvents, Destination, EventsCarried, Published, as_bytes, cursor_of
from providers.events import EventStream, Message
from workflows.steps import events as steps

EVENTS = Counter("sutler_events_total", "What has happened, by the events that tell of it", ["type"])

tracer = trace.get_tracer("sutler.events")
IN_TRACE = TraceContextTextMapPropagator()

BUNDLE = 1000
PLACED_FIRST = 10
"""So many bundles get their places before one is carried: who reads the feed does not wait for the stream, and who
reads the stream does not wait until the whole of a long backlog has its places."""
LONGEST_SLEEP_SECONDS = 1.0
"""An event that is committed while the relay goes to sleep wakes nobody: it waits for so long."""
GATHERING_SECONDS = 0.03
"""One thing that happens tells several events within a moment: whoever is woken by the first takes them together."""
SEND_SECONDS = 30.0


class EventActivities:
    def __init__(
        self,
        sessions: Sessions,
        open_stream: Callable[[], EventStream],
        *,
        destination: Destination,
        source: str,
        kept: timedelta,
        news: tuple[URL, str],
    ) -> None:
        """``news``: where, and in which schema, the database tells that there are events."""
        self._sessions = sessions
        self._open_stream = open_stream
        self._cursor = cursor_of(destination)
        self._source = source
        self._kept = kept
        self._news = news

    @steps.carry.performed_by
    async def carry(self, request: CarryEvents) -> EventsCarried:
        """Until the shift is over or the worker stops; whatever waits then is carried by the next one."""
        loop = asyncio.get_running_loop()
        ends_at, carried = loop.time() + request.seconds, 0
        async with heard_of(), self._woken() as woken, self._stream() as stream:
            await self._forget()
            while loop.time() < ends_at and not activity.is_worker_shutdown():
                told = await self.carry_a_bundle(stream)
                carried += told
                if told < BUNDLE:
                    await self._sleep(woken)
        return EventsCarried(events=carried)

    async def carry_a_bundle(self, stream: EventStream | None) -> int:
        """What was committed gets its place, also while the stream is away; how many events were done."""
        published = bundle = await self._publish()
        while bundle == BUNDLE and published < PLACED_FIRST * BUNDLE:
            bundle = await self._publish()
            published += bundle
        if stream is None or self._cursor is None:
            return published
        async with self._sessions.begin() as session:
            after = await outbox.begin_carrying(session, self._cursor)
            events = await outbox.published(session, after=after, most=BUNDLE)
            if events:
                began = time_ns()
                async with asyncio.timeout(SEND_SECONDS):
                    await stream.send([self._message(event) for event in events])
                self._tell_the_traces(events, began)
                await outbox.carried(session, self._cursor, up_to=events[-1].position)
        return len(events)

    async def _publish(self) -> int:
        """Each event has its place once, and is counted once, after it has become true."""
        async with self._sessions.begin() as session:
            published = await outbox.publish(session, most=BUNDLE)
        for happened, times in published.items():
            EVENTS.labels(happened).inc(times)
        return published.total()

    def _message(self, event: Published) -> Message:
        body, at_ms = as_bytes(event, self._source), int(event.at.timestamp() * 1000)
        return Message(position=event.position, key=event.key, body=body, at_ms=at_ms)

    def _tell_the_traces(self, events: Sequence[Published], began: int) -> None:
        """Each event has come to the stream in the trace in which it happened."""
        for event in events:
            if event.traceparent is not None:
                span = tracer.start_span(
                    f"publish {event.type}",
                    IN_TRACE.extract({"traceparent": event.traceparent}),
                    kind=SpanKind.PRODUCER,
                    attributes={"messaging.operation.name": "publish", "cloudevents.event_type": event.type}
                    | {"messaging.system": str(self._cursor), "messaging.message.id": str(event.id)},
                    start_time=began,
                )
                span.end()

    async def _forget(self) -> None:
        """Events that were carried so long ago that nobody asks for them again."""
        await bit_by_bit(self._sessions, partial(outbox.forget, name=self._cursor, kept=self._kept, most=BUNDLE))

    async def _sleep(self, woken: asyncio.Event) -> None:
        """Until an event wakes us. What was committed before we asked to be woken is seen first."""
        woken.clear()
        async with self._sessions.begin() as session:
            await outbox.wait(session, is_waiting=True)
        if not await self._publish():
            await _first_of(woken.wait(), activity.wait_for_worker_shutdown(), within=LONGEST_SLEEP_SECONDS)
            await asyncio.sleep(GATHERING_SECONDS)
        async with self._sessions.begin() as session:
            await outbox.wait(session, is_waiting=False)

    @asynccontextmanager
    async def _woken(self) -> AsyncIterator[asyncio.Event]:
        waking = Waking()
        url, shop_schema = self._news
        listening = asyncio.create_task(Listening(url, outbox.wakes(shop_schema, waking)).run())
        try:
            yield waking.woken
        finally:
            await ended(listening)

    @asynccontextmanager
    async def _stream(self) -> AsyncIterator[EventStream | None]:
        if self._cursor is None:
            yield None
            return
        stream = self._open_stream()
        try:
            yield stream
        finally:
            await stream.aclose()


class Waking:
    """Hears that there are events."""

    def __init__(self) -> None:
        self.woken = asyncio.Event()

    async def begin(self) -> None:
        self.woken.set()

    def hear(self, _: None, /) -> None:
        self.woken.set()

    def lose(self) -> None:
        """The shortest sleep is the longest one meanwhile."""


async def _first_of(*events: Coroutine[Any, Any, Any], within: float) -> None:
    waiting = [asyncio.create_task(event) for event in events]
    await asyncio.wait(waiting, timeout=within, return_when=asyncio.FIRST_COMPLETED)
    await ended(*waiting)
