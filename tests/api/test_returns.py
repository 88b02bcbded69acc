"""Returns: what was delivered can come back, once, and then the money goes back as well."""

import asyncio
from collections import Counter
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text
from temporalio.client import WorkflowExecutionStatus

from domain.customers import Role
from domain.inventory import StockLevel
from domain.returns import ReturnStatus, allowed_moves
from runtime.resources import Resources
from tests.api.test_operators import UNKNOWN, Desk, an_order, is_problem
from tests.support.catalog import AProduct, a_product, ledger_of, stock_of
from tests.support.ledger import kept, moved
from tests.support.shopper import Shopper
from tests.support.staff import headers_of

Lines = list[tuple[str, int]]


class Goods:
    """A delivered order of 3 x 10.00 tea and 1 x 5.00 mug, with 4.99 for shipping: 39.99; and whose it is."""

    def __init__(
        self, http: httpx.AsyncClient, desk: Desk, order: dict[str, Any], customer: dict[str, str], tea: AProduct
    ) -> None:
        self.http, self.desk, self.order, self.customer, self.tea_product = http, desk, order, customer, tea
        self.tea, self.mug = [item["id"] for item in order["items"]]

    async def send_back(self, *lines: tuple[str, int], **headers: str) -> httpx.Response:
        items = [{"order_item_id": line, "quantity": quantity, "reason": "too small"} for line, quantity in lines]
        return await self.http.post(
            f"/v1/orders/{self.order['id']}/returns", json={"items": items}, headers={**self.customer, **headers}
        )

    async def announced(self, *lines: tuple[str, int]) -> str:
        answer = await self.send_back(*lines)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def moves(self, goods: str, move: str, body: Any = None) -> httpx.Response:
        return await self.desk.post(f"/returns/{goods}/{move}", body)

    async def now(self) -> dict[str, Any]:
        return await self.desk.order(self.order)


@pytest.fixture
async def desk(api: httpx.AsyncClient, operator: dict[str, str]) -> Desk:
    return Desk(api, operator)


@pytest.fixture
async def goods(api: httpx.AsyncClient, resources: Resources, desk: Desk) -> Goods:
    customer = await headers_of(resources, Role.CUSTOMER)
    tea = await a_product(resources.sessions, price="10.00", stock=9)
    mug = await a_product(resources.sessions, price="5.00", stock=9)
    order = await an_order(api, (tea, 3), (mug, 1), headers=customer)
    parcel = await desk.packs(order)
    await desk.ships(parcel)
    assert (await desk.post(f"/fulfillments/{parcel}/deliver")).status_code == 200
    return Goods(api, desk, order, customer, tea)


def usd(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "USD"}


async def test_goods_come_back_into_the_stock_and_the_money_goes_back(
    goods: Goods, sandbox: httpx.AsyncClient, resources: Resources
) -> None:
    made = await goods.send_back((goods.tea, 2))
    assert made.status_code == 201, made.text
    told = made.json()
    assert (told["status"], told["refund_id"]) == ("requested", None)
    assert told["items"] == [
        {"order_item_id": goods.tea, "quantity": 2, "reason": "too small", "received": 0, "restocked": 0}
    ]

    approved = await goods.moves(told["id"], "approve")
    assert (approved.status_code, approved.json()["status"]) == (200, "approved")
    received = await goods.moves(told["id"], "receive")

    assert (received.status_code, received.json()["status"]) == (200, "refunded"), received.text
    after = await goods.now()
    assert (after["status"], after["payment"]["status"], after["payment"]["refunded"]) == (
        "delivered",
        "partially_refunded",
        usd("20.00"),
    )
    [refund] = after["refunds"]
    assert (refund["id"], refund["status"]) == (received.json()["refund_id"], "succeeded")
    assert await moved(sandbox, goods.order) == [("authorize", 3999), ("capture", 3999), ("refund", 2000)]
    variant = goods.tea_product.variant_id
    assert await stock_of(resources.sessions, variant) == StockLevel(on_hand=8, reserved=0)
    assert await ledger_of(resources.sessions, variant) == StockLevel(on_hand=8, reserved=0)


async def test_damaged_goods_are_paid_back_and_not_sold_again(goods: Goods, resources: Resources) -> None:
    made = await goods.announced((goods.tea, 3))
    await goods.moves(made, "approve")
    came = {
        "items": [
            {"order_item_id": goods.tea, "quantity": 1},
            {"order_item_id": goods.tea, "quantity": 1, "is_resellable": False},
        ]
    }
    received = await goods.moves(made, "receive", came)

    assert received.status_code == 200, received.text
    [item] = received.json()["items"]
    assert (item["quantity"], item["received"], item["restocked"]) == (3, 2, 1)
    assert (await goods.now())["payment"]["refunded"] == usd("20.00")
    assert (await stock_of(resources.sessions, goods.tea_product.variant_id)).on_hand == 7


@pytest.mark.matrix("return: what was refunded before comes back")
async def test_what_was_refunded_before_is_not_refunded_again_when_it_comes_back(
    goods: Goods, sandbox: httpx.AsyncClient
) -> None:
    wish = {"items": [{"order_item_id": goods.tea, "quantity": 3}], "reason": "goodwill"}
    assert (await goods.desk.post(f"/orders/{goods.order['id']}/refunds", wish)).status_code == 201
    made = await goods.announced((goods.tea, 1), (goods.mug, 1))
    await goods.moves(made, "approve")

    received = await goods.moves(made, "receive")

    assert (received.status_code, received.json()["status"]) == (200, "refunded"), received.text
    assert kept(await moved(sandbox, goods.order)) == 3999 - 3000 - 500


async def test_the_order_says_how_far_it_has_come_back(goods: Goods) -> None:
    said = [(await goods.now())["return_status"]]
    first, second = await goods.announced((goods.tea, 1)), await goods.announced((goods.tea, 2), (goods.mug, 1))
    said.append((await goods.now())["return_status"])
    for goods_back, move in ((first, "approve"), (first, "receive"), (second, "approve"), (second, "receive")):
        assert (await goods.moves(goods_back, move)).status_code == 200
        said.append((await goods.now())["return_status"])

    assert said == ["none", "requested", "in_progress", "requested", "in_progress", "returned"]


async def test_a_return_that_is_rejected_leaves_the_order_as_it_was(goods: Goods) -> None:
    rejected, kept_on = await goods.announced((goods.tea, 1)), await goods.announced((goods.mug, 1))
    for goods_back, move in ((kept_on, "approve"), (kept_on, "receive"), (rejected, "reject")):
        assert (await goods.moves(goods_back, move)).status_code == 200
    assert (await goods.now())["return_status"] == "partially_returned"

    again = await goods.announced((goods.tea, 1))
    assert (await goods.now())["return_status"] == "requested"
    assert (await goods.moves(again, "reject")).status_code == 200
    assert (await goods.now())["return_status"] == "partially_returned"


async def test_an_order_has_come_back_once_the_rest_of_it_is_lost(
    api: httpx.AsyncClient, resources: Resources, desk: Desk
) -> None:
    customer = await headers_of(resources, Role.CUSTOMER)
    order = await an_order(api, (await a_product(resources.sessions, price="10.00", stock=9), 2), headers=customer)
    [line] = [item["id"] for item in order["items"]]
    arrives, is_lost = [await desk.packs(order, (line, 1)) for _ in range(2)]
    for parcel in (arrives, is_lost):
        await desk.ships(parcel)
    assert (await desk.post(f"/fulfillments/{arrives}/deliver")).status_code == 200
    wish = {"items": [{"order_item_id": line, "quantity": 1, "reason": "too small"}]}
    made = await api.post(f"/v1/orders/{order['id']}/returns", json=wish, headers=customer)
    for move in ("approve", "receive"):
        assert (await desk.post(f"/returns/{made.json()['id']}/{move}")).status_code == 200
    assert (await desk.order(order))["return_status"] == "partially_returned"

    assert (await desk.post(f"/fulfillments/{is_lost}/lost", {"remedy": "refund"})).status_code == 200

    after = await desk.order(order)
    assert (after["status"], after["return_status"]) == ("delivered", "returned")


@pytest.mark.matrix("return: sent again, or by many at once")
async def test_units_come_back_once(goods: Goods) -> None:
    first = await goods.announced((goods.tea, 2))
    problem = is_problem(await goods.send_back((goods.tea, 2)), 409, "units_not_returnable")
    assert problem["items"] == [{"order_item_id": goods.tea, "returnable": 1}]

    assert (await goods.moves(first, "reject")).json()["status"] == "rejected"
    assert (await goods.send_back((goods.tea, 3))).status_code == 201


@pytest.mark.matrix("return: received twice")
async def test_receiving_twice_is_receiving_once(
    goods: Goods, sandbox: httpx.AsyncClient, resources: Resources
) -> None:
    made = await goods.announced((goods.mug, 1))
    await goods.moves(made, "approve")
    answers = await asyncio.gather(*(goods.moves(made, "receive") for _ in range(5)))

    assert {answer.status_code for answer in answers} <= {200, 409}
    assert 200 in {answer.status_code for answer in answers}
    assert [move for move in await moved(sandbox, goods.order) if move[0] == "refund"] == [("refund", 500)]
    assert len((await goods.now())["refunds"]) == 1


async def refund_in_the_dashboard(sandbox: httpx.AsyncClient, order: dict[str, Any]) -> None:
    """Somebody pays all of it back at the provider itself, which then refuses to refund any more."""
    elsewhere = await sandbox.post(
        "/v1/refunds",
        data={"payment_intent": order["payment"]["provider_reference"]},
        headers={"Authorization": "Bearer sk_test_sutler"},
    )
    assert elsewhere.status_code == 200, elsewhere.text


async def is_received_and_refused(goods: Goods) -> str:
    made = await goods.announced((goods.tea, 2))
    await goods.moves(made, "approve")
    problem = is_problem(await goods.moves(made, "receive"), 409, "refund_refused")
    [refund] = (await goods.now())["refunds"]
    assert (refund["id"], refund["status"], refund["refusal"]) == (
        problem["refund_id"],
        "failed",
        "charge_already_refunded",
    )
    return made


@pytest.mark.matrix("return: the provider refuses to refund")
async def test_a_refund_that_is_refused_can_be_asked_for_again_while_the_goods_stay_here_once(
    goods: Goods, sandbox: httpx.AsyncClient, resources: Resources
) -> None:
    await refund_in_the_dashboard(sandbox, goods.order)
    made = await is_received_and_refused(goods)
    between = await goods.now()
    [shown] = between["returns"]
    assert (shown["status"], between["return_status"], between["payment"]["refunded"]) == (
        "received",
        "in_progress",
        usd("0.00"),
    )
    assert between["attention"] == "the provider refuses to refund USD 20.00: charge_already_refunded"

    is_problem(await goods.moves(made, "receive"), 409, "refund_refused")

    after = await goods.now()
    assert [refund["status"] for refund in after["refunds"]] == ["failed", "failed"]
    assert after["returns"][0]["refund_id"] == after["refunds"][1]["id"]
    assert (after["needs_attention"], after["payment"]["refunded"]) == (True, usd("0.00"))
    assert await moved(sandbox, goods.order) == [("authorize", 3999), ("capture", 3999), ("refund", 3999)]
    variant = goods.tea_product.variant_id
    assert await stock_of(resources.sessions, variant) == StockLevel(on_hand=8, reserved=0)
    assert await ledger_of(resources.sessions, variant) == StockLevel(on_hand=8, reserved=0)


@pytest.mark.matrix("return: the provider refuses to refund")
async def test_a_refund_that_was_refused_is_paid_when_the_provider_has_changed_its_mind(
    goods: Goods, sandbox: httpx.AsyncClient, resources: Resources
) -> None:
    made = await goods.announced((goods.tea, 2))
    await goods.moves(made, "approve")
    await sandbox.put("/faults", json={"payments": {"next": [{"operation": "refund", "fault": "refusal"}]}})
    is_problem(await goods.moves(made, "receive"), 409, "refund_refused")

    received = await goods.moves(made, "receive")

    assert (received.status_code, received.json()["status"]) == (200, "refunded"), received.text
    after = await goods.now()
    assert [refund["status"] for refund in after["refunds"]] == ["failed", "succeeded"]
    assert (after["needs_attention"], after["return_status"]) == (False, "partially_returned")
    assert await moved(sandbox, goods.order) == [("authorize", 3999), ("capture", 3999), ("refund", 2000)]
    assert await stock_of(resources.sessions, goods.tea_product.variant_id) == StockLevel(on_hand=8, reserved=0)


@pytest.mark.matrix("return: the provider refuses to refund")
async def test_a_person_says_that_a_refused_refund_is_seen_to_and_the_return_is_over(
    goods: Goods, sandbox: httpx.AsyncClient, resources: Resources
) -> None:
    await refund_in_the_dashboard(sandbox, goods.order)
    made = await is_received_and_refused(goods)
    told = (await goods.http.get(f"/v1/admin/orders/{goods.order['id']}/explain", headers=goods.desk.headers)).json()
    assert told["decisions"] == ["skip"]
    wish = {"decision": "retry", "note": "they paid in the dashboard"}
    problem = is_problem(await goods.desk.post(f"/orders/{goods.order['id']}/resolve", wish), 409, "nothing_to_resolve")
    assert problem["allowed"] == ["skip"]

    key = {**goods.desk.headers, "Idempotency-Key": str(uuid4())}
    answers = [
        await goods.http.post(
            f"/v1/admin/orders/{goods.order['id']}/resolve", json={**wish, "decision": "skip"}, headers=key
        )
        for _ in range(2)
    ]

    assert [answer.status_code for answer in answers] == [200, 200], answers[0].text
    after = await goods.now()
    assert (after["needs_attention"], after["concerns"], after["return_status"]) == (False, [], "partially_returned")
    assert [known["status"] for known in after["returns"]] == ["refunded"]
    assert after["payment"]["refunded"] == usd("0.00")
    run = await resources.temporal.get_workflow_handle(f"return:{made}").describe()
    assert run.status is WorkflowExecutionStatus.COMPLETED
    is_problem(
        await goods.desk.post(f"/orders/{goods.order['id']}/resolve", {**wish, "decision": "skip"}),
        409,
        "nothing_to_resolve",
    )


@pytest.mark.parametrize(
    ("before", "move"),
    [
        ([], "receive"),
        (["reject"], "approve"),
        (["approve", "receive"], "reject"),
        (["approve", "reject"], "receive"),
    ],
)
async def test_moves_that_the_table_does_not_have_change_nothing(goods: Goods, before: list[str], move: str) -> None:
    made = await goods.announced((goods.tea, 1))
    for step in before:
        assert (await goods.moves(made, step)).status_code == 200
    shown = await goods.now()

    problem = is_problem(await goods.moves(made, move), 409, "return_transition_not_allowed")

    now = await goods.now()
    assert now == shown
    [status] = [known["status"] for known in now["returns"] if known["id"] == made]
    assert (problem["current_status"], problem["allowed"]) == (status, allowed_moves(ReturnStatus(status)))


async def test_more_than_was_announced_is_not_taken_in(goods: Goods, sandbox: httpx.AsyncClient) -> None:
    made = await goods.announced((goods.tea, 1))
    await goods.moves(made, "approve")
    shown = await goods.now()

    too_much = {"items": [{"order_item_id": goods.tea, "quantity": 2}]}
    is_problem(await goods.moves(made, "receive", too_much), 409, "units_not_returnable")

    assert await goods.now() == shown
    assert kept(await moved(sandbox, goods.order)) == 3999


async def test_what_was_not_delivered_or_too_long_ago_cannot_come_back(
    api: httpx.AsyncClient, goods: Goods, resources: Resources, desk: Desk
) -> None:
    on_its_way = await an_order(api, (goods.tea_product, 1), headers=goods.customer)
    await desk.ships(await desk.packs(on_its_way))
    elsewhere = Goods(api, desk, {**on_its_way, "items": on_its_way["items"] * 2}, goods.customer, goods.tea_product)
    is_problem(await elsewhere.send_back((elsewhere.tea, 1)), 409, "units_not_returnable")

    async with resources.sessions.begin() as session:
        await session.execute(
            text("UPDATE fulfillments SET delivered_at = now() - interval '31 days' WHERE order_id = :id"),
            {"id": goods.order["id"]},
        )
    is_problem(await goods.send_back((goods.tea, 1)), 409, "units_not_returnable")
    assert (await goods.now())["returns"] == []


async def test_somebody_elses_order_cannot_be_returned(
    api: httpx.AsyncClient, goods: Goods, resources: Resources
) -> None:
    stranger = await headers_of(resources, Role.CUSTOMER)
    is_problem(await goods.send_back((goods.tea, 1), **stranger), 404, "not_found")
    made = await goods.announced((goods.tea, 1))
    answer = await api.post(f"/v1/admin/returns/{made}/approve", headers=goods.customer)
    is_problem(answer, 403, "forbidden")
    is_problem(await goods.moves(UNKNOWN, "approve"), 404, "not_found")


@pytest.mark.matrix("return: sent again, or by many at once")
async def test_fifty_twins_with_one_key_are_one_return(goods: Goods) -> None:
    key = str(uuid4())
    answers = await asyncio.gather(*(goods.send_back((goods.tea, 1), **{"Idempotency-Key": key}) for _ in range(50)))

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert Counter(answer.headers.get("Idempotency-Replayed") for answer in answers) == {"true": 49, None: 1}
    other = await goods.send_back((goods.tea, 2), **{"Idempotency-Key": key})
    is_problem(other, 422, "idempotency_key_reused")
    assert len((await goods.now())["returns"]) == 1


async def test_the_reasons_of_customers_stay_in_the_shop(
    goods: Goods, api: httpx.AsyncClient, resources: Resources
) -> None:
    items = [{"order_item_id": goods.tea, "quantity": 1, "reason": "Ada Testcase wept"}]
    made = await api.post(f"/v1/orders/{goods.order['id']}/returns", json={"items": items}, headers=goods.customer)
    assert made.status_code == 201

    events = (await Shopper(api, headers=goods.customer).send("GET", f"/v1/orders/{goods.order['id']}/events")).json()
    assert events["items"][-1]["type"] == "return.requested"
    assert "wept" not in str(events)
    history = await resources.temporal.get_workflow_handle(f"return:{made.json()['id']}").fetch_history()
    assert "wept" not in history.to_json()
