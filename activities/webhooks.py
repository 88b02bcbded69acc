"""Outgoing webhooks: events that have their places are written down for the endpoints that want them, and sent.

What is promised: at least once, each order's events in their order. What is to be sent stands in Postgres before
anybody tries, and what came of it afterwards; a worker that dies between the two has its last event sent again, with
the same id and the same bytes.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from prometheus_client import Counter
from temporalio import activity
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy

from activities.heartbeats import heard_of
from db import webhook_deliveries, webhooks
from db.engine import Sessions, bit_by_bit
from db.webhook_deliveries import Head, LaneId, Noted
from domain.webhooks import (
    MOST_UNDERWAY,
    Answer,
    DeliverEvents,
    DeliverNow,
    DeliveryStatus,
    EndpointStatus,
    HandedOut,
    HandOut,
    Lane,
    Letter,
    Probed,
    ProbeEndpoint,
    ProbeNow,
)
from workflows import names
from workflows.names import Queue
from workflows.steps import webhooks as steps

ENDED = Counter(
    "sutler_webhook_deliveries_total", "Events that endpoints have taken, or were given up for them", ["outcome"]
)
for each in (DeliveryStatus.DELIVERED, DeliveryStatus.GIVEN_UP):
    ENDED.labels(each)  # so that the first of its kind is seen as one more

BUNDLE = 500
PAUSE_SECONDS = 0.25
"""How long an event waits at most to be handed out when there was nothing to do."""
LONGEST_TURN_SECONDS = 120.0
"""After that a story is told how far it is, however much waits."""


class WebhookActivities:
    def __init__(
        self,
        sessions: Sessions,
        engine: Client,
        send: Callable[[Letter], Awaitable[Answer]],
        *,
        source: str,
        kept: timedelta,
    ) -> None:
        self._sessions = sessions
        self._engine = engine
        self._send = send
        self._source = source
        self._kept = kept

    # --- what waits is handed out

    @steps.hand_out.performed_by
    async def hand_out(self, request: HandOut) -> HandedOut:
        """Until the shift is over or the worker stops; whatever waits then is handed out by the next one."""
        loop = asyncio.get_running_loop()
        ends_at, stories = loop.time() + request.seconds, 0
        async with heard_of():
            await self._begin_a_shift()
            while loop.time() < ends_at and not activity.is_worker_shutdown():
                written, begun = await self.write_down(), await self.begin_stories()
                stories += begun
                if not written and not begun:
                    await _worker_stops(within=PAUSE_SECONDS)
        return HandedOut(stories=stories)

    async def _begin_a_shift(self) -> None:
        """What the one before may have left lying is taken up, and what nobody asks for any more goes."""
        async with self._sessions.begin() as session:
            await webhook_deliveries.take_back(session)
            paused = await webhooks.paused(session)
        for endpoint_id in paused:
            await self._begin_to_probe(endpoint_id)
        await bit_by_bit(self._sessions, partial(webhook_deliveries.forget, kept=self._kept, most=BUNDLE))

    async def _begin_to_probe(self, endpoint_id: UUID) -> None:
        """Content when somebody does already. Where this fails, the next shift sees to it."""
        await self._engine.start_workflow(
            "EndpointProbe",
            ProbeEndpoint(endpoint_id=endpoint_id),
            id=names.webhook_probe_id(endpoint_id),
            task_queue=Queue.WEBHOOKS,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        )

    async def write_down(self) -> int:
        """The next published events, for the endpoints that want them; how many events."""
        async with self._sessions.begin() as session:
            return await webhook_deliveries.write_down(session, self._source, most=BUNDLE)

    async def begin_stories(self) -> int:
        """A story for each order whose events wait, or word to the one that there is; how many."""
        async with self._sessions.begin() as session:
            lanes = await webhook_deliveries.hand_out(session, most_underway=MOST_UNDERWAY)
        await asyncio.gather(*(self._begin(lane) for lane in lanes))
        return len(lanes)

    async def _begin(self, lane: LaneId) -> None:
        """A story that is just ending hears the signal, too: the engine does not let it end over one."""
        await self._engine.start_workflow(
            "Delivery",
            DeliverEvents(endpoint_id=lane.endpoint_id, key=lane.key),
            id=names.webhook_delivery_id(lane.endpoint_id, lane.key),
            task_queue=Queue.WEBHOOKS,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            start_signal="more",
        )

    # --- what is sent

    @steps.deliver.performed_by
    async def deliver(self, request: DeliverNow) -> Lane:
        loop = asyncio.get_running_loop()
        began, delivered = loop.time(), 0
        async with heard_of():
            while True:
                now = request.now + timedelta(seconds=loop.time() - began)
                async with self._sessions.begin() as session:
                    head = await webhook_deliveries.head(session, request.endpoint_id, request.key)
                if head is None or not _may_be_sent(head):
                    return Lane(delivered=delivered)
                if head.next_attempt_at is not None and head.next_attempt_at > now:
                    return Lane(delivered=delivered, look_again_at=head.next_attempt_at)
                if loop.time() - began > LONGEST_TURN_SECONDS or activity.is_worker_shutdown():
                    return Lane(delivered=delivered, look_again_at=now)
                answer = await self._send(head.letter)
                noted = await self._note(head.letter, answer, now=now, chance=random.random())  # noqa: S311
                delivered += answer.is_taken
                if noted.is_paused:
                    await self._begin_to_probe(request.endpoint_id)
                    return Lane(delivered=delivered)

    @steps.probe.performed_by
    async def probe(self, request: ProbeNow) -> Probed:
        async with self._sessions.begin() as session:
            head = await webhook_deliveries.to_probe_with(session, request.endpoint_id, self._source, request.now)
        if head is None:
            return Probed(is_paused=False)
        async with heard_of():
            answer = await self._send(head.letter)
        await self._note(head.letter, answer, now=request.now, is_probe=True)
        return Probed(is_paused=not answer.is_taken)

    async def _note(
        self, letter: Letter, answer: Answer, *, now: datetime, chance: float = 0.0, is_probe: bool = False
    ) -> Noted:
        """It is counted once it is written down."""
        async with self._sessions.begin() as session:
            noted = await webhook_deliveries.note(session, letter, answer, now=now, chance=chance, is_probe=is_probe)
        if noted.ended is not None and not letter.is_ping:
            ENDED.labels(noted.ended).inc()
        return noted


def _may_be_sent(head: Head) -> bool:
    """Also to a paused endpoint somebody may send a ping: to see whether it is back."""
    return head.status is EndpointStatus.ACTIVE or (head.status is EndpointStatus.PAUSED and head.letter.is_ping)


async def _worker_stops(*, within: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(within):
            await activity.wait_for_worker_shutdown()
