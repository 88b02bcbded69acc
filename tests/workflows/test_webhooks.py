"""Outgoing webhooks: receivers that are away, dead, gone or choosy, and what they have heard in the end."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import text

from db import outbox, webhook_deliveries, webhooks
from domain.webhooks import PAUSES, EndpointStatus
from runtime.databases import migrated
from runtime.resources import Resources, opened
from runtime.settings import Settings
from tests.support.events import tell
from tests.support.receiver import Receiver, a_receiver, takes_all
from tests.support.waiting import eventually
from tests.support.webhooks import SOURCE, PatientWebhooks, an_endpoint, patient_webhooks
from workflows.names import webhook_delivery_id

HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
async def own(settings: Settings) -> AsyncIterator[Resources]:
    """A shop of its own, where nobody else publishes events or hands them out."""
    database = settings.database.model_copy(update={"shop_schema": f"webhooks_{uuid4().hex[:8]}"})
    await asyncio.to_thread(migrated, database)
    async with opened(settings.model_copy(update={"database": database})) as resources:
        yield resources


@pytest.fixture(scope="module")
async def patient(own: Resources) -> AsyncIterator[PatientWebhooks]:
    async with patient_webhooks(own) as opened_shop:
        yield opened_shop


@pytest.fixture
async def receiver(patient: PatientWebhooks) -> AsyncIterator[Receiver]:
    """Afterwards no endpoint is left, so stories of other tests that rest end when they wake."""
    async with a_receiver() as listening:
        yield listening
    async with patient.resources.sessions.begin() as session:
        await session.execute(text("DELETE FROM webhook_endpoints"))
        await session.execute(text("DELETE FROM webhook_messages"))


async def is_over(patient: PatientWebhooks, endpoint: UUID, key: str) -> bool:
    story = patient.environment.client.get_workflow_handle(webhook_delivery_id(endpoint, key))
    described = await story.describe()
    return described.status is not None and described.status.name == "COMPLETED"


@pytest.mark.matrix("events: a webhook endpoint is away for hours")
async def test_a_receiver_that_was_off_for_six_hours_gets_all_of_it_in_order_and_again_when_it_is_replayed(
    patient: PatientWebhooks, receiver: Receiver
) -> None:
    endpoint = await an_endpoint(patient.resources, receiver.url)
    receiver.answers = lambda _: 503
    began = datetime.now(UTC)
    async with a_receiver() as healthy:
        other = await an_endpoint(patient.resources, healthy.url)
        keys = await patient.tell(orders=3, each=4)
        await patient.pass_time(HOUR)
        keys += await patient.tell(orders=12, each=3)
        await patient.pass_time(5 * HOUR)

        await patient.all_sent(other)  # while the first is dead
        assert (await patient.endpoint(other)).status == "active"
    assert (await patient.endpoint(endpoint)).status == "paused"
    assert receiver.taken == []
    receiver.answers = takes_all
    await patient.pass_time(HOUR)
    await patient.all_sent(endpoint)

    assert (await patient.endpoint(endpoint)).status == "active"
    first = list(receiver.taken)
    assert len({told.id for told in first}) == len(first) == 3 * 4 + 12 * 3
    assert [receiver.sequences(key) for key in keys] == [[1, 2, 3, 4]] * 3 + [[1, 2, 3]] * 12
    tried = {told.id: told.body for told in receiver.told if told.status == 503}
    assert tried
    assert all(told.body == tried[told.id] for told in first if told.id in tried)

    receiver.told.clear()
    async with patient.resources.sessions.begin() as session:
        events = await webhook_deliveries.replay(
            session, endpoint, "https://moved.example", begin=began, end=datetime.now(UTC), most=100
        )
    await patient.all_sent(endpoint)

    assert events == len(first)
    assert {told.id: told.body for told in receiver.told} == {told.id: told.body for told in first}
    assert all(receiver.sequences(key) == [1, 2, 3, 4] for key in keys[:3])


async def test_no_event_overtakes_an_earlier_one_of_its_order(patient: PatientWebhooks, receiver: Receiver) -> None:
    endpoint = await an_endpoint(patient.resources, receiver.url)
    tries = 0

    def refuses_the_second_twice(event: dict[str, Any]) -> int:
        nonlocal tries
        if event["sequence"] == "2" and tries < 2:
            tries += 1
            return 500
        return 200

    receiver.answers = refuses_the_second_twice
    [key] = await patient.tell(orders=1, each=4)
    await patient.pass_time(timedelta(minutes=1))
    await patient.all_sent(endpoint)

    assert [(int(told.event["sequence"]), told.status) for told in receiver.told] == [
        (1, 200),
        (2, 500),
        (2, 500),
        (2, 200),
        (3, 200),
        (4, 200),
    ]
    rows = await patient.log(endpoint)
    assert [row["attempts"] for row in rows] == [1, 3, 1, 1]
    log = (await patient.details(rows[1]["id"]))["log"]
    assert [(attempt["number"], attempt["status_code"], attempt["said"]) for attempt in log] == [
        (1, 500, "thank you"),
        (2, 500, "thank you"),
        (3, 200, "thank you"),
    ]
    assert log[1]["at"] - log[0]["at"] >= timedelta(seconds=5)
    await eventually(lambda: is_over(patient, endpoint, key))


async def test_an_event_that_is_never_taken_is_given_up_after_three_days_and_the_next_ones_follow(
    patient: PatientWebhooks, receiver: Receiver
) -> None:
    endpoint = await an_endpoint(patient.resources, receiver.url)
    before = ended()
    poisoned, other = await tell(patient.resources.sessions, orders=2, each=2)
    receiver.answers = lambda event: 422 if (event["partitionkey"], event["sequence"]) == (poisoned, "1") else 200
    for _ in range(50):
        await patient.hand_out()
        await patient.pass_time(2 * HOUR)

    rows = [(row["key"], row["status"], row["attempts"]) for row in await patient.log(endpoint)]

    assert rows == [
        (poisoned, "given_up", len(PAUSES) + 1),
        (other, "delivered", 1),
        (poisoned, "delivered", 1),
        (other, "delivered", 1),
    ]
    assert (receiver.sequences(poisoned), receiver.sequences(other)) == ([2], [1, 2])
    assert [after - then for after, then in zip(ended(), before, strict=True)] == [3, 1]
    given_up = next(row["id"] for row in await patient.log(endpoint) if row["status"] == "given_up")
    log = (await patient.details(given_up))["log"]
    assert log[-1]["at"] - log[0]["at"] >= timedelta(hours=72)
    assert (await patient.endpoint(endpoint)).status == "active"

    receiver.answers = takes_all
    async with patient.resources.sessions.begin() as session:
        await webhook_deliveries.redeliver(session, given_up)
    await patient.all_sent(endpoint)
    assert receiver.sequences(poisoned) == [2, 1]  # a person asked for it


def ended() -> list[float]:
    """How many deliveries were counted that were taken, and that were given up."""
    counted = (
        REGISTRY.get_sample_value("sutler_webhook_deliveries_total", {"outcome": outcome})
        for outcome in ("delivered", "given_up")
    )
    return [number or 0.0 for number in counted]


@pytest.mark.parametrize("way", ["probe", "person", "ping"])
async def test_an_endpoint_that_says_that_it_is_gone_is_left_alone_until_it_is_back(
    patient: PatientWebhooks, receiver: Receiver, way: str
) -> None:
    endpoint = await an_endpoint(patient.resources, receiver.url)
    receiver.answers = lambda _: 410
    keys = await patient.tell(orders=1, each=2)
    await eventually(lambda: is_over(patient, endpoint, keys[0]))
    keys += await patient.tell(orders=1, each=2)

    paused = await patient.endpoint(endpoint)
    assert (paused.status, paused.pause_reason) == ("paused", "gone")
    assert {told.status for told in receiver.told} == {410}

    receiver.answers = takes_all
    async with patient.resources.sessions.begin() as session:
        if way == "person":
            await webhooks.change(session, endpoint, {"status": EndpointStatus.ACTIVE})
        if way == "ping":
            await webhook_deliveries.ping(session, endpoint, SOURCE, datetime.now(UTC))
    if way == "probe":
        await patient.pass_time(timedelta(minutes=3))
    await patient.all_sent(endpoint)

    back = await patient.endpoint(endpoint)
    assert (back.status, back.pause_reason, back.failures) == ("active", None, 0)
    assert [receiver.sequences(key) for key in keys] == [[1, 2], [1, 2]]
    assert [told.event["type"] for told in receiver.taken].count("webhook.ping") == (way == "ping")


async def test_a_disabled_endpoint_is_sent_nothing_and_a_removed_one_is_forgotten(
    patient: PatientWebhooks, receiver: Receiver
) -> None:
    endpoint = await an_endpoint(patient.resources, receiver.url)
    async with patient.resources.sessions.begin() as session:
        await webhooks.change(session, endpoint, {"status": EndpointStatus.DISABLED})
    await patient.tell(orders=1, each=2)
    assert await patient.log(endpoint) == []

    receiver.answers = lambda _: 500
    other = await an_endpoint(patient.resources, receiver.url)
    [key] = await patient.tell(orders=1, each=2)
    await eventually(lambda: _awaits(receiver, 1))
    async with patient.resources.sessions.begin() as session:
        await webhooks.remove(session, other)
    await patient.pass_time(HOUR)

    await eventually(lambda: is_over(patient, other, key))
    assert len(receiver.told) <= 2


async def _awaits(receiver: Receiver, requests: int) -> bool:
    return len(receiver.told) >= requests


async def test_what_was_handed_out_to_a_story_that_is_gone_is_handed_out_again_by_the_next_shift(
    patient: PatientWebhooks, receiver: Receiver
) -> None:
    endpoint = await an_endpoint(patient.resources, receiver.url, "order.payment_renewed")
    sessions = patient.resources.sessions
    await tell(sessions, orders=2, each=1)
    async with sessions.begin() as session:
        await outbox.publish(session, most=100)
    while await patient.activities.write_down():
        pass
    async with sessions.begin() as session:
        lanes = await webhook_deliveries.hand_out(session, most_underway=1)
        others = await webhook_deliveries.hand_out(session, most_underway=1)
    assert (len(lanes), others) == (1, [])  # and then the worker dies

    async with sessions.begin() as session:
        await webhook_deliveries.take_back(session)
    await patient.all_sent(endpoint)

    assert len(receiver.taken) == 2


async def test_what_was_sent_is_forgotten_after_a_month_and_what_waits_is_not(
    patient: PatientWebhooks, receiver: Receiver
) -> None:
    endpoint = await an_endpoint(patient.resources, receiver.url)
    sessions = patient.resources.sessions
    receiver.answers = lambda event: 200 if event["sequence"] == "1" else 500
    await patient.tell(orders=1, each=2)
    await eventually(lambda: _awaits(receiver, 2))
    await patient.pass_time(timedelta(seconds=20))
    async with sessions.begin() as session:
        await session.execute(
            text("UPDATE webhook_deliveries SET ended_at = now() - interval '31 days' WHERE ended_at IS NOT NULL")
        )
        await session.execute(text("UPDATE webhook_deliveries SET asked_at = asked_at - interval '31 days'"))

    async with sessions.begin() as session:
        gone = await webhook_deliveries.forget(session, kept=timedelta(days=30), most=100)

    assert gone == 1
    assert [row["status"] for row in await patient.log(endpoint)] == ["waiting"]
    async with sessions() as session:
        assert await session.scalar(text("SELECT count(*) FROM webhook_messages")) == 1


async def test_an_endpoint_is_told_of_what_it_names_from_then_on(patient: PatientWebhooks, receiver: Receiver) -> None:
    await patient.tell(orders=1, each=3)
    endpoint = await an_endpoint(patient.resources, receiver.url, "order.payment_renewed")
    picky = await an_endpoint(patient.resources, receiver.url, "order.cancelled")
    [key] = await patient.tell(orders=1, each=1)
    await patient.all_sent(endpoint)

    assert [row["key"] for row in await patient.log(endpoint)] == [key]
    assert await patient.log(picky) == []
