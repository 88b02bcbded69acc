"""What operators do with orders: find them, pack them, ship them, and see to the money."""

from typing import Any

import httpx
import pytest

from domain.customers import Role
from domain.inventory import StockLevel
from runtime.resources import Resources
from tests.support.catalog import AProduct, a_product, ledger_of, stock_of
from tests.support.ledger import moved
from tests.support.shopper import Shopper
from tests.support.staff import headers_of
from tests.support.waiting import eventually

UNKNOWN = "01890a5d-ac96-774b-bcce-b302099a8057"
LABEL = {"carrier": "UPS", "tracking_number": "1Z999"}


def is_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code), answer.text
    return problem


class Desk:
    """An operator at work."""

    def __init__(self, http: httpx.AsyncClient, headers: dict[str, str]) -> None:
        self._http = http
        self.headers = headers

    async def post(self, path: str, body: Any = None) -> httpx.Response:
        return await self._http.post(f"/v1/admin{path}", json=body, headers=self.headers)

    async def order(self, order: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = (await self._http.get(f"/v1/orders/{order['id']}", headers=self.headers)).json()
        return found

    async def found(self, **query: Any) -> list[str]:
        answer = await self._http.get("/v1/admin/orders", params=query, headers=self.headers)
        assert answer.status_code == 200, answer.text
        return [order["id"] for order in answer.json()["items"]]

    async def packs(self, order: dict[str, Any], *items: tuple[str, int]) -> str:
        body = {"items": [{"order_item_id": line, "quantity": quantity} for line, quantity in items]} if items else {}
        answer = await self.post(f"/orders/{order['id']}/fulfillments", body)
        assert answer.status_code == 201, answer.text
        assert answer.json()["status"] == "pending"
        return str(answer.json()["id"])

    async def ships(self, parcel: str) -> dict[str, Any]:
        answer = await self.post(f"/fulfillments/{parcel}/ship", LABEL)
        assert answer.status_code == 200, answer.text
        shipped: dict[str, Any] = answer.json()
        return shipped


@pytest.fixture
async def desk(api: httpx.AsyncClient, operator: dict[str, str]) -> Desk:
    return Desk(api, operator)


async def an_order(api: httpx.AsyncClient, *contents: tuple[AProduct, int], **customer: Any) -> dict[str, Any]:
    shopper = Shopper(api, **customer)
    cart = await shopper.a_cart(*((product.variant_id, quantity) for product, quantity in contents))
    answer = await shopper.check_out(cart)
    assert answer.status_code == 201, answer.text
    order: dict[str, Any] = answer.json()
    return order


async def test_shipping_captures_the_payment_and_takes_the_goods_out_of_the_stock(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources, desk: Desk
) -> None:
    product = await a_product(resources.sessions, price="10.00", stock=5)
    order = await an_order(api, (product, 2))
    parcel = await desk.packs(order)
    assert await moved(sandbox, order) == [("authorize", 2499)]

    shipped = await desk.ships(parcel)

    assert (shipped["status"], shipped["carrier"], shipped["tracking_number"]) == ("shipped", "UPS", "1Z999")
    assert shipped["items"] == [{"order_item_id": order["items"][0]["id"], "quantity": 2}]
    assert shipped["shipped_at"] is not None
    assert await moved(sandbox, order) == [("authorize", 2499), ("capture", 2499)]
    after = await desk.order(order)
    assert (after["status"], after["payment"]["status"], after["fulfillment_status"]) == (
        "shipped",
        "captured",
        "shipped",
    )
    assert after["payment"]["captured"] == {"amount": "24.99", "currency": "USD"}
    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=3, reserved=0)
    assert await ledger_of(resources.sessions, product.variant_id) == StockLevel(on_hand=3, reserved=0)


async def test_with_its_last_delivery_the_order_is_delivered(
    api: httpx.AsyncClient, resources: Resources, desk: Desk
) -> None:
    order = await an_order(api, (await a_product(resources.sessions, stock=5), 2))
    [line] = [item["id"] for item in order["items"]]
    first, second = await desk.packs(order, (line, 1)), await desk.packs(order)
    await desk.ships(first)
    await desk.ships(second)

    await desk.post(f"/fulfillments/{first}/deliver")
    halfway = await desk.order(order)
    answer = await desk.post(f"/fulfillments/{second}/deliver")

    assert (halfway["status"], halfway["fulfillment_status"]) == ("shipped", "partially_delivered")
    assert (answer.status_code, answer.json()["status"]) == (200, "delivered")
    after = await desk.order(order)
    assert (after["status"], after["fulfillment_status"]) == ("delivered", "delivered")


@pytest.mark.matrix("ship: the order is over")
async def test_nothing_happens_to_an_order_any_more_that_is_over(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources, desk: Desk
) -> None:
    order = await an_order(api, (await a_product(resources.sessions, price="10.00", stock=5), 1))
    parcel = await desk.packs(order)
    await desk.ships(parcel)
    await desk.post(f"/fulfillments/{parcel}/deliver")
    before = await desk.order(order)

    for path, body in ((f"/orders/{order['id']}/fulfillments", {}), (f"/fulfillments/{parcel}/cancel", None)):
        problem = is_problem(await desk.post(path, body), 409, "order_transition_not_allowed")
        assert (problem["current_status"], problem["allowed"]) == ("delivered", [])

    assert await desk.order(order) == before
    assert await moved(sandbox, order) == [("authorize", 1499), ("capture", 1499)]


async def test_what_was_done_before_is_answered_as_it_is_also_when_the_order_is_over(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources, desk: Desk
) -> None:
    order = await an_order(api, (await a_product(resources.sessions, price="10.00", stock=5), 1))
    unpacked = await desk.packs(order)
    first = await desk.post(f"/fulfillments/{unpacked}/cancel")
    parcel = await desk.packs(order)
    await desk.ships(parcel)
    delivered = await desk.post(f"/fulfillments/{parcel}/deliver")
    before = await desk.order(order)

    for path, body, told in (
        (f"/fulfillments/{unpacked}/cancel", None, first),
        (f"/fulfillments/{parcel}/ship", LABEL, delivered),
        (f"/fulfillments/{parcel}/deliver", None, delivered),
    ):
        again = await desk.post(path, body)
        assert (again.status_code, again.json()) == (200, told.json())

    assert await desk.order(order) == before
    assert await moved(sandbox, order) == [("authorize", 1499), ("capture", 1499)]


async def test_partial_shipments_capture_the_total_between_them(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources, desk: Desk
) -> None:
    lamp = await a_product(resources.sessions, price="3.33", stock=9)
    chair = await a_product(resources.sessions, price="7.77", stock=9)
    order = await an_order(api, (lamp, 3), (chair, 2))
    lines = {item["sku"]: item["id"] for item in order["items"]}

    first = await desk.packs(order, (lines[lamp.sku], 1))
    second = await desk.packs(order, (lines[lamp.sku], 1), (lines[chair.sku], 1))
    last = await desk.packs(order)
    for parcel in (first, second, last):
        await desk.ships(parcel)

    assert await moved(sandbox, order) == [
        ("authorize", 3052),
        ("capture", 333 + 499),
        ("capture", 333 + 777),
        ("capture", 333 + 777),
    ]
    after = await desk.order(order)
    assert (after["payment"]["status"], after["payment"]["captured"]["amount"]) == ("captured", "30.52")
    assert [len(parcel["items"]) for parcel in after["fulfillments"]] == [1, 2, 2]


async def test_while_parcels_wait_the_payment_stays_authorised(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources, desk: Desk
) -> None:
    product = await a_product(resources.sessions, price="10.00", stock=5)
    order = await an_order(api, (product, 2))
    await desk.ships(await desk.packs(order, (order["items"][0]["id"], 1)))

    after = await desk.order(order)

    assert (after["status"], after["payment"]["status"], after["fulfillment_status"]) == (
        "confirmed",
        "authorized",
        "partially_shipped",
    )
    assert await moved(sandbox, order) == [("authorize", 2499), ("capture", 1499)]
    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=4, reserved=1)


@pytest.mark.matrix("ship: sent again, or by many at once")
async def test_a_parcel_shipped_twice_is_captured_once(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources, desk: Desk
) -> None:
    product = await a_product(resources.sessions, price="10.00", stock=5)
    order = await an_order(api, (product, 1))
    parcel = await desk.packs(order)

    first, again = await desk.ships(parcel), await desk.ships(parcel)

    assert again == first
    assert await moved(sandbox, order) == [("authorize", 1499), ("capture", 1499)]
    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=4, reserved=0)


@pytest.mark.matrix("ship: the answer is lost after the provider's commit")
async def test_a_capture_whose_answer_is_lost_is_taken_once(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources, desk: Desk
) -> None:
    product = await a_product(resources.sessions, price="10.00", stock=5)
    order = await an_order(api, (product, 1))
    parcel = await desk.packs(order)
    await sandbox.put("/faults", json={"payments": {"next": [{"operation": "capture", "fault": "drop_response"}]}})

    await desk.ships(parcel)

    assert await moved(sandbox, order) == [("authorize", 1499), ("capture", 1499)]


async def test_units_are_packed_once(api: httpx.AsyncClient, resources: Resources, desk: Desk) -> None:
    order = await an_order(api, (await a_product(resources.sessions, stock=5), 2))
    [line] = [item["id"] for item in order["items"]]
    await desk.packs(order, (line, 1))
    wishes: list[Any] = [
        [{"order_item_id": line, "quantity": 2}],
        [{"order_item_id": line, "quantity": 1}, {"order_item_id": line, "quantity": 1}],
        [{"order_item_id": UNKNOWN, "quantity": 1}],
    ]

    for items in wishes:
        problem = is_problem(
            await desk.post(f"/orders/{order['id']}/fulfillments", {"items": items}), 409, "units_not_available"
        )
        assert problem["items"] == [{"order_item_id": line, "available": 1}]

    assert len((await desk.order(order))["fulfillments"]) == 1


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"items": []}, "/items"),
        ({"items": [{"order_item_id": UNKNOWN, "quantity": 0}]}, "/items/0/quantity"),
        ({"items": [{"order_item_id": "one", "quantity": 1}]}, "/items/0/order_item_id"),
        ({"parcels": 2}, "/parcels"),
    ],
)
async def test_a_parcel_names_what_is_wrong_with_it(
    api: httpx.AsyncClient, resources: Resources, desk: Desk, body: Any, pointer: str
) -> None:
    order = await an_order(api, (await a_product(resources.sessions, stock=5), 2))

    problem = is_problem(await desk.post(f"/orders/{order['id']}/fulfillments", body), 422, "validation_failed")

    assert [error["pointer"] for error in problem["errors"]] == [pointer]


async def test_an_unpacked_parcels_units_can_be_packed_again(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources, desk: Desk
) -> None:
    product = await a_product(resources.sessions, price="10.00", stock=5)
    order = await an_order(api, (product, 2))
    parcel = await desk.packs(order)

    answer = await desk.post(f"/fulfillments/{parcel}/cancel")

    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=5, reserved=2)
    is_problem(await desk.post(f"/fulfillments/{parcel}/ship", LABEL), 409, "order_transition_not_allowed")
    assert await moved(sandbox, order) == [("authorize", 2499)]
    await desk.ships(await desk.packs(order))
    assert await moved(sandbox, order) == [("authorize", 2499), ("capture", 2499)]


async def test_a_parcel_that_has_left_is_not_unpacked_and_one_that_has_not_does_not_arrive(
    api: httpx.AsyncClient, resources: Resources, desk: Desk
) -> None:
    order = await an_order(api, (await a_product(resources.sessions, stock=5), 2))
    [line] = [item["id"] for item in order["items"]]
    sent, waiting = await desk.packs(order, (line, 1)), await desk.packs(order)
    await desk.ships(sent)

    is_problem(await desk.post(f"/fulfillments/{sent}/cancel"), 409, "order_transition_not_allowed")
    is_problem(await desk.post(f"/fulfillments/{waiting}/deliver"), 409, "order_transition_not_allowed")

    assert [parcel["status"] for parcel in (await desk.order(order))["fulfillments"]] == ["shipped", "pending"]


async def test_a_parcel_or_an_order_that_never_was_is_not_found(desk: Desk, api: httpx.AsyncClient) -> None:
    is_problem(await desk.post(f"/orders/{UNKNOWN}/fulfillments", {}), 404, "not_found")
    is_problem(await desk.post(f"/fulfillments/{UNKNOWN}/ship", LABEL), 404, "not_found")
    is_problem(await desk.post(f"/fulfillments/{UNKNOWN}/deliver"), 404, "not_found")
    is_problem(await desk.post(f"/fulfillments/{UNKNOWN}/cancel"), 404, "not_found")


async def test_an_order_that_waits_for_its_payer_is_not_packed(
    api: httpx.AsyncClient, resources: Resources, desk: Desk
) -> None:
    product, shopper = await a_product(resources.sessions, stock=5), Shopper(api)
    cart = await shopper.a_cart((product.variant_id, 1))
    order = (await shopper.check_out(cart, card="pm_card_threeDSecure2Required")).json()

    problem = is_problem(
        await desk.post(f"/orders/{order['id']}/fulfillments", {}), 409, "order_transition_not_allowed"
    )

    assert (problem["current_status"], problem["allowed"]) == ("pending", ["cancelled", "confirmed"])
    assert (await desk.order(order))["fulfillments"] == []


async def test_an_operator_cancels_an_order_and_the_timeline_says_so(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources, desk: Desk, operator: dict[str, str]
) -> None:
    product = await a_product(resources.sessions, price="10.00", stock=5)
    order = await an_order(api, (product, 1))
    parcel = await desk.packs(order)

    answer = await api.post(f"/v1/orders/{order['id']}/cancel", json={"reason": "fraud"}, headers=operator)

    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert [shown["status"] for shown in answer.json()["fulfillments"]] == ["cancelled"]
    assert await moved(sandbox, order) == [("authorize", 1499), ("void", 1499)]
    is_problem(await desk.post(f"/fulfillments/{parcel}/ship", LABEL), 409, "order_transition_not_allowed")
    events = (await api.get(f"/v1/orders/{order['id']}/events", headers=operator)).json()["items"]
    assert events[-1]["type"] == "order.cancelled"
    assert events[-1]["actor"].startswith("operator:")


@pytest.mark.matrix("ship: the provider refuses to capture")
async def test_a_capture_that_is_refused_keeps_the_parcel_here_and_calls_for_a_person(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources, desk: Desk
) -> None:
    product = await a_product(resources.sessions, price="10.00", stock=5)
    order = await an_order(api, (product, 1))
    parcel = await desk.packs(order)
    intent = order["payment"]["provider_reference"]
    # Somebody voids the authorisation at the provider, behind the shop's back.
    await sandbox.post(f"/v1/payment_intents/{intent}/cancel", headers={"Authorization": "Bearer sk_test_sutler"})

    problem = is_problem(await desk.post(f"/fulfillments/{parcel}/ship", LABEL), 409, "capture_refused")

    assert problem["refusal"] == "payment_intent_unexpected_state"
    after = await desk.order(order)
    assert (after["status"], [shown["status"] for shown in after["fulfillments"]]) == ("confirmed", ["pending"])
    assert after["needs_attention"] is True
    assert "capture" in after["attention"]
    assert await desk.found(needs_attention="true", q=order["number"]) == [order["id"]]
    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=5, reserved=1)
    assert await moved(sandbox, order) == [("authorize", 1499), ("void", 1499)]


# --- finding ------------------------------------------------------------------------------------------------------


async def test_orders_are_found_by_number_mail_customer_and_status(
    api: httpx.AsyncClient, resources: Resources, desk: Desk
) -> None:
    product = await a_product(resources.sessions, stock=50)
    headers = await headers_of(resources, Role.CUSTOMER)
    me = (await api.get("/v1/users/me", headers=headers)).json()["id"]
    email = f"Wanted.{order_free(me)}@example.com"
    first = await an_order(api, (product, 1), headers=headers, email=email)
    second = await an_order(api, (product, 1), headers=headers, email=email)
    await desk.ships(await desk.packs(first))

    assert await desk.found(q=first["number"]) == [first["id"]]
    assert await desk.found(q=first["number"].removeprefix("S-")) == [first["id"]]
    assert await desk.found(q=f" {first['number'].lower()} ") == [first["id"]]
    assert await desk.found(q=email.upper()) == [second["id"], first["id"]]
    assert await desk.found(customer=me) == [second["id"], first["id"]]
    assert await desk.found(customer=me, status="shipped") == [first["id"]]
    assert await desk.found(customer=me, payment_status="authorized") == [second["id"]]
    assert await desk.found(customer=me, needs_attention="true") == []
    assert await desk.found(customer=me, needs_attention="false", limit=1) == [second["id"]]
    assert await desk.found(q="S-999999999999") == []
    assert await desk.found(q="' OR 1=1 --") == []


def order_free(identifier: str) -> str:
    return identifier.replace("-", "")[-12:]


async def test_operators_page_through_orders(api: httpx.AsyncClient, resources: Resources, operator: Any) -> None:
    product = await a_product(resources.sessions, stock=50)
    headers = await headers_of(resources, Role.CUSTOMER)
    me = (await api.get("/v1/users/me", headers=headers)).json()["id"]
    made = [(await an_order(api, (product, 1), headers=headers))["id"] for _ in range(3)]

    query = {"customer": me, "limit": 2}
    first = (await api.get("/v1/admin/orders", params=query, headers=operator)).json()
    second = (
        await api.get("/v1/admin/orders", params={**query, "cursor": first["next_cursor"]}, headers=operator)
    ).json()

    assert [order["id"] for order in first["items"] + second["items"]] == list(reversed(made))
    assert second["next_cursor"] is None


# --- who may ------------------------------------------------------------------------------------------------------

CALLS = [
    ("GET", "/v1/admin/orders", None),
    ("POST", f"/v1/admin/orders/{UNKNOWN}/fulfillments", {}),
    ("POST", f"/v1/admin/fulfillments/{UNKNOWN}/ship", LABEL),
    ("POST", f"/v1/admin/fulfillments/{UNKNOWN}/deliver", None),
    ("POST", f"/v1/admin/fulfillments/{UNKNOWN}/cancel", None),
]


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
async def test_operators_calls_are_not_for_customers_and_not_for_strangers(
    api: httpx.AsyncClient, resources: Resources, method: str, path: str, body: Any
) -> None:
    customer = await headers_of(resources, Role.CUSTOMER)

    is_problem(await api.request(method, path, json=body, headers=customer), 403, "forbidden")
    stranger = await api.request(method, path, json=body)
    is_problem(stranger, 401, "unauthenticated")
    assert stranger.headers["www-authenticate"] == "Bearer"
    forged = await api.request(method, path, json=body, headers={"Authorization": "Bearer forged"})
    is_problem(forged, 401, "unauthenticated")


async def test_an_admin_may_do_what_operators_do(api: httpx.AsyncClient, resources: Resources) -> None:
    order = await an_order(api, (await a_product(resources.sessions, stock=5), 1))
    desk = Desk(api, await headers_of(resources, Role.ADMIN))

    await desk.ships(await desk.packs(order))

    async def is_shipped() -> bool:
        return bool((await desk.order(order))["status"] == "shipped")

    assert await eventually(is_shipped)
