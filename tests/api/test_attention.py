"""Orders that need a person: why, since when, what can be decided, and who decided it."""

from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from domain.customers import Role
from domain.inventory import StockLevel
from runtime.resources import Resources
from tests.api.test_operators import LABEL, UNKNOWN, Desk, an_order, is_problem
from tests.support.catalog import AProduct, a_product, stock_of
from tests.support.ledger import moved
from tests.support.shopper import Shopper
from tests.support.staff import headers_of
from tests.support.waiting import eventually


class Stuck:
    """An order whose authorisation somebody voided behind the shop's back, so that its parcel cannot be captured."""

    def __init__(self, desk: Desk, order: dict[str, Any], parcel: str, product: AProduct) -> None:
        self.desk, self.order, self.parcel, self.product = desk, order, parcel, product

    async def resolves(self, decision: str, note: str = "called the customer") -> httpx.Response:
        return await self.desk.post(f"/orders/{self.order['id']}/resolve", {"decision": decision, "note": note})


@pytest.fixture
async def desk(api: httpx.AsyncClient, operator: dict[str, str]) -> Desk:
    return Desk(api, operator)


@pytest.fixture
async def stuck(api: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources, desk: Desk) -> Stuck:
    product = await a_product(resources.sessions, price="10.00", stock=5)
    order = await an_order(api, (product, 1))
    parcel = await desk.packs(order)
    intent = order["payment"]["provider_reference"]
    await sandbox.post(f"/v1/payment_intents/{intent}/cancel", headers={"Authorization": "Bearer sk_test_sutler"})
    is_problem(await desk.post(f"/fulfillments/{parcel}/ship", LABEL), 409, "capture_refused")
    return Stuck(desk, order, parcel, product)


async def explained(http: httpx.AsyncClient, operator: dict[str, str], order: dict[str, Any]) -> dict[str, Any]:
    answer = await http.get(f"/v1/admin/orders/{order['id']}/explain", headers=operator)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def test_an_order_that_needs_a_person_says_why_and_what_can_be_decided(
    api: httpx.AsyncClient, operator: dict[str, str], stuck: Stuck
) -> None:
    shown = await stuck.desk.order(stuck.order)
    [concern] = shown["concerns"]
    assert concern["concern"] == "capture_refused"
    assert concern["detail"] == shown["attention"]

    told = await explained(api, operator, stuck.order)
    assert told["waits_for"] == f"a person: {concern['detail']}"
    assert (told["number"], told["status"], told["story"], told["engine"]) == (
        stuck.order["number"],
        "confirmed",
        "Fulfillment",
        "ok",
    )
    assert told["decisions"] == ["retry", "cancel"]
    assert told["concerns"] == [concern]


async def needing_a_person(api: httpx.AsyncClient, concern: str) -> float:
    line = f'sutler_orders_needing_attention{{concern="{concern}"}} '
    [found] = [row for row in (await api.get("/metrics")).text.splitlines() if row.startswith(line)]
    return float(found.removeprefix(line))


async def test_the_metrics_count_orders_that_need_a_person_by_what_for(api: httpx.AsyncClient, stuck: Stuck) -> None:
    waiting = await needing_a_person(api, "capture_refused")
    assert waiting >= 1
    assert await needing_a_person(api, "books_broken") == 0

    await stuck.resolves("cancel")

    assert await needing_a_person(api, "capture_refused") == waiting - 1


@pytest.mark.matrix("ship: the provider refuses to capture")
async def test_a_person_cancels_what_cannot_be_captured(
    api: httpx.AsyncClient, operator: dict[str, str], stuck: Stuck, resources: Resources, sandbox: httpx.AsyncClient
) -> None:
    answer = await stuck.resolves("cancel", "Ada Testcase has no other card")

    assert answer.status_code == 200, answer.text
    after = answer.json()
    assert (after["status"], after["needs_attention"], after["concerns"]) == ("cancelled", False, [])
    assert after["cancel_reason"] == "Ada Testcase has no other card"
    assert await stock_of(resources.sessions, stuck.product.variant_id) == StockLevel(on_hand=5, reserved=0)
    assert await moved(sandbox, stuck.order) == [("authorize", 1499), ("void", 1499)]
    told = await explained(api, operator, stuck.order)
    assert (told["waits_for"], told["story"], told["decisions"]) == ("nothing any more", None, [])


@pytest.fixture
async def half_stuck(api: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources, desk: Desk) -> Stuck:
    """3 x 10.00, and 4.99 for shipping: one unit has left, and the provider refuses to take the money for the rest."""
    product = await a_product(resources.sessions, price="10.00", stock=5)
    order = await an_order(api, (product, 3))
    line = order["items"][0]["id"]
    await desk.ships(await desk.packs(order, (line, 1)))
    parcel = await desk.packs(order, (line, 2))
    await sandbox.put("/faults", json={"payments": {"next": [{"operation": "capture", "fault": "refusal"}]}})
    problem = is_problem(await desk.post(f"/fulfillments/{parcel}/ship", LABEL), 409, "capture_refused")
    assert problem["refusal"] == "refused_on_request"
    return Stuck(desk, order, parcel, product)


@pytest.mark.matrix("ship: the provider refuses to capture when another parcel has left")
async def test_what_has_left_stays_paid_for_when_the_next_parcel_cannot_be_captured(
    api: httpx.AsyncClient,
    operator: dict[str, str],
    half_stuck: Stuck,
    resources: Resources,
    sandbox: httpx.AsyncClient,
) -> None:
    shown = await half_stuck.desk.order(half_stuck.order)
    assert (shown["status"], shown["fulfillment_status"], shown["payment"]["status"]) == (
        "confirmed",
        "partially_shipped",
        "authorized",
    )
    assert [parcel["status"] for parcel in shown["fulfillments"]] == ["shipped", "pending"]
    assert shown["attention"] == "the provider refuses to capture USD 20.00: refused_on_request"
    assert (await explained(api, operator, half_stuck.order))["decisions"] == ["retry"]

    is_problem(await half_stuck.resolves("cancel"), 409, "nothing_to_resolve")
    refused = await api.post(f"/v1/orders/{half_stuck.order['id']}/cancel", json={"reason": "no"}, headers=operator)
    is_problem(refused, 409, "order_not_cancellable")

    assert await half_stuck.desk.order(half_stuck.order) == shown
    assert await moved(sandbox, half_stuck.order) == [("authorize", 3499), ("capture", 1499)]
    assert await stock_of(resources.sessions, half_stuck.product.variant_id) == StockLevel(on_hand=4, reserved=2)


@pytest.mark.matrix("ship: the provider refuses to capture when another parcel has left")
async def test_a_retry_captures_the_rest_once_and_sends_it_off(
    half_stuck: Stuck, resources: Resources, sandbox: httpx.AsyncClient
) -> None:
    answer = await half_stuck.resolves("retry")

    assert answer.status_code == 200, answer.text
    after = answer.json()
    assert (after["status"], after["payment"]["status"], after["concerns"]) == ("shipped", "captured", [])
    assert await moved(sandbox, half_stuck.order) == [("authorize", 3499), ("capture", 1499), ("capture", 2000)]
    assert await stock_of(resources.sessions, half_stuck.product.variant_id) == StockLevel(on_hand=2, reserved=0)


@pytest.mark.matrix("ship: the provider refuses to capture when another parcel has left")
async def test_units_that_cannot_be_captured_are_cancelled_and_the_rest_of_the_order_goes_on(
    api: httpx.AsyncClient,
    operator: dict[str, str],
    half_stuck: Stuck,
    resources: Resources,
    sandbox: httpx.AsyncClient,
) -> None:
    units = [{"order_item_id": half_stuck.order["items"][0]["id"], "quantity": 2}]
    wish = {"reason": "the bank says no", "items": units}

    answer = await api.post(f"/v1/orders/{half_stuck.order['id']}/cancel", json=wish, headers=operator)

    assert answer.status_code == 200, answer.text
    after = answer.json()
    assert (after["status"], after["payment"]["status"], after["concerns"]) == ("shipped", "captured", [])
    assert [parcel["status"] for parcel in after["fulfillments"]] == ["shipped", "cancelled"]
    assert await moved(sandbox, half_stuck.order) == [("authorize", 3499), ("capture", 1499), ("void", 2000)]
    assert await stock_of(resources.sessions, half_stuck.product.variant_id) == StockLevel(on_hand=4, reserved=0)


@pytest.mark.matrix("ship: the authorisation has lapsed")
async def test_a_retry_authorises_anew_what_has_lapsed_and_takes_the_money_once(
    stuck: Stuck, sandbox: httpx.AsyncClient
) -> None:
    [concern] = (await stuck.desk.order(stuck.order))["concerns"]
    assert "its authorisation has lapsed, and a retry asks for a new one" in concern["detail"]

    answer = await stuck.resolves("retry")

    assert answer.status_code == 200, answer.text
    after = answer.json()
    assert (after["status"], after["payment"]["status"]) == ("shipped", "captured")
    assert (after["needs_attention"], after["concerns"]) == (False, [])
    assert after["payment"]["provider_reference"] != stuck.order["payment"]["provider_reference"]
    assert await moved(sandbox, stuck.order) == [("authorize", 1499), ("void", 1499)]
    assert await moved(sandbox, after) == [("authorize", 1499), ("capture", 1499)]


@pytest.mark.matrix("ship: the authorisation has lapsed")
async def test_a_renewal_that_is_declined_says_so_and_leaves_the_order_waiting(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources, desk: Desk
) -> None:
    """The bank of this card wants to see its customer, who is not there any more."""
    product = await a_product(resources.sessions, price="10.00", stock=5)
    shopper = Shopper(api)
    cart = await shopper.a_cart((product.variant_id, 1))
    order = (await shopper.check_out(cart, card="pm_card_threeDSecure2Required")).json()
    await sandbox.post(f"{order['payment']['next_action']['redirect_url']}/complete")
    await eventually(lambda: has_status(desk, order, "confirmed"))
    parcel = await desk.packs(order)
    intent = order["payment"]["provider_reference"]
    await sandbox.post(f"/v1/payment_intents/{intent}/cancel", headers={"Authorization": "Bearer sk_test_sutler"})
    is_problem(await desk.post(f"/fulfillments/{parcel}/ship", LABEL), 409, "capture_refused")
    stuck = Stuck(desk, order, parcel, product)

    problem = is_problem(await stuck.resolves("retry"), 409, "capture_refused")

    assert problem["refusal"] == "authentication_required"
    shown = await desk.order(order)
    assert (shown["status"], shown["needs_attention"]) == ("confirmed", True)
    assert [parcel["status"] for parcel in shown["fulfillments"]] == ["pending"]
    assert shown["payment"]["provider_reference"] == intent
    assert await moved(sandbox, order) == [("authorize", 1499), ("void", 1499)]
    assert (await stuck.resolves("cancel")).json()["status"] == "cancelled"
    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=5, reserved=0)


async def has_status(desk: Desk, order: dict[str, Any], status: str) -> bool:
    return bool((await desk.order(order))["status"] == status)


async def test_decisions_that_are_not_allowed_are_refused_with_those_that_are(
    api: httpx.AsyncClient, resources: Resources, desk: Desk, stuck: Stuck
) -> None:
    before = await desk.order(stuck.order)
    problem = is_problem(await stuck.resolves("skip"), 409, "nothing_to_resolve")
    assert problem["allowed"] == ["cancel", "retry"]
    assert await desk.order(stuck.order) == before

    fine = await an_order(api, (await a_product(resources.sessions, stock=3), 1))
    answer = await desk.post(f"/orders/{fine['id']}/resolve", {"decision": "retry", "note": "why not"})
    assert is_problem(answer, 409, "nothing_to_resolve")["allowed"] == []
    is_problem(await desk.post(f"/orders/{fine['id']}/resolve", {"decision": "retry"}), 422, "validation_failed")
    is_problem(await desk.post(f"/orders/{UNKNOWN}/resolve", {"decision": "retry", "note": "x"}), 404, "not_found")


async def test_an_order_is_explained_at_every_station(
    api: httpx.AsyncClient, operator: dict[str, str], resources: Resources, desk: Desk
) -> None:
    order = await an_order(api, (await a_product(resources.sessions, stock=5), 2))
    told = [await explained(api, operator, order)]
    parcel = await desk.packs(order)
    told.append(await explained(api, operator, order))
    await desk.ships(parcel)
    told.append(await explained(api, operator, order))
    await desk.post(f"/fulfillments/{parcel}/deliver")
    told.append(await explained(api, operator, order))

    assert [(each["waits_for"], time_given(each)) for each in told] == [
        ("an operator, who has to pack 2 of 2 units", timedelta(hours=24)),
        ("an operator, who has to ship what is packed", timedelta(hours=24)),
        ("its delivery", timedelta(days=5)),
        ("nothing any more", None),
    ]


def time_given(explained: dict[str, Any]) -> timedelta | None:
    """From the beginning of the wait to its deadline."""
    if explained["deadline"] is None:
        return None
    return datetime.fromisoformat(explained["deadline"]) - datetime.fromisoformat(explained["since"])


async def test_explanations_are_for_staff(
    api: httpx.AsyncClient, resources: Resources, operator: dict[str, str], stuck: Stuck
) -> None:
    path = f"/v1/admin/orders/{stuck.order['id']}/explain"
    is_problem(await api.get(path), 401, "unauthenticated")
    is_problem(await api.get(path, headers=await headers_of(resources, Role.CUSTOMER)), 403, "forbidden")
    is_problem(await api.get(f"/v1/admin/orders/{UNKNOWN}/explain", headers=operator), 404, "not_found")


async def test_what_operators_ask_for_is_in_the_audit_log_which_nobody_can_change(
    api: httpx.AsyncClient, resources: Resources, operator: dict[str, str], stuck: Stuck
) -> None:
    await stuck.resolves("cancel", "no other card")
    path, query = "/v1/admin/audit", {"order": stuck.order["id"], "limit": 2}
    is_problem(await api.get(path, params=query, headers=operator), 403, "forbidden")

    admin = await headers_of(resources, Role.ADMIN)
    page = (await api.get(path, params=query, headers=admin)).json()
    rest = (await api.get(path, params={**query, "cursor": page["next_cursor"]}, headers=admin)).json()
    found = [*page["items"], *rest["items"]]
    assert [entry["action"] for entry in found] == ["resolve:cancel", "ship", "pack"]
    assert found[0]["note"] == "no other card"
    assert {entry["actor"].partition(":")[0] for entry in found} == {"operator"}
    assert rest["next_cursor"] is None

    for change in ("UPDATE audit_log SET note = ''", "DELETE FROM audit_log", "TRUNCATE audit_log"):
        async with resources.sessions() as session:
            with pytest.raises(DBAPIError, match="permission denied"):
                await session.execute(text(change))


async def test_the_words_of_whoever_cancels_stay_in_the_shop(
    api: httpx.AsyncClient, resources: Resources, desk: Desk
) -> None:
    customer = await headers_of(resources, Role.CUSTOMER)
    order = await an_order(api, (await a_product(resources.sessions, stock=3), 1), headers=customer)
    shopper = Shopper(api, headers=customer)
    answer = await shopper.send("POST", f"/v1/orders/{order['id']}/cancel", json={"reason": "Ada Testcase moved away"})

    assert (answer.status_code, answer.json()["cancel_reason"]) == (200, "Ada Testcase moved away")
    events = (await shopper.send("GET", f"/v1/orders/{order['id']}/events")).json()["items"]
    assert events[-1]["data"]["reason"] == "customer"
    async with resources.sessions() as session:
        letters = await session.scalars(text("SELECT payload::text FROM outbox WHERE key = :id"), {"id": order["id"]})
        assert "moved away" not in "".join(letters)
    history = await resources.temporal.get_workflow_handle(f"order:{order['id']}").fetch_history()
    assert "moved away" not in history.to_json()
