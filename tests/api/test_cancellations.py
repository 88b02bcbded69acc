"""Units that are not wanted any more, as long as they have not left."""

import asyncio
from collections import Counter
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import text

from domain.inventory import StockLevel
from runtime.resources import Resources
from tests.api.test_operators import UNKNOWN, Desk, an_order, is_problem
from tests.support.catalog import a_product, ledger_of, stock_of
from tests.support.ledger import held, kept, moved
from tests.support.shopper import Shopper
from tests.support.waiting import eventually


@pytest.fixture
async def desk(api: httpx.AsyncClient, operator: dict[str, str]) -> Desk:
    return Desk(api, operator)


@pytest.fixture
async def order(api: httpx.AsyncClient, resources: Resources) -> dict[str, Any]:
    """5 x 10.00, and 4.99 for shipping: 54.99, confirmed."""
    return await an_order(api, (await a_product(resources.sessions, price="10.00", stock=9), 5))


def usd(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "USD"}


async def cancel(
    api: httpx.AsyncClient, who: dict[str, str], order: dict[str, Any], *items: tuple[str, int], key: str | None = None
) -> httpx.Response:
    return await api.post(
        f"/v1/orders/{order['id']}/cancel",
        json={
            "reason": "ordered too many",
            "items": [{"order_item_id": line, "quantity": quantity} for line, quantity in items],
        },
        headers={**who, **({"Idempotency-Key": key} if key else {})},
    )


def line_of(order: dict[str, Any]) -> str:
    [line] = order["items"]
    return str(line["id"])


def variant_of(order: dict[str, Any]) -> UUID:
    [line] = order["items"]
    return UUID(line["variant_id"])


async def test_cancelled_units_go_back_and_are_not_captured(
    api: httpx.AsyncClient,
    sandbox: httpx.AsyncClient,
    operator: dict[str, str],
    resources: Resources,
    desk: Desk,
    order: dict[str, Any],
) -> None:
    answer = await cancel(api, operator, order, (line_of(order), 2))

    assert (answer.status_code, answer.json()["status"]) == (200, "confirmed"), answer.text
    assert [(item["quantity"], item["cancelled_quantity"]) for item in answer.json()["items"]] == [(5, 2)]
    assert answer.json()["totals"] == order["totals"]
    assert await stock_of(resources.sessions, variant_of(order)) == StockLevel(on_hand=9, reserved=3)
    await desk.ships(await desk.packs(order))
    assert await moved(sandbox, order) == [("authorize", 5499), ("capture", 3499), ("void", 2000)]
    after = await desk.order(order)
    assert (after["status"], after["payment"]["status"]) == ("shipped", "captured")
    assert await ledger_of(resources.sessions, variant_of(order)) == StockLevel(on_hand=6, reserved=0)


async def test_what_is_left_of_an_order_is_cancelled_after_a_part_of_it_was_shipped(
    api: httpx.AsyncClient,
    sandbox: httpx.AsyncClient,
    operator: dict[str, str],
    resources: Resources,
    desk: Desk,
    order: dict[str, Any],
) -> None:
    parcel = await desk.packs(order, (line_of(order), 2))
    await desk.ships(parcel)
    await desk.packs(order)
    assert held(await moved(sandbox, order)) == 3000

    answer = await cancel(api, operator, order, (line_of(order), 3))

    assert (answer.status_code, answer.json()["status"]) == (200, "shipped"), answer.text
    assert answer.json()["payment"]["status"] == "captured"
    assert [parcel["status"] for parcel in answer.json()["fulfillments"]] == ["shipped", "cancelled"]
    assert await moved(sandbox, order) == [("authorize", 5499), ("capture", 2499), ("void", 3000)]
    assert await stock_of(resources.sessions, variant_of(order)) == StockLevel(on_hand=7, reserved=0)
    assert (await desk.post(f"/fulfillments/{parcel}/deliver")).status_code == 200
    assert (await desk.order(order))["status"] == "delivered"


@pytest.mark.matrix("cancel: of the last units, and the answer about the freed money is lost")
async def test_a_release_whose_answer_is_lost_frees_the_money_once(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, operator: dict[str, str], desk: Desk, order: dict[str, Any]
) -> None:
    await desk.ships(await desk.packs(order, (line_of(order), 2)))
    faults = {"payments": {"next": [{"operation": "capture", "fault": "drop_response"}]}}
    await sandbox.put("/faults", json=faults)

    assert (await cancel(api, operator, order, (line_of(order), 3))).status_code == 200

    assert await moved(sandbox, order) == [("authorize", 5499), ("capture", 2499), ("void", 3000)]


async def test_cancelling_every_unit_cancels_the_order(
    api: httpx.AsyncClient,
    sandbox: httpx.AsyncClient,
    operator: dict[str, str],
    resources: Resources,
    desk: Desk,
    order: dict[str, Any],
) -> None:
    assert (await cancel(api, operator, order, (line_of(order), 2))).json()["status"] == "confirmed"
    await desk.packs(order, (line_of(order), 1))

    answer = await cancel(api, operator, order, (line_of(order), 3))

    assert (answer.status_code, answer.json()["status"], answer.json()["cancel_reason"]) == (
        200,
        "cancelled",
        "ordered too many",
    )
    assert await moved(sandbox, order) == [("authorize", 5499), ("void", 5499)]
    assert await stock_of(resources.sessions, variant_of(order)) == StockLevel(on_hand=9, reserved=0)
    assert await ledger_of(resources.sessions, variant_of(order)) == StockLevel(on_hand=9, reserved=0)
    again = await cancel(api, operator, order, (line_of(order), 3))
    assert (again.status_code, again.json()["status"]) == (200, "cancelled")


async def test_a_partly_cancelled_order_can_still_be_cancelled_as_a_whole(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, operator: dict[str, str], resources: Resources, order: Any
) -> None:
    await cancel(api, operator, order, (line_of(order), 2))

    answer = await api.post(f"/v1/orders/{order['id']}/cancel", json={"reason": "no more"}, headers=operator)

    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert kept(await moved(sandbox, order)) == held(await moved(sandbox, order)) == 0
    assert await stock_of(resources.sessions, variant_of(order)) == StockLevel(on_hand=9, reserved=0)


async def test_fifty_twins_with_one_key_cancel_once(
    api: httpx.AsyncClient, operator: dict[str, str], resources: Resources, order: dict[str, Any]
) -> None:
    key = str(uuid4())
    answers = await asyncio.gather(*(cancel(api, operator, order, (line_of(order), 1), key=key) for _ in range(50)))

    assert {answer.status_code for answer in answers} == {200}
    assert Counter(answer.headers.get("Idempotency-Replayed") for answer in answers) == {"true": 49, None: 1}
    assert {answer.json()["items"][0]["cancelled_quantity"] for answer in answers} == {1}
    assert await stock_of(resources.sessions, variant_of(order)) == StockLevel(on_hand=9, reserved=4)
    is_problem(await cancel(api, operator, order, (line_of(order), 2), key=key), 422, "idempotency_key_reused")


async def test_more_who_cancel_than_there_are_units_share_what_there_is(
    api: httpx.AsyncClient, operator: dict[str, str], resources: Resources, desk: Desk, order: dict[str, Any]
) -> None:
    await desk.ships(await desk.packs(order, (line_of(order), 1)))

    answers = await asyncio.gather(*(cancel(api, operator, order, (line_of(order), 1)) for _ in range(10)))

    assert Counter(answer.status_code for answer in answers) == {200: 4, 409: 6}
    after = await desk.order(order)
    assert (after["status"], after["items"][0]["cancelled_quantity"]) == ("shipped", 4)
    assert await stock_of(resources.sessions, variant_of(order)) == StockLevel(on_hand=8, reserved=0)


@pytest.mark.matrix("cancel: of units that leave in the same moment")
async def test_units_are_shipped_or_cancelled_and_the_loser_is_told(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, operator: dict[str, str], resources: Resources, desk: Desk
) -> None:
    product = await a_product(resources.sessions, price="10.00", stock=50)
    for _ in range(5):
        order = await an_order(api, (product, 3))
        parcel = await desk.packs(order)
        cancelled, sent = await asyncio.gather(
            cancel(api, operator, order, (line_of(order), 1)),
            desk.post(f"/fulfillments/{parcel}/ship", {"carrier": "UPS", "tracking_number": "1Z999"}),
        )
        if sent.status_code == 200:
            assert is_problem(cancelled, 409, cancelled.json()["code"])["current_status"] == "shipped"
            assert kept(await moved(sandbox, order)) == 3499
        else:
            is_problem(sent, 409, "order_transition_not_allowed")
            assert cancelled.status_code == 200
            await desk.ships(await desk.packs(order))
            assert kept(await moved(sandbox, order)) == 2499
        assert held(await moved(sandbox, order)) == 0


@pytest.mark.parametrize(
    ("items", "status", "code"),
    [
        ([], 422, "validation_failed"),
        ([{"order_item_id": UNKNOWN, "quantity": 1}], 409, "units_not_cancellable"),
        ([{"order_item_id": UNKNOWN, "quantity": 0}], 422, "validation_failed"),
        ([{"order_item_id": UNKNOWN, "quantity": "1"}], 422, "validation_failed"),
    ],
)
async def test_what_cannot_be_cancelled_is_told_and_changes_nothing(
    api: httpx.AsyncClient,
    operator: dict[str, str],
    desk: Desk,
    order: dict[str, Any],
    items: list[dict[str, Any]],
    status: int,
    code: str,
) -> None:
    before = await desk.order(order)

    answer = await api.post(
        f"/v1/orders/{order['id']}/cancel", json={"reason": "too many", "items": items}, headers=operator
    )

    is_problem(answer, status, code)
    assert await desk.order(order) == before


async def test_strangers_cancel_nothing_and_guests_their_own(
    api: httpx.AsyncClient, resources: Resources, operator: dict[str, str]
) -> None:
    product, guest = await a_product(resources.sessions, price="10.00", stock=9), Shopper(api)
    cart = await guest.a_cart((product.variant_id, 3))
    order = (await guest.check_out(cart)).json()
    is_problem(await cancel(api, {}, order, (line_of(order), 1)), 404, "not_found")
    body = {"reason": "too many", "items": [{"order_item_id": line_of(order), "quantity": 1}]}

    answer = await api.post(f"/v1/orders/{order['id']}/cancel", params={"cart": cart}, json=body)

    assert (answer.status_code, answer.json()["items"][0]["cancelled_quantity"]) == (200, 1), answer.text


async def test_units_of_an_order_that_waits_for_its_payer_are_not_cancelled(
    api: httpx.AsyncClient, resources: Resources, operator: dict[str, str]
) -> None:
    shopper = Shopper(api)
    cart = await shopper.a_cart(((await a_product(resources.sessions, stock=3)).variant_id, 2))
    order = (await shopper.check_out(cart, card="pm_card_threeDSecure2Required")).json()
    assert order["status"] == "pending"

    problem = is_problem(await cancel(api, operator, order, (line_of(order), 1)), 409, "order_not_cancellable")

    assert (problem["current_status"], problem["allowed"]) == ("pending", ["cancelled", "confirmed"])
    answer = await shopper.send(
        "POST", f"/v1/orders/{order['id']}/cancel", json={"reason": "no"}, params={"cart": cart}
    )
    assert answer.status_code == 200


async def test_units_are_cancelled_right_behind_the_checkout(
    api: httpx.AsyncClient, operator: dict[str, str], resources: Resources
) -> None:
    product = await a_product(resources.sessions, price="10.00", stock=50)
    for _ in range(5):
        order = await an_order(api, (product, 2))
        answer = await cancel(api, operator, order, (line_of(order), 1))
        assert (answer.status_code, answer.json()["items"][0]["cancelled_quantity"]) == (200, 1), answer.text

    async def is_given_back() -> bool:
        return await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=50, reserved=5)

    await eventually(is_given_back)


async def test_why_units_were_cancelled_stays_in_its_table(
    api: httpx.AsyncClient, operator: dict[str, str], resources: Resources, order: dict[str, Any]
) -> None:
    await cancel(api, operator, order, (line_of(order), 1))

    history = await resources.temporal.get_workflow_handle(f"order:{order['id']}").fetch_history()
    assert "too many" not in history.to_json()
    async with resources.sessions() as session:
        wanted = {"id": order["id"]}
        told = await session.scalars(text("SELECT payload::text FROM outbox WHERE key = :id"), wanted)
        assert "too many" not in "".join(told)
        assert await session.scalar(text("SELECT reason FROM cancellations WHERE order_id = :id"), wanted) == (
            "ordered too many"
        )
