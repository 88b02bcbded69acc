"""What Stripe tells us: only what it signed, each thing once, and nothing that is told changes money."""

import asyncio
import json
import time
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from api import inbox
from domain.inventory import StockLevel
from runtime.resources import Resources
from sandbox.webhooks import signature
from tests.support.catalog import a_product, stock_of
from tests.support.ledger import moved
from tests.support.shopper import Shopper
from tests.support.waiting import eventually

SECRET = b"whsec_sutler"


def an_event(payment_id: str | None = None, **otherwise: Any) -> dict[str, Any]:
    metadata = {"payment_id": payment_id} if payment_id else {}
    subject = {"id": "pi_elsewhere", "object": "payment_intent", "metadata": metadata}
    return {
        "id": f"evt_{uuid4().hex}",
        "object": "event",
        "type": "payment_intent.succeeded",
        "data": {"object": subject},
        **otherwise,
    }


async def deliver(
    api: httpx.AsyncClient, event: dict[str, Any], *, secret: bytes = SECRET, age: int = 0
) -> httpx.Response:
    body = json.dumps(event).encode()
    headers = {"Stripe-Signature": signature(body, secret, int(time.time()) - age), "Content-Type": "application/json"}
    return await api.post("/v1/webhooks/stripe", content=body, headers=headers)


async def stored(resources: Resources, event_id: str) -> list[tuple[str, bool]]:
    async with resources.sessions() as session:
        rows = await session.execute(
            text("SELECT type, handled_at IS NOT NULL FROM webhook_events WHERE event_id = :id"), {"id": event_id}
        )
        return [tuple(row) for row in rows]


async def test_a_signed_event_is_stored_and_answered(api: httpx.AsyncClient, resources: Resources) -> None:
    event = an_event()

    answer = await deliver(api, event)

    assert answer.status_code == 200
    assert await stored(resources, event["id"]) == [("payment_intent.succeeded", True)]


async def test_the_same_event_twenty_times_is_stored_once_and_answered_every_time(
    api: httpx.AsyncClient, resources: Resources
) -> None:
    event = an_event()

    answers = await asyncio.gather(*(deliver(api, event) for _ in range(20)))

    assert {answer.status_code for answer in answers} == {200}
    assert len(await stored(resources, event["id"])) == 1


async def test_an_event_of_long_ago_is_forgotten_and_one_of_last_quarter_is_not(
    api: httpx.AsyncClient, resources: Resources
) -> None:
    old, recent = an_event(), an_event()
    for event, days in ((old, 91), (recent, 89)):
        await deliver(api, event)
        async with resources.sessions.begin() as session:
            await session.execute(
                text("UPDATE webhook_events SET received_at = now() - CAST(:ago AS interval) WHERE event_id = :id"),
                {"id": event["id"], "ago": timedelta(days=days)},
            )

    await inbox.forget(resources)

    assert await stored(resources, old["id"]) == []
    assert await stored(resources, recent["id"]) == [("payment_intent.succeeded", True)]


def is_forged(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.json()["code"]) == (400, "webhook_forged"), answer.text
    assert answer.headers["content-type"] == "application/problem+json"


async def test_an_event_that_was_signed_by_somebody_else_is_not_stored(
    api: httpx.AsyncClient, resources: Resources
) -> None:
    event = an_event()

    is_forged(await deliver(api, event, secret=b"whsec_guess"))

    assert await stored(resources, event["id"]) == []


async def test_an_event_that_was_signed_too_long_ago_is_not_stored(
    api: httpx.AsyncClient, resources: Resources
) -> None:
    event = an_event()

    is_forged(await deliver(api, event, age=301))

    assert await stored(resources, event["id"]) == []


async def test_a_body_that_is_not_the_signed_one_is_not_stored(api: httpx.AsyncClient, resources: Resources) -> None:
    event, other = an_event(), an_event()
    signed = signature(json.dumps(event).encode(), SECRET, int(time.time()))

    is_forged(
        await api.post("/v1/webhooks/stripe", content=json.dumps(other).encode(), headers={"Stripe-Signature": signed})
    )

    assert await stored(resources, other["id"]) == []


@pytest.mark.parametrize("header", [None, "", "t=1", "v1=abc", "t=now,v1=abc", "nonsense"])
async def test_a_signature_that_is_none_is_refused(
    api: httpx.AsyncClient, resources: Resources, header: str | None
) -> None:
    event = an_event()
    headers = {} if header is None else {"Stripe-Signature": header}

    is_forged(await api.post("/v1/webhooks/stripe", json=event, headers=headers))

    assert await stored(resources, event["id"]) == []


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{}", b'{"id": "evt_1"}', b"\xff\xfe", b"not json"])
async def test_a_signed_body_that_is_no_event_is_refused(api: httpx.AsyncClient, body: bytes) -> None:
    headers = {"Stripe-Signature": signature(body, SECRET, int(time.time()))}

    is_forged(await api.post("/v1/webhooks/stripe", content=body, headers=headers))


@pytest.mark.parametrize("payment_id", ["not-an-id", "", "7c3fd3a4-9d2b-4a4e-8a2f-3d2f0b5c9e11"])
async def test_an_event_about_a_payment_that_is_not_ours_is_noted_and_done(
    api: httpx.AsyncClient, resources: Resources, payment_id: str
) -> None:
    event = an_event(payment_id)

    assert (await deliver(api, event)).status_code == 200
    assert await stored(resources, event["id"]) == [("payment_intent.succeeded", True)]


async def test_an_event_of_a_kind_we_do_not_know_is_noted_and_done(
    api: httpx.AsyncClient, resources: Resources
) -> None:
    event = an_event(type="planet.discovered", data={"object": {"id": "pl_1", "metadata": None}})

    assert (await deliver(api, event)).status_code == 200
    assert await stored(resources, event["id"]) == [("planet.discovered", True)]


async def test_an_event_that_lies_about_a_payment_changes_no_order(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources
) -> None:
    product, shopper = await a_product(resources.sessions, price="10.00", stock=5), Shopper(api)
    cart = await shopper.a_cart((product.variant_id, 1))
    order = (await shopper.check_out(cart, card="pm_card_threeDSecure2Required")).json()
    async with resources.sessions() as session:
        payment_id = await session.scalar(text("SELECT id FROM payments WHERE order_id = :id"), {"id": order["id"]})
    event = an_event(str(payment_id))

    assert (await deliver(api, event)).status_code == 200

    # Whoever can sign may hint; what the provider says when it is asked decides.
    assert await stored(resources, event["id"]) == [("payment_intent.succeeded", True)]
    assert (await shopper.order(order["id"], cart))["status"] == "pending"
    assert await moved(sandbox, order) == []
    await sandbox.post(f"{order['payment']['next_action']['redirect_url']}/complete")

    async def is_confirmed() -> bool:
        return bool((await shopper.order(order["id"], cart))["status"] == "confirmed")

    assert await eventually(is_confirmed)


@pytest.mark.matrix("checkout: webhooks come twice, late, early or for nothing")
async def test_webhooks_that_come_twice_confirm_once(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources
) -> None:
    product, shopper = await a_product(resources.sessions, price="10.00", stock=5), Shopper(api)
    await sandbox.put("/faults", json={"payments": {"duplicate_webhook_rate": 1.0}})
    try:
        cart = await shopper.a_cart((product.variant_id, 1))
        order = (await shopper.check_out(cart, card="pm_card_threeDSecure2Required")).json()
        await sandbox.post(f"{order['payment']['next_action']['redirect_url']}/complete")

        async def is_confirmed() -> bool:
            return bool((await shopper.order(order["id"], cart))["status"] == "confirmed")

        assert await eventually(is_confirmed)
    finally:
        await sandbox.put("/faults", json={"payments": {"duplicate_webhook_rate": 0.0}})

    events = (await shopper.send("GET", f"/v1/orders/{order['id']}/events", params={"cart": cart})).json()["items"]
    assert [event["type"] for event in events] == ["order.placed", "order.payment_requires_action", "order.confirmed"]
    assert await moved(sandbox, await shopper.order(order["id"], cart)) == [("authorize", 1499)]
    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=5, reserved=1)
