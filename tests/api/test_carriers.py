"""Parcels on their way: what customers see of them, and what carriers tell the shop."""

import json
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import text

from activities.carriers import CarrierActivities
from domain.carriers import Following, FollowParcel, LeaveParcel
from runtime.resources import Resources
from sandbox.webhooks import carrier_signature
from tests.api.test_operators import Desk, an_order
from tests.support.catalog import a_product
from tests.support.waiting import eventually


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
    headers = {"X-Hmac-Signature": carrier_signature(body, b"easypost-sutler"), "Content-Type": "application/json"}
    return await api.post("/v1/webhooks/easypost", content=body, headers=headers)


async def outcomes(resources: Resources, number: str) -> list[tuple[str | None, str | None]]:
    """Of what says something; that it has begun to follow the parcel, the carrier tells as well."""
    async with resources.autocommit() as session:
        rows = await session.execute(
            text(
                "SELECT status, outcome FROM carrier_messages "
                "WHERE tracking_number = :number AND status IS NOT NULL ORDER BY id"
            ),
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


@pytest.mark.matrix("ship: a carrier's messages come twice, late or in another order")
async def test_a_parcel_that_leaves_is_followed_to_the_door_without_anybody(
    api: httpx.AsyncClient, resources: Resources, desk: Desk, sandbox: httpx.AsyncClient
) -> None:
    """The shop asks the carrier, by its own library; the carrier tells, twice each, and late what it noticed before."""
    number = f"1Z{uuid4().hex[:12]}"
    order = await an_order(api, (await a_product(resources.sessions, stock=5), 2))
    await on_its_way(desk, order, number)

    async def carrier_notices(status: str, at: str) -> bool:
        moved = await sandbox.put(f"/parcels/{number}", json={"status": status, "at": at})
        return moved.status_code == 200

    async def stands(*expected: str | None) -> bool:
        now = await desk.order(order)
        [parcel] = now["fulfillments"]
        return (now["status"], parcel["status"], parcel["tracking_status"]) == expected

    async def messages() -> int:
        return len(await outcomes(resources, number))

    assert (await sandbox.put("/faults", json={"payments": {"duplicate_webhook_rate": 1}})).status_code == 200
    try:
        await eventually(lambda: carrier_notices("in_transit", "2026-05-04T08:00:00Z"))
        await eventually(lambda: stands("shipped", "shipped", "in_transit"))
        assert await carrier_notices("delivered", "2026-05-05T08:00:00Z")
        await eventually(lambda: stands("delivered", "delivered", "delivered"))
        assert await carrier_notices("out_for_delivery", "2026-05-05T07:00:00Z")

        async def all_heard() -> bool:
            return await messages() == 3

        await eventually(all_heard)
    finally:
        await sandbox.delete("/faults")

    assert await stands("delivered", "delivered", "delivered")
    assert [outcome for _, outcome in await outcomes(resources, number)] == ["noted", "noted", "outdated"]
    told = (await api.get(f"/v1/orders/{order['id']}/events", headers=desk.headers)).json()["items"]
    assert [event["type"] for event in told if event["actor"] == "carrier:easypost"] == [
        "fulfillment.tracked",
        "fulfillment.tracked",
        "fulfillment.delivered",
        "order.delivered",
    ]
    followers = (await sandbox.get(f"/parcels/{number}")).json()["items"]
    assert [(tracker["carrier"], tracker["tracking_code"]) for tracker in followers] == [("UPS", number)]


async def test_that_a_carrier_does_not_want_to_tell_is_noted_once_and_holds_up_nothing(
    api: httpx.AsyncClient, resources: Resources, desk: Desk, sandbox: httpx.AsyncClient
) -> None:
    number = f"1Z{uuid4().hex[:12]}"
    order = await an_order(api, (await a_product(resources.sessions, stock=5), 1))
    refuses = {"payments": {"next": [{"operation": "track", "fault": "refusal"}]}}
    assert (await sandbox.put("/faults", json=refuses)).status_code == 200
    parcel = await on_its_way(desk, order, number)

    async def noted() -> list[dict[str, Any]]:
        told = (await api.get(f"/v1/orders/{order['id']}/events", headers=desk.headers)).json()["items"]
        return [event["data"] for event in told if event["type"] == "fulfillment.untracked"]

    await eventually(noted)
    left = LeaveParcel(order_id=UUID(order["id"]), fulfillment_id=UUID(parcel), why=Following.REFUSED)
    await CarrierActivities(resources.carrier, resources.sessions).leave(left)

    assert await noted() == [{"fulfillment_id": parcel, "why": "refused"}]
    assert (await desk.post(f"/fulfillments/{parcel}/deliver")).status_code == 200
    assert (await desk.order(order))["status"] == "delivered"


async def test_a_parcel_of_a_carrier_that_easypost_does_not_know_is_told_to_nobody(
    api: httpx.AsyncClient, resources: Resources, desk: Desk, sandbox: httpx.AsyncClient
) -> None:
    number = f"1Z{uuid4().hex[:12]}"
    order = await an_order(api, (await a_product(resources.sessions, stock=5), 1))
    parcel = await on_its_way(desk, order, number, carrier="Owls")

    asked = FollowParcel(order_id=UUID(order["id"]), order_number=order["number"], fulfillment_id=UUID(parcel))
    answer = await CarrierActivities(resources.carrier, resources.sessions).follow(asked)

    assert answer.outcome is Following.NOT_ASKED
    assert (await sandbox.get(f"/parcels/{number}")).status_code == 404


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

    assert (made.status_code, made.json()) == (200, {"code": code, **page, "easypost_name": None, "version": 1})
    assert (await desk.order(order))["fulfillments"][0]["tracking_url"] == "https://owls.example/7/where"
    stale = await api.put(path, json=page, headers={**admin, "If-Match": '"7"'})
    assert (stale.status_code, stale.json()["code"]) == (412, "precondition_failed")
    for wrong in ("http://owls.example/{number}", "https://owls.example/", "javascript:{number}"):
        assert (await api.put(path, json={**page, "tracking_url": wrong}, headers=admin)).status_code == 422
    assert (await api.delete(path, headers=admin)).status_code == 204
    assert (await api.delete(path, headers=admin)).json()["code"] == "not_found"
