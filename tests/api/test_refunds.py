"""Refunds: any number, in any order, and never more than was taken."""

import asyncio
import random
from collections import Counter
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from runtime.resources import Resources
from tests.api.test_operators import UNKNOWN, Desk, an_order, is_problem
from tests.support.catalog import a_product, ledger_of
from tests.support.ledger import kept, moved
from tests.support.shopper import Shopper
from tests.support.waiting import eventually


@pytest.fixture
async def desk(api: httpx.AsyncClient, operator: dict[str, str]) -> Desk:
    return Desk(api, operator)


def usd(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "USD"}


@pytest.fixture
async def order(api: httpx.AsyncClient, resources: Resources, desk: Desk) -> dict[str, Any]:
    """Two lines, 3 x 10.00 and 1 x 5.00, and 4.99 for shipping: 39.99, all shipped and captured."""
    tea, mug = [await a_product(resources.sessions, price=price, stock=9) for price in ("10.00", "5.00")]
    made = await an_order(api, (tea, 3), (mug, 1))
    await desk.ships(await desk.packs(made))
    return made


async def refund(
    http: httpx.AsyncClient, operator: dict[str, str], order: dict[str, Any], **wish: Any
) -> httpx.Response:
    headers = {**operator, **({"Idempotency-Key": wish.pop("key")} if "key" in wish else {})}
    return await http.post(
        f"/v1/admin/orders/{order['id']}/refunds", json={"reason": "came broken", **wish}, headers=headers
    )


async def test_a_part_is_refunded_and_then_all_the_rest(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, operator: dict[str, str], desk: Desk, order: dict[str, Any]
) -> None:
    part = await refund(api, operator, order, amount=usd("9.99"))

    assert part.status_code == 201, part.text
    told = part.json()
    assert (told["status"], told["amount"], told["reason"], told["refusal"]) == (
        "succeeded",
        usd("9.99"),
        "came broken",
        None,
    )
    after = await desk.order(order)
    assert (after["status"], after["payment"]["status"], after["payment"]["refunded"]) == (
        "shipped",
        "partially_refunded",
        usd("9.99"),
    )
    assert after["refunds"] == [told]

    rest = await refund(api, operator, order)
    assert (rest.status_code, rest.json()["amount"]) == (201, usd("30.00"))
    after = await desk.order(order)
    assert (after["payment"]["status"], after["payment"]["refunded"]) == ("refunded", usd("39.99"))
    assert await moved(sandbox, order) == [
        ("authorize", 3999),
        ("capture", 3999),
        ("refund", 999),
        ("refund", 3000),
    ]


async def test_units_are_refunded_for_what_was_paid_for_them(
    api: httpx.AsyncClient, operator: dict[str, str], desk: Desk, order: dict[str, Any]
) -> None:
    tea, mug = [item["id"] for item in order["items"]]
    two = await refund(api, operator, order, items=[{"order_item_id": tea, "quantity": 2}])
    assert (two.status_code, two.json()["amount"]) == (201, usd("20.00"))
    assert two.json()["items"] == [{"order_item_id": tea, "quantity": 2}]

    wish = [{"order_item_id": tea, "quantity": 2}, {"order_item_id": mug, "quantity": 1}]
    problem = is_problem(await refund(api, operator, order, items=wish), 409, "units_not_refundable")
    assert problem["items"] == [{"order_item_id": tea, "refundable": 1}]
    assert (await desk.order(order))["payment"]["refunded"] == usd("20.00")


@pytest.mark.parametrize(
    ("wish", "status", "code"),
    [
        ({"amount": usd("40.00")}, 409, "refund_exceeds_captured"),
        ({"amount": usd("0.00")}, 409, "refund_exceeds_captured"),
        ({"amount": {"amount": "10.00", "currency": "EUR"}}, 422, "validation_failed"),
        ({"amount": usd("1.00"), "items": [{"order_item_id": UNKNOWN, "quantity": 1}]}, 422, "validation_failed"),
        ({"items": [{"order_item_id": UNKNOWN, "quantity": 1}]}, 409, "units_not_refundable"),
        ({"reason": ""}, 422, "validation_failed"),
    ],
)
@pytest.mark.matrix("refund: more than was captured")
async def test_a_refund_that_cannot_be_changes_nothing(
    api: httpx.AsyncClient,
    sandbox: httpx.AsyncClient,
    operator: dict[str, str],
    desk: Desk,
    order: dict[str, Any],
    wish: dict[str, Any],
    status: int,
    code: str,
) -> None:
    before = await desk.order(order)

    is_problem(await refund(api, operator, order, **wish), status, code)

    assert await desk.order(order) == before
    assert kept(await moved(sandbox, order)) == 3999


async def test_what_was_not_captured_cannot_be_refunded(
    api: httpx.AsyncClient, operator: dict[str, str], resources: Resources, desk: Desk
) -> None:
    made = await an_order(api, (await a_product(resources.sessions, stock=3), 2))
    is_problem(await refund(api, operator, made, amount=usd("1.00")), 409, "refund_exceeds_captured")
    [line] = [item["id"] for item in made["items"]]
    await desk.ships(await desk.packs(made, (line, 1)))

    is_problem(await refund(api, operator, made, amount=usd("1.00")), 409, "refund_not_possible_yet")
    assert (await desk.order(made))["refunds"] == []


async def test_only_staff_refunds(api: httpx.AsyncClient, order: dict[str, Any], operator: dict[str, str]) -> None:
    is_problem(await refund(api, {}, order), 401, "unauthenticated")
    is_problem(await refund(api, operator, {"id": UNKNOWN}), 404, "not_found")


@pytest.mark.matrix("refund: sent again, or by many at once")
async def test_fifty_twins_with_one_key_are_one_refund(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, operator: dict[str, str], order: dict[str, Any]
) -> None:
    key = str(uuid4())
    answers = await asyncio.gather(*(refund(api, operator, order, amount=usd("5.00"), key=key) for _ in range(50)))

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert Counter(answer.headers.get("Idempotency-Replayed") for answer in answers) == {"true": 49, None: 1}
    assert [move for move in await moved(sandbox, order) if move[0] == "refund"] == [("refund", 500)]

    is_problem(await refund(api, operator, order, amount=usd("6.00"), key=key), 422, "idempotency_key_reused")


@pytest.mark.matrix("refund: many at once")
async def test_fifty_refunds_at_once_never_take_more_than_there_is(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, operator: dict[str, str], desk: Desk, order: dict[str, Any]
) -> None:
    answers = await asyncio.gather(*(refund(api, operator, order, amount=usd("3.00")) for _ in range(50)))

    assert Counter(answer.status_code for answer in answers) == {201: 13, 409: 37}
    assert kept(await moved(sandbox, order)) == 3999 - 13 * 300
    assert (await desk.order(order))["payment"]["refunded"] == usd("39.00")


@pytest.mark.matrix("refund: the answer is lost after the provider's commit")
async def test_a_lost_answer_is_found_again_and_not_paid_twice(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, operator: dict[str, str], order: dict[str, Any]
) -> None:
    faults = {"payments": {"next": [{"operation": "refund", "fault": "drop_response"}]}}
    await sandbox.put("/faults", json=faults)

    answer = await refund(api, operator, order, amount=usd("7.00"))

    assert (answer.status_code, answer.json()["status"]) == (201, "succeeded")
    assert [move for move in await moved(sandbox, order) if move[0] == "refund"] == [("refund", 700)]


@pytest.mark.matrix("refund: the provider refuses")
async def test_a_refund_that_the_provider_refuses_calls_a_person_and_frees_the_amount(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, operator: dict[str, str], desk: Desk, order: dict[str, Any]
) -> None:
    elsewhere = await sandbox.post(  # somebody has refunded it in the provider's dashboard
        "/v1/refunds",
        data={"payment_intent": order["payment"]["provider_reference"]},
        headers={"Authorization": "Bearer sk_test_sutler"},
    )
    assert elsewhere.status_code == 200, elsewhere.text

    answer = await refund(api, operator, order, amount=usd("7.00"))

    assert (answer.status_code, answer.json()["status"]) == (201, "failed")
    assert answer.json()["refusal"] == "charge_already_refunded"
    after = await desk.order(order)
    assert (after["payment"]["status"], after["payment"]["refunded"]) == ("captured", usd("0.00"))
    assert "charge_already_refunded" in after["attention"]
    assert await desk.found(needs_attention="true", q=order["number"]) == [order["id"]]


@pytest.mark.matrix("refund: the provider is away")
async def test_the_provider_may_be_away_for_as_long_as_it_likes(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, operator: dict[str, str], desk: Desk, order: dict[str, Any]
) -> None:
    faults = {"payments": {"next": [{"operation": "refund", "fault": "error"}] * 3}}
    await sandbox.put("/faults", json=faults)
    assert (await refund(api, operator, order, amount=usd("7.00"))).status_code == 201

    async def is_refunded() -> bool:
        return bool((await desk.order(order))["payment"]["refunded"] == usd("7.00"))

    await eventually(is_refunded)
    assert [move for move in await moved(sandbox, order) if move[0] == "refund"] == [("refund", 700)]


@pytest.mark.parametrize("seed", range(3))
async def test_any_refunds_in_any_order_add_up_to_no_more_than_was_captured(
    api: httpx.AsyncClient,
    sandbox: httpx.AsyncClient,
    operator: dict[str, str],
    desk: Desk,
    order: dict[str, Any],
    resources: Resources,
    seed: int,
) -> None:
    chance = random.Random(seed)  # noqa: S311
    lines = {item["id"]: item["quantity"] for item in order["items"]}
    for _ in range(12):
        wish: dict[str, Any] = {"amount": usd(f"{chance.randint(1, 1500) / 100:.2f}")}
        if chance.random() < 0.4:
            line = chance.choice(list(lines))
            wish = {"items": [{"order_item_id": line, "quantity": chance.randint(1, lines[line])}]}
        answer = await refund(api, operator, order, **wish)
        assert answer.status_code in (201, 409), answer.text
        payment = (await desk.order(order))["payment"]
        assert float(payment["refunded"]["amount"]) <= float(payment["captured"]["amount"])
        left = round((float(payment["captured"]["amount"]) - float(payment["refunded"]["amount"])) * 100)
        assert kept(await moved(sandbox, order)) == left
    variant = order["items"][0]["variant_id"]
    assert (await ledger_of(resources.sessions, variant)).on_hand == 6


@pytest.mark.matrix("refund: more than was captured")
async def test_the_database_itself_refuses_to_refund_more_than_was_captured(
    resources: Resources, order: dict[str, Any]
) -> None:
    for change in ("refunded = 4000", "refunding = 4000", "refunded = 2000, refunding = 2000"):
        async with resources.sessions() as session:
            with pytest.raises(IntegrityError, match="refunded_within_captured"):
                await session.execute(
                    text(f"UPDATE payments SET {change} WHERE order_id = :id"),  # noqa: S608
                    {"id": order["id"]},
                )


async def test_the_timeline_tells_of_refunds_without_their_reasons(
    api: httpx.AsyncClient, operator: dict[str, str], order: dict[str, Any], resources: Resources
) -> None:
    await refund(api, operator, order, amount=usd("1.00"), reason="Ada Testcase wept")

    events = (await Shopper(api, headers=operator).send("GET", f"/v1/orders/{order['id']}/events")).json()["items"]
    assert [event["type"] for event in events][-2:] == ["refund.requested", "refund.succeeded"]
    assert "wept" not in str(events)
    async with resources.sessions() as session:
        letters = await session.scalars(text("SELECT payload::text FROM outbox WHERE key = :id"), {"id": order["id"]})
        assert "wept" not in "".join(letters)
