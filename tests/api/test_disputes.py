"""Disputes: what the customer's bank takes back is told to a person, is not refunded a second time, and has an end."""

import itertools
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from runtime.resources import Resources
from tests.api.test_operators import Desk, is_problem
from tests.api.test_webhooks import deliver
from tests.support.catalog import a_product
from tests.support.ledger import disputed, moved
from tests.support.shopper import Shopper
from tests.support.waiting import eventually

STRIPE = {"Authorization": "Bearer sk_test_sutler"}
USD_14_99 = {"amount": "14.99", "currency": "USD"}
DISPUTE_EVENTS = ("payment.disputed", "payment.dispute_won", "payment.dispute_lost")


@pytest.fixture
async def desk(api: httpx.AsyncClient, operator: dict[str, str]) -> Desk:
    return Desk(api, operator)


async def a_delivered_order(
    api: httpx.AsyncClient, resources: Resources, desk: Desk, *, card: str = "pm_card_visa"
) -> dict[str, Any]:
    """Nothing runs for it any more, and 14.99 are captured."""
    shopper = Shopper(api)
    cart = await shopper.a_cart(((await a_product(resources.sessions, price="10.00", stock=5)).variant_id, 1))
    order: dict[str, Any] = (await shopper.check_out(cart, card=card)).json()
    parcel = await desk.packs(order)
    await desk.ships(parcel)
    assert (await desk.post(f"/fulfillments/{parcel}/deliver")).status_code == 200
    return await desk.order(order)


async def disputed_order(api: httpx.AsyncClient, resources: Resources, desk: Desk) -> dict[str, Any]:
    """Delivered, and disputed at the provider as soon as it was captured."""
    order = await a_delivered_order(api, resources, desk, card="pm_card_createDispute")

    async def is_told() -> bool:
        return bool((await desk.order(order))["disputes"])

    assert await eventually(is_told)
    return await desk.order(order)


async def decided(sandbox: httpx.AsyncClient, desk: Desk, order: dict[str, Any], evidence: str) -> dict[str, Any]:
    """The order once the provider has told how its dispute ended."""
    [dispute] = order["disputes"]
    answer = await sandbox.post(
        f"/v1/disputes/{dispute['reference']}", data={"evidence[uncategorized_text]": evidence}, headers=STRIPE
    )
    assert answer.status_code == 200, answer.text

    async def is_closed() -> bool:
        return bool((await desk.order(order))["disputes"][0]["status"] != "open")

    assert await eventually(is_closed)
    return await desk.order(order)


async def told(api: httpx.AsyncClient, operator: dict[str, str], order: dict[str, Any]) -> list[str]:
    events = (await api.get(f"/v1/orders/{order['id']}/events?limit=100", headers=operator)).json()["items"]
    return [event["type"] for event in events if event["type"] in DISPUTE_EVENTS]


async def published(resources: Resources, order: dict[str, Any]) -> list[str]:
    async with resources.sessions() as session:
        rows = await session.scalars(text("SELECT type FROM outbox WHERE key = :id ORDER BY id"), {"id": order["id"]})
        return [kind for kind in rows if kind in DISPUTE_EVENTS]


def about(order: dict[str, Any], dispute: str, kind: str, status: str, at: int, **facts: Any) -> dict[str, Any]:
    subject = {
        "id": dispute,
        "object": "dispute",
        "amount": 1499,
        "currency": "usd",
        "created": 1_800_000_000,
        "evidence_details": {"due_by": 1_800_600_000},
        "metadata": {},
        "payment_intent": order["payment"]["provider_reference"],
        "reason": "fraudulent",
        "status": status,
        **facts,
    }
    return {
        "id": f"evt_{uuid4().hex}",
        "object": "event",
        "type": f"charge.dispute.{kind}",
        "created": at,
        "data": {"object": subject},
    }


@pytest.mark.matrix("dispute: the customer's bank takes the money of a delivered order back")
async def test_a_person_is_called_when_money_of_a_delivered_order_is_disputed(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources, operator: dict[str, str], desk: Desk
) -> None:
    order = await disputed_order(api, resources, desk)

    [dispute] = order["disputes"]
    assert (dispute["status"], dispute["amount"], dispute["reason"]) == ("open", USD_14_99, "fraudulent")
    [concern] = order["concerns"]
    assert concern["concern"] == "payment_disputed"
    assert "takes USD 14.99 back (fraudulent" in concern["detail"]
    assert "evidence is due by" in concern["detail"]
    assert (order["status"], order["payment"]["status"]) == ("delivered", "captured")
    assert order["id"] in await desk.found(needs_attention=True)
    assert await moved(sandbox, order) == [("authorize", 1499), ("capture", 1499), ("dispute", 1499)]
    explained = (await api.get(f"/v1/admin/orders/{order['id']}/explain", headers=operator)).json()
    assert (explained["waits_for"], explained["decisions"]) == (f"a person: {concern['detail']}", [])
    assert await told(api, operator, order) == ["payment.disputed"]
    assert await published(resources, order) == ["payment.disputed"]

    early = await desk.post(f"/orders/{order['id']}/resolve", {"decision": "skip", "note": "let it go"})
    assert is_problem(early, 409, "nothing_to_resolve")["allowed"] == []
    assert await desk.order(order) == order


async def test_a_dispute_that_is_won_calls_nobody_any_more_and_the_money_can_be_refunded(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources, operator: dict[str, str], desk: Desk
) -> None:
    order = await decided(sandbox, desk, await disputed_order(api, resources, desk), "winning_evidence")

    assert order["disputes"][0]["status"] == "won"
    assert (order["needs_attention"], order["concerns"]) == (False, [])
    assert await told(api, operator, order) == ["payment.disputed", "payment.dispute_won"]
    assert disputed(await moved(sandbox, order)) == 0
    answer = await desk.post(f"/orders/{order['id']}/refunds", {"reason": "goodwill"})
    assert (answer.status_code, answer.json()["amount"]) == (201, USD_14_99)


async def test_a_dispute_that_is_lost_stays_until_a_person_says_that_they_know(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources, operator: dict[str, str], desk: Desk
) -> None:
    order = await decided(sandbox, desk, await disputed_order(api, resources, desk), "losing_evidence")

    assert order["disputes"][0]["status"] == "lost"
    assert "is lost: USD 14.99 went back" in order["attention"]
    assert disputed(await moved(sandbox, order)) == 1499
    refused = await desk.post(f"/orders/{order['id']}/resolve", {"decision": "retry", "note": "again"})
    assert is_problem(refused, 409, "nothing_to_resolve")["allowed"] == ["skip"]
    assert await desk.order(order) == order

    headers = {**operator, "Idempotency-Key": str(uuid4())}
    wish = {"decision": "skip", "note": "written off"}
    for _ in range(2):
        answer = await api.post(f"/v1/admin/orders/{order['id']}/resolve", json=wish, headers=headers)
        assert (answer.status_code, answer.json()["needs_attention"]) == (200, False), answer.text
    after = await desk.order(order)
    assert (after["concerns"], after["disputes"]) == ([], order["disputes"])
    assert await told(api, operator, order) == ["payment.disputed", "payment.dispute_lost"]
    again = await desk.post(f"/orders/{order['id']}/resolve", wish)
    is_problem(again, 409, "nothing_to_resolve")


@pytest.mark.matrix("dispute: disputed money is to be refunded")
@pytest.mark.parametrize("end", [None, "losing_evidence"])
async def test_disputed_money_is_not_refunded_a_second_time(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources, desk: Desk, end: str | None
) -> None:
    order = await disputed_order(api, resources, desk)
    if end:
        order = await decided(sandbox, desk, order, end)

    for wish in ({}, {"amount": {"amount": "0.01", "currency": "USD"}}):
        problem = is_problem(
            await desk.post(f"/orders/{order['id']}/refunds", {"reason": "please", **wish}), 409, "payment_disputed"
        )
        assert problem["disputed"] == USD_14_99

    assert await desk.order(order) == order
    async with resources.sessions() as session:
        with pytest.raises(IntegrityError, match="disputed"):
            await session.execute(text("UPDATE payments SET refunding = 1 WHERE order_id = :id"), {"id": order["id"]})


@pytest.mark.matrix("dispute: what is told comes twice, late or in another order")
@pytest.mark.parametrize("end", ["won", "lost"])
async def test_in_whatever_order_and_however_often_it_is_told_it_ends_the_same(
    api: httpx.AsyncClient, resources: Resources, operator: dict[str, str], desk: Desk, end: str
) -> None:
    order = await a_delivered_order(api, resources, desk)
    ends = set()
    for number, sequence in enumerate(itertools.permutations(range(3))):
        dispute = f"dp_{uuid4().hex}"
        events = [
            about(order, dispute, "created", "needs_response", 1_800_000_000),
            about(order, dispute, "updated", "under_review", 1_800_000_100, evidence_details={"due_by": 1_800_700_000}),
            about(order, dispute, "closed", end, 1_800_000_200, evidence_details={"due_by": 1_800_700_000}),
        ]
        for each in (*sequence, *sequence):
            assert (await deliver(api, events[each])).status_code == 200
        shown = await desk.order(order)
        found = next(it for it in shown["disputes"] if it["reference"] == dispute)
        ends.add(tuple(str(found[name]) for name in found if name != "reference"))
        assert await told(api, operator, order) == ["payment.disputed", f"payment.dispute_{end}"] * (number + 1)
    assert len(ends) == 1
    assert shown["needs_attention"] is (end == "lost")
    assert len(shown["disputes"]) == 6


async def test_what_was_said_earlier_does_not_undo_what_was_said_later(
    api: httpx.AsyncClient, resources: Resources, desk: Desk
) -> None:
    order = await a_delivered_order(api, resources, desk)
    dispute = f"dp_{uuid4().hex}"
    await deliver(api, about(order, dispute, "updated", "under_review", 1_800_000_100, amount=999))
    await deliver(api, about(order, dispute, "created", "needs_response", 1_800_000_000))

    [shown] = (await desk.order(order))["disputes"]
    assert shown["amount"] == {"amount": "9.99", "currency": "USD"}


@pytest.mark.parametrize(
    "facts", [{"status": "warning_needs_response"}, {"payment_intent": "pi_of_somebody_else"}, {"payment_intent": None}]
)
async def test_an_inquiry_and_a_dispute_about_no_payment_of_ours_are_noted_and_done(
    api: httpx.AsyncClient, resources: Resources, desk: Desk, facts: dict[str, Any]
) -> None:
    order = await a_delivered_order(api, resources, desk)
    event = about(order, f"dp_{uuid4().hex}", "created", "needs_response", 1_800_000_000)
    event["data"]["object"].update(facts)

    assert (await deliver(api, event)).status_code == 200

    assert await desk.order(order) == order
    async with resources.sessions() as session:
        found = await session.scalar(
            text("SELECT handled_at IS NOT NULL FROM webhook_events WHERE event_id = :id"), {"id": event["id"]}
        )
    assert found is True


async def test_a_part_that_is_not_disputed_can_be_refunded(
    api: httpx.AsyncClient, resources: Resources, desk: Desk
) -> None:
    order = await a_delivered_order(api, resources, desk)
    await deliver(api, about(order, f"dp_{uuid4().hex}", "created", "needs_response", 1_800_000_000, amount=1000))

    too_much = await desk.post(
        f"/orders/{order['id']}/refunds", {"reason": "x", "amount": {"amount": "5.00", "currency": "USD"}}
    )
    is_problem(too_much, 409, "payment_disputed")
    fits = await desk.post(
        f"/orders/{order['id']}/refunds", {"reason": "x", "amount": {"amount": "4.99", "currency": "USD"}}
    )
    assert fits.status_code == 201, fits.text
