"""Parcels on their way: what customers see of them, and what carriers tell the shop."""

import json
from typing import Any
from uuid import uuid4

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import text

from providers.carriers import EasyPostMessages
from runtime.resources import Resources
from tests.api.test_operators import Desk, an_order
from tests.support.catalog import a_product

EASYPOST = EasyPostMessages(SecretStr("easypost-secret"))


@pytest.fixture
async def desk(api: httpx.AsyncClient, operator: dict[str, str]) -> Desk:
    return Desk(api, operator)


async def on_its_way(desk: Desk, order: dict[str, Any], number: str, carrier: str = "UPS") -> str:
    parcel = await desk.packs(order)
    label = {"carrier": carrier, "tracking_number": number}
    answer = await desk.post(f"/fulfillments/{parcel}/ship", label)
    assert answer.status_code == 200, answer.text
    return parcel


async def tell(
    api: httpx.AsyncClient, number: str, status: str, at: str, *, event: str | None = None
) -> httpx.Response:
    tracker = {
        "carrier": "UPS",
        "tracking_code": number,
        "status": status,
        "updated_at": "2026-05-09T12:00:00Z",
        "tracking_details": [{"datetime": at}],
    }
    message = {"id": event or f"evt_{uuid4().hex}", "description": "tracker.updated", "result": tracker}
    body = json.dumps(message).encode()
    headers = {"X-Hmac-Signature": EASYPOST.signature(body).decode(), "Content-Type": "application/json"}
    return await api.post("/v1/webhooks/easypost", content=body, headers=headers)


async def outcomes(resources: Resources, number: str) -> list[tuple[str | None, str | None]]:
    async with resources.autocommit() as session:
        rows = await session.execute(
            text("SELECT status, outcome FROM carrier_messages WHERE tracking_number = :number ORDER BY id"),
            {"number": number},
        )
        return [tuple(row) for row in rows]


async def test_an_order_follows_its_parcel_to_the_door_as_the_carrier_tells_it(
    api: httpx.AsyncClient, resources: Resources, desk: Desk
) -> None:
    number = f"1Z {uuid4().hex[:12]}"
    order = await an_order(api, (await a_product(resources.sessions, stock=5), 2))
    await on_its_way(desk, order, number)

    in_transit = await tell(api, number, "in_transit", "2026-05-04T08:00:00Z", event=f"evt_{number}")
    again = await tell(api, number, "in_transit", "2026-05-04T08:00:00Z", event=f"evt_{number}")
    older = await tell(api, number, "pre_transit", "2026-05-03T08:00:00Z")

    assert [answer.status_code for answer in (in_transit, again, older)] == [200, 200, 200]
    [parcel] = (await desk.order(order))["fulfillments"]
    assert (parcel["status"], parcel["tracking_status"]) == ("shipped", "in_transit")
    assert parcel["tracked_at"].startswith("2026-05-04T08:00:00")
    assert parcel["tracking_url"] == f"https://www.ups.com/track?tracknum={number.replace(' ', '%20')}"

    assert (await tell(api, number, "delivered", "2026-05-05T08:00:00Z")).status_code == 200
    assert (await tell(api, number, "in_transit", "2026-05-06T08:00:00Z")).status_code == 200

    delivered = await desk.order(order)
    [parcel] = delivered["fulfillments"]
    assert (delivered["status"], parcel["status"], parcel["tracking_status"]) == ("delivered", "delivered", "delivered")
    assert await outcomes(resources, number) == [
        ("in_transit", "noted"),
        ("announced", "outdated"),
        ("delivered", "noted"),
        ("in_transit", "outdated"),
    ]
    told = (await api.get(f"/v1/orders/{order['id']}/events", headers=desk.headers)).json()["items"]
    tail = [(event["type"], event["actor"]) for event in told if event["actor"].startswith("carrier:")]
    assert tail == [
        ("fulfillment.tracked", "carrier:easypost"),
        ("fulfillment.tracked", "carrier:easypost"),
        ("fulfillment.delivered", "carrier:easypost"),
        ("order.delivered", "carrier:easypost"),
    ]


async def test_what_is_told_of_a_parcel_that_nobody_knows_is_kept_shown_and_counts_once_it_is_shipped(
    api: httpx.AsyncClient, resources: Resources, desk: Desk
) -> None:
    number = f"1Z{uuid4().hex[:12]}"

    assert (await tell(api, number, "in_transit", "2026-05-04T08:00:00Z")).status_code == 200

    assert await outcomes(resources, number) == [("in_transit", None)]
    listed = await api.get("/v1/admin/carrier-messages", params={"unknown": "true"}, headers=desk.headers)
    [message] = [message for message in listed.json()["items"] if message["tracking_number"] == number]
    assert (message["carrier"], message["status"], message["fulfillment_id"]) == ("UPS", "in_transit", None)
    order = await an_order(api, (await a_product(resources.sessions, stock=5), 1))
    await on_its_way(desk, order, number)
    await tell(api, number, "in_transit", "2026-05-04T08:00:00Z", event=f"evt_{uuid4().hex}")
    [parcel] = (await desk.order(order))["fulfillments"]
    assert parcel["tracking_status"] == "in_transit"


async def test_a_message_that_easypost_has_not_signed_is_not_stored(
    api: httpx.AsyncClient, resources: Resources
) -> None:
    number = f"1Z{uuid4().hex[:12]}"
    body = json.dumps({"id": "evt_1", "description": "tracker.updated", "result": {"tracking_code": number}})

    answer = await api.post("/v1/webhooks/easypost", content=body, headers={"X-Hmac-Signature": "hmac-sha256-hex=00"})

    assert (answer.status_code, answer.json()["code"]) == (400, "webhook_forged")
    assert await outcomes(resources, number) == []


async def test_staff_says_where_a_carriers_parcels_are_followed(
    api: httpx.AsyncClient, resources: Resources, admin: dict[str, str], desk: Desk
) -> None:
    code = f"owl-{uuid4().hex[:8]}"
    path = f"/v1/admin/carriers/{code}"
    page = {"name": f"Owl {code}", "tracking_url": "https://owls.example/{number}/where"}
    order = await an_order(api, (await a_product(resources.sessions, stock=5), 1))
    await on_its_way(desk, order, "7", carrier=page["name"].upper())
    assert (await desk.order(order))["fulfillments"][0]["tracking_url"] is None

    made = await api.put(path, json=page, headers=admin)

    assert (made.status_code, made.json()) == (200, {"code": code, **page, "version": 1})
    assert (await desk.order(order))["fulfillments"][0]["tracking_url"] == "https://owls.example/7/where"
    stale = await api.put(path, json=page, headers={**admin, "If-Match": '"7"'})
    assert (stale.status_code, stale.json()["code"]) == (412, "precondition_failed")
    for wrong in ("http://owls.example/{number}", "https://owls.example/", "javascript:{number}"):
        assert (await api.put(path, json={**page, "tracking_url": wrong}, headers=admin)).status_code == 422
    assert (await api.delete(path, headers=admin)).status_code == 204
    assert (await api.delete(path, headers=admin)).json()["code"] == "not_found"
