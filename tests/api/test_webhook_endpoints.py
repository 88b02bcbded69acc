"""Outgoing webhooks as operators have them: endpoints, secrets, what was sent, and sending it again."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import text
from standardwebhooks import Webhook, WebhookVerificationError
from typer.testing import CliRunner

from cli import app
from domain.customers import Role
from runtime.resources import Resources
from tests.api.test_operators import is_problem
from tests.support.receiver import Receiver, a_receiver
from tests.support.staff import headers_of
from tests.support.waiting import eventually

ENDPOINTS = "/v1/admin/webhook-endpoints"
DELIVERIES = "/v1/admin/webhook-deliveries"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with a_receiver() as listening:
        yield listening


class Desk:
    """An operator's calls about webhooks."""

    def __init__(self, api: httpx.AsyncClient, headers: dict[str, str]) -> None:
        self.api = api
        self.headers = headers

    async def ask(self, method: str, path: str, body: Any = None, **query: Any) -> httpx.Response:
        return await self.api.request(method, path, json=body, params=query, headers=self.headers)

    async def make(self, url: str, *types: str) -> dict[str, Any]:
        answer = await self.ask("POST", ENDPOINTS, {"url": url, "event_types": types, "description": "a test"})
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def ping(self, endpoint: str) -> dict[str, Any]:
        """The ping's delivery, once it has ended."""
        asked = await self.ask("POST", f"{ENDPOINTS}/{endpoint}/ping")
        assert asked.status_code == 202, asked.text
        path = f"{DELIVERIES}/{asked.json()['delivery_id']}"

        async def has_ended() -> bool:
            return bool((await self.ask("GET", path)).json()["ended_at"])

        await eventually(has_ended)
        delivery: dict[str, Any] = (await self.ask("GET", path)).json()
        return delivery


@pytest.fixture
async def desk(api: httpx.AsyncClient, operator: dict[str, str], resources: Resources) -> AsyncIterator[Desk]:
    """Afterwards none of its endpoints is left."""
    made = Desk(api, operator)
    yield made
    async with resources.sessions.begin() as session:
        await session.execute(text("DELETE FROM webhook_endpoints WHERE description = 'a test'"))


async def test_an_endpoint_is_made_seen_changed_and_removed(
    desk: Desk, receiver: Receiver, resources: Resources
) -> None:
    made = await desk.make(receiver.url, "order.shipped", "order.confirmed", "order.shipped")

    assert made["secret"].startswith("whsec_")
    shown = (await desk.ask("GET", f"{ENDPOINTS}/{made['id']}")).json()
    assert shown == {name: value for name, value in made.items() if name != "secret"}
    assert shown == {
        "id": made["id"],
        "url": receiver.url,
        "description": "a test",
        "event_types": ["order.confirmed", "order.shipped"],
        "status": "active",
        "pause_reason": None,
        "paused_at": None,
        "failures": 0,
        "failing_since": None,
        "created_at": made["created_at"],
    }
    async with resources.sessions() as session:
        kept = await session.scalar(
            text("SELECT sealed_secret FROM webhook_secrets WHERE endpoint_id = :id"), {"id": UUID(made["id"])}
        )
    assert made["secret"].encode() not in kept

    changed = await desk.ask("PATCH", f"{ENDPOINTS}/{made['id']}", {"event_types": [], "status": "disabled"})
    assert (changed.status_code, changed.json()) == (200, {**shown, "event_types": [], "status": "disabled"})
    removed = await desk.ask("DELETE", f"{ENDPOINTS}/{made['id']}")
    assert removed.status_code == 204
    is_problem(await desk.ask("GET", f"{ENDPOINTS}/{made['id']}"), 404, "not_found")


async def test_endpoints_are_found_by_the_events_that_they_want(desk: Desk, receiver: Receiver) -> None:
    shipped = await desk.make(receiver.url, "order.shipped")
    everything = await desk.make(receiver.url)
    cancelled = await desk.make(receiver.url, "order.cancelled")
    await desk.ask("PATCH", f"{ENDPOINTS}/{cancelled['id']}", {"status": "disabled"})

    async def found(**query: str) -> set[str]:
        answer = await desk.ask("GET", ENDPOINTS, limit=100, **query)
        return {item["id"] for item in answer.json()["items"]} & {shipped["id"], everything["id"], cancelled["id"]}

    assert await found(event_type="order.shipped") == {shipped["id"], everything["id"]}
    assert await found(status="disabled") == {cancelled["id"]}
    assert await found(event_type="order.shipped", status="disabled") == set()


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"url": "ftp://partner.example/hook"}, "/url"),
        ({"url": "https://user:word@partner.example"}, "/url"),
        ({"url": "https://nobody.invalid"}, "/url"),
        ({"url": "nonsense"}, "/url"),
        ({"url": "http://127.0.0.1:1", "event_types": ["order.eaten"]}, "/event_types"),
    ],
)
async def test_what_cannot_be_told_of_anything_is_no_endpoint(desk: Desk, body: dict[str, Any], pointer: str) -> None:
    before = (await desk.ask("GET", ENDPOINTS, limit=100)).json()["items"]

    wrong = is_problem(await desk.ask("POST", ENDPOINTS, body), 422, "validation_failed")["errors"]

    assert [each["pointer"] for each in wrong] == [pointer]
    assert [item["id"] for item in (await desk.ask("GET", ENDPOINTS, limit=100)).json()["items"]] == [
        item["id"] for item in before
    ]


async def test_a_ping_arrives_signed_and_its_log_says_what_came_of_it(desk: Desk, receiver: Receiver) -> None:
    made = await desk.make(receiver.url, "order.shipped")

    delivery = await desk.ping(made["id"])

    [told] = receiver.told
    event = Webhook(made["secret"]).verify(told.body, told.headers)
    assert (event["type"], event["id"], event["subject"]) == (
        "webhook.ping",
        told.id,
        f"webhook-endpoints/{made['id']}",
    )
    assert (delivery["status"], delivery["attempts"], delivery["status_code"], delivery["event"]) == (
        "delivered",
        1,
        200,
        event,
    )
    [attempt] = delivery["log"]
    assert (attempt["number"], attempt["said"], attempt["problem"]) == (1, "thank you", None)
    assert attempt["milliseconds"] == delivery["milliseconds"] >= 0

    again = await desk.ask("POST", f"{DELIVERIES}/{delivery['id']}/redeliver")
    assert again.status_code == 202
    await eventually(lambda: has_heard(receiver, 2))
    assert (receiver.told[1].id, receiver.told[1].body) == (told.id, told.body)


async def has_heard(receiver: Receiver, times: int) -> bool:
    return len(receiver.told) >= times


async def test_a_ping_that_is_refused_is_tried_once(desk: Desk, receiver: Receiver) -> None:
    receiver.answers, receiver.says = (lambda _: 500), "x" * 5000
    made = await desk.make(receiver.url)

    delivery = await desk.ping(made["id"])

    assert (delivery["status"], delivery["attempts"], delivery["status_code"]) == ("given_up", 1, 500)
    assert delivery["log"][0]["said"] == "x" * 1000
    log = (await desk.ask("GET", f"{ENDPOINTS}/{made['id']}/deliveries", status="given_up")).json()["items"]
    assert delivery["id"] in {item["id"] for item in log}
    assert (await desk.ask("GET", f"{ENDPOINTS}/{made['id']}")).json()["failures"] >= 1


async def test_while_a_secret_is_rotated_both_sign_and_a_lost_answer_takes_none_away(
    desk: Desk, receiver: Receiver
) -> None:
    made = await desk.make(receiver.url, "order.shipped")
    path = f"{ENDPOINTS}/{made['id']}/rotate-secret"
    lost, second = [(await desk.ask("POST", path, {})).json() for _ in range(2)]
    lasts = datetime.fromisoformat(second["others_end_at"]) - datetime.fromisoformat(lost["others_end_at"])
    assert timedelta() <= lasts < timedelta(minutes=5)

    await desk.ping(made["id"])
    for secret in (made["secret"], lost["secret"], second["secret"]):
        Webhook(secret).verify(receiver.told[0].body, receiver.told[0].headers)
    at_once = (await desk.ask("POST", path, {"overlap_hours": 0})).json()
    await desk.ping(made["id"])

    Webhook(at_once["secret"]).verify(receiver.told[1].body, receiver.told[1].headers)
    for secret in (made["secret"], lost["secret"], second["secret"]):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(receiver.told[1].body, receiver.told[1].headers)
    for _ in range(4):
        assert (await desk.ask("POST", path, {})).status_code == 200
    is_problem(await desk.ask("POST", path, {}), 409, "too_many_webhook_secrets")


async def test_nothing_is_sent_to_a_disabled_endpoint(desk: Desk, receiver: Receiver) -> None:
    made = await desk.make(receiver.url)
    await desk.ask("PATCH", f"{ENDPOINTS}/{made['id']}", {"status": "disabled"})

    for path, body in (("ping", None), ("replay", {"begin": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z"})):
        refused = await desk.ask("POST", f"{ENDPOINTS}/{made['id']}/{path}", body)
        is_problem(refused, 409, "webhook_endpoint_disabled")
    assert receiver.told == []


async def test_only_staff_that_may_says_who_is_told(
    api: httpx.AsyncClient, resources: Resources, receiver: Receiver
) -> None:
    support = Desk(api, await headers_of(resources, Role.SUPPORT))

    is_problem(await support.ask("GET", ENDPOINTS), 403, "forbidden")
    is_problem(await support.ask("POST", ENDPOINTS, {"url": receiver.url}), 403, "forbidden")
    is_problem(await Desk(api, {}).ask("GET", ENDPOINTS), 401, "unauthenticated")


async def test_what_is_done_with_endpoints_is_in_the_audit_log(
    desk: Desk, receiver: Receiver, resources: Resources
) -> None:
    made = await desk.make(receiver.url)
    await desk.ask("PATCH", f"{ENDPOINTS}/{made['id']}", {"description": "a test"})
    await desk.ask("POST", f"{ENDPOINTS}/{made['id']}/rotate-secret", {})
    await desk.ask("DELETE", f"{ENDPOINTS}/{made['id']}")

    async with resources.sessions() as session:
        rows = await session.execute(
            text("SELECT action, note FROM audit_log WHERE note LIKE :id || '%' ORDER BY id"), {"id": made["id"]}
        )
        found = rows.all()
    assert [row.action for row in found] == [
        "webhook.create",
        "webhook.change",
        "webhook.rotate_secret",
        "webhook.remove",
    ]
    assert not any("whsec_" in row.note for row in found)


async def test_metrics_say_what_waits_and_how_it_stands_with_endpoints(api: httpx.AsyncClient) -> None:
    told = (await api.get("/metrics")).text

    assert "sutler_webhook_deliveries_waiting " in told
    assert "sutler_webhook_oldest_waiting_seconds " in told
    assert 'sutler_webhook_endpoints{status="paused"} ' in told


async def test_the_terminal_shows_pings_and_sends_again(
    desk: Desk, receiver: Receiver, operator: dict[str, str]
) -> None:
    made = await desk.make(receiver.url, "order.shipped")
    token = operator["Authorization"].removeprefix("Bearer ")

    async def sutler(*arguments: str) -> tuple[int, str]:
        told = await asyncio.to_thread(CliRunner().invoke, app, ["webhooks", *arguments, "--token", token])
        return told.exit_code, told.output

    code, told = await sutler("ping", made["id"])
    assert code == 0, told
    assert told.startswith("Taken: 200 in ")
    code, told = await sutler("list")
    assert code == 0
    assert receiver.url in told.replace("\n", "")
    code, told = await sutler("show", made["id"])
    assert (code, "webhook.ping" in told) == (0, True)
    [delivery] = (await desk.ask("GET", f"{ENDPOINTS}/{made['id']}/deliveries")).json()["items"]
    code, told = await sutler("redeliver", delivery["id"])
    assert (code, told) == (0, "It is sent again, with the same id and body.\n")
    await eventually(lambda: has_heard(receiver, 2))
    receiver.answers = lambda _: 404
    code, told = await sutler("ping", made["id"])
    assert (code, "Not taken: 404 in " in told) == (1, True)
    hour = ("--from", "2020-01-01T00:00:00Z", "--to", "2020-01-01T01:00:00Z")
    code, told = await sutler("replay", made["id"], *hour)
    assert (code, told) == (0, "0 events are sent again, with the same ids and bodies.\n")
    unknown = await sutler("ping", str(uuid4()))
    assert unknown[0] == 1
