"""Whoever asks for what has happened gets all of it, in its order, and goes on where they stopped."""

from typing import Any
from uuid import uuid4

import httpx
import pytest

from domain.events import Published, envelope
from runtime.resources import Resources
from tests.db.test_outbox import events_of, publish
from tests.support.catalog import a_product
from tests.support.orders import AnOrder, a_confirmed_order

ABSENT = {"dataschema": None, "sequence": None, "sequencetype": None, "traceparent": None}


@pytest.fixture
async def order(resources: Resources) -> AnOrder:
    product = await a_product(resources.sessions, price="10.00")
    made = await a_confirmed_order(resources.sessions, (product.variant_id, 2))
    await publish(resources)
    return made


@pytest.fixture
def desk(api: httpx.AsyncClient, operator: dict[str, str]) -> httpx.AsyncClient:
    api.headers.update(operator)
    return api


async def feed(desk: httpx.AsyncClient, **query: Any) -> dict[str, Any]:
    answer = await desk.get("/v1/admin/events", params=query)
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


async def test_the_feed_tells_what_the_stream_tells(
    desk: httpx.AsyncClient, resources: Resources, order: AnOrder
) -> None:
    page = await feed(desk, order_id=str(order.order_id))
    source = resources.settings.shop.public_url
    told: list[Published] = await events_of(resources, str(order.order_id))

    assert page["next_cursor"] is None
    assert page["items"] == [{**ABSENT, **envelope(event, source)} for event in told]
    assert [(each["type"], each["sequence"]) for each in page["items"]] == [
        ("order.placed", "1"),
        ("order.confirmed", "2"),
    ]
    assert page["items"][1]["data"]["total"] == {
        "amount": order.total.amount,
        "currency": order.total.currency,
    }
    assert page["items"][1]["data"]["order"]["status"] == "confirmed"


async def test_the_feed_goes_on_behind_the_last_event_and_behind_the_last_page(
    desk: httpx.AsyncClient, resources: Resources, order: AnOrder
) -> None:
    mine = {"order_id": str(order.order_id)}
    first = await feed(desk, limit=1, **mine)
    [placed] = first["items"]

    by_cursor = await feed(desk, cursor=first["next_cursor"], **mine)
    by_event = await feed(desk, after=placed["id"], **mine)

    assert [each["type"] for each in by_cursor["items"]] == ["order.confirmed"]
    assert by_event == by_cursor
    assert await feed(desk, after=by_event["items"][-1]["id"], **mine) == {"items": [], "next_cursor": None}


async def test_the_feed_is_filtered_by_types(desk: httpx.AsyncClient, order: AnOrder) -> None:
    mine = {"order_id": str(order.order_id)}
    page = await feed(desk, type=["order.confirmed", "order.closed"], **mine)

    assert [each["type"] for each in page["items"]] == ["order.confirmed"]
    answer = await desk.get("/v1/admin/events", params={"type": "order.imagined"})
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request")


async def test_an_event_that_is_not_kept_is_nowhere_to_go_on_from(desk: httpx.AsyncClient) -> None:
    answer = await desk.get("/v1/admin/events", params={"after": str(uuid4())})

    assert (answer.status_code, answer.json()["code"]) == (410, "event_gone")


async def test_metrics_say_what_waits(api: httpx.AsyncClient, order: AnOrder) -> None:
    told = (await api.get("/metrics")).text

    assert "sutler_events_waiting " in told
    assert "sutler_events_oldest_waiting_seconds " in told
