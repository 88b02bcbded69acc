"""What customers see of their orders, and how they stop one."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from domain.customers import Role
from domain.inventory import StockLevel
from runtime.resources import Resources
from tests.support.catalog import AProduct, a_product, ledger_of, stock_of
from tests.support.ledger import held, kept, moved
from tests.support.people import mails_to
from tests.support.shopper import ADDRESS, Shopper
from tests.support.staff import headers_of
from tests.support.waiting import eventually

UNKNOWN = "01890a5d-ac96-774b-bcce-b302099a8057"


def is_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code), answer.text
    return problem


async def a_customer(api: httpx.AsyncClient, resources: Resources) -> Shopper:
    return Shopper(api, headers=await headers_of(resources, Role.CUSTOMER))


async def an_order(shopper: Shopper, product: AProduct, quantity: int = 1) -> tuple[dict[str, Any], str]:
    """A confirmed order and its cart."""
    cart = await shopper.a_cart((product.variant_id, quantity))
    answer = await shopper.check_out(cart)
    assert answer.status_code == 201, answer.text
    return answer.json(), cart


async def cancel(shopper: Shopper, order: dict[str, Any], cart: str | None = None, **body: Any) -> httpx.Response:
    return await shopper.send(
        "POST",
        f"/v1/orders/{order['id']}/cancel",
        json=body or {"reason": "changed my mind"},
        params={"cart": cart} if cart else None,
    )


async def timeline(shopper: Shopper, order: dict[str, Any], cart: str | None = None, **query: Any) -> dict[str, Any]:
    answer = await shopper.send(
        "GET", f"/v1/orders/{order['id']}/events", params={**query, **({"cart": cart} if cart else {})}
    )
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


async def shipped(api: httpx.AsyncClient, operator: dict[str, str], order: dict[str, Any]) -> str:
    parcel = await api.post(f"/v1/admin/orders/{order['id']}/fulfillments", json={}, headers=operator)
    assert parcel.status_code == 201, parcel.text
    sent = await api.post(
        f"/v1/admin/fulfillments/{parcel.json()['id']}/ship",
        json={"carrier": "UPS", "tracking_number": "1Z999"},
        headers=operator,
    )
    assert sent.status_code == 200, sent.text
    return str(parcel.json()["id"])


# --- looking ------------------------------------------------------------------------------------------------------


async def test_an_order_shows_what_was_bought_and_where_it_goes(api: httpx.AsyncClient, resources: Resources) -> None:
    product = await a_product(resources.sessions, price="19.99", stock=5)
    shopper = await a_customer(api, resources)
    made, _ = await an_order(shopper, product, 2)

    order = await shopper.order(made["id"])

    assert order == made
    [item] = order["items"]
    assert (item["variant_id"], item["sku"], item["name"], item["quantity"]) == (
        str(product.variant_id),
        product.sku,
        product.name,
        2,
    )
    assert (item["unit_price"]["amount"], item["line_total"]["amount"]) == ("19.99", "39.98")
    assert (item["discount"]["amount"], item["tax"]["amount"]) == ("0.00", "0.00")
    assert {key: value for key, value in order["shipping_address"].items() if value} == ADDRESS
    assert (order["shipping_method"], order["email"]) == ("standard", shopper.email)
    assert (order["cancel_reason"], order["needs_attention"], order["fulfillments"]) == (None, False, [])
    assert UUID(order["id"]).version == 7
    assert order["created_at"].endswith("Z")


async def test_somebody_elses_order_does_not_exist(api: httpx.AsyncClient, resources: Resources) -> None:
    product = await a_product(resources.sessions, stock=5)
    owner, other = await a_customer(api, resources), await a_customer(api, resources)
    order, cart = await an_order(owner, product)

    for stranger in (other, Shopper(api)):
        for proof in (None, {"cart": cart}, {"cart": str(uuid4())}):
            is_problem(await stranger.send("GET", f"/v1/orders/{order['id']}", params=proof), 404, "not_found")
            is_problem(await stranger.send("GET", f"/v1/orders/{order['id']}/events", params=proof), 404, "not_found")
        is_problem(await cancel(stranger, order), 404, "not_found")

    assert (await owner.order(order["id"]))["status"] == "confirmed"


async def test_a_guests_order_is_shown_to_whoever_knows_its_cart(api: httpx.AsyncClient, resources: Resources) -> None:
    product, guest = await a_product(resources.sessions, stock=5), Shopper(api)
    order, cart = await an_order(guest, product)
    path = f"/v1/orders/{order['id']}"

    assert (await guest.send("GET", path, params={"cart": cart})).status_code == 200
    is_problem(await guest.send("GET", path), 404, "not_found")
    is_problem(await guest.send("GET", path, params={"cart": str(uuid4())}), 404, "not_found")
    is_problem(await (await a_customer(api, resources)).send("GET", path), 404, "not_found")


async def test_staff_see_every_order(api: httpx.AsyncClient, resources: Resources, operator: dict[str, str]) -> None:
    product = await a_product(resources.sessions, stock=5)
    order, _ = await an_order(await a_customer(api, resources), product)

    assert (await api.get(f"/v1/orders/{order['id']}", headers=operator)).json()["number"] == order["number"]


async def test_an_order_that_never_was_is_not_found(api: httpx.AsyncClient, operator: dict[str, str]) -> None:
    is_problem(await api.get(f"/v1/orders/{UNKNOWN}", headers=operator), 404, "not_found")
    is_problem(await api.post(f"/v1/orders/{UNKNOWN}/cancel", json={"reason": "x"}, headers=operator), 404, "not_found")


# --- lists --------------------------------------------------------------------------------------------------------


async def test_a_customer_pages_through_all_own_orders_newest_first_and_no_others(
    api: httpx.AsyncClient, resources: Resources
) -> None:
    product = await a_product(resources.sessions, stock=50)
    mine, other = await a_customer(api, resources), await a_customer(api, resources)
    made = []
    for _ in range(5):
        made.append((await an_order(mine, product))[0]["id"])
        await an_order(other, product)

    seen: list[str] = []
    cursor: str | None = None
    sizes = []
    while True:
        query = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        page = (await mine.send("GET", "/v1/orders", params=query)).json()
        seen += [order["id"] for order in page["items"]]
        sizes.append(len(page["items"]))
        cursor = page["next_cursor"]
        if cursor is None:
            break

    assert seen == list(reversed(made))
    assert sizes == [2, 2, 1]


async def test_the_last_page_that_is_full_knows_that_it_is_the_last(
    api: httpx.AsyncClient, resources: Resources
) -> None:
    product, mine = await a_product(resources.sessions, stock=50), await a_customer(api, resources)
    for _ in range(2):
        await an_order(mine, product)

    page = (await mine.send("GET", "/v1/orders", params={"limit": 2})).json()

    assert (len(page["items"]), page["next_cursor"]) == (2, None)


async def test_pages_stay_in_step_while_new_orders_come_in(api: httpx.AsyncClient, resources: Resources) -> None:
    product, mine = await a_product(resources.sessions, stock=50), await a_customer(api, resources)
    made = [(await an_order(mine, product))[0]["id"] for _ in range(3)]
    first = (await mine.send("GET", "/v1/orders", params={"limit": 2})).json()

    await an_order(mine, product)
    second = (await mine.send("GET", "/v1/orders", params={"limit": 2, "cursor": first["next_cursor"]})).json()

    assert [order["id"] for order in first["items"] + second["items"]] == list(reversed(made))


async def test_a_customer_may_ask_for_orders_in_one_status(api: httpx.AsyncClient, resources: Resources) -> None:
    product, mine = await a_product(resources.sessions, stock=50), await a_customer(api, resources)
    confirmed, _ = await an_order(mine, product)
    cancelled, _ = await an_order(mine, product)
    await cancel(mine, cancelled)

    async def found(status: str) -> list[str]:
        page = (await mine.send("GET", "/v1/orders", params={"status": status})).json()
        return [order["id"] for order in page["items"]]

    assert await found("confirmed") == [confirmed["id"]]
    assert await found("cancelled") == [cancelled["id"]]
    assert await found("delivered") == []
    is_problem(await mine.send("GET", "/v1/orders", params={"status": "lost"}), 422, "validation_failed")


@pytest.mark.parametrize("limit", ["0", "101", "-1", "many", "1.5"])
async def test_a_page_has_one_to_a_hundred_rows(api: httpx.AsyncClient, resources: Resources, limit: str) -> None:
    mine = await a_customer(api, resources)

    is_problem(await mine.send("GET", "/v1/orders", params={"limit": limit}), 422, "validation_failed")


@pytest.mark.parametrize("cursor", ["x", "e30", "W10", "WyJub3QtYW4taWQiXQ", "WzEsMl0", "%00"])
async def test_a_forged_cursor_is_told_from_a_real_one(
    api: httpx.AsyncClient, resources: Resources, cursor: str
) -> None:
    mine = await a_customer(api, resources)

    is_problem(await mine.send("GET", "/v1/orders", params={"cursor": cursor}), 400, "malformed_request")


async def test_orders_are_listed_for_people_who_signed_in(api: httpx.AsyncClient) -> None:
    is_problem(await api.get("/v1/orders"), 401, "unauthenticated")


# --- timelines ----------------------------------------------------------------------------------------------------


async def test_the_timeline_tells_who_did_what_oldest_first(
    api: httpx.AsyncClient, resources: Resources, operator: dict[str, str]
) -> None:
    product, mine = await a_product(resources.sessions, price="10.00", stock=5), await a_customer(api, resources)
    order, _ = await an_order(mine, product)
    parcel = await shipped(api, operator, order)
    await api.post(f"/v1/admin/fulfillments/{parcel}/deliver", headers=operator)

    events = (await timeline(mine, order))["items"]

    assert [event["type"] for event in events] == [
        "order.placed",
        "order.confirmed",
        "fulfillment.created",
        "fulfillment.shipped",
        "order.shipped",
        "fulfillment.delivered",
        "order.delivered",
    ]
    assert [event["id"] for event in events] == list(range(1, 8))
    assert {event["actor"].split(":")[0] for event in events[2:]} == {"operator"}
    assert events[0]["actor"] == "system"
    assert events[3]["data"] == {"fulfillment_id": parcel, "carrier": "UPS", "tracking_number": "1Z999"}
    times = [event["at"] for event in events]
    assert times == sorted(times)


async def test_the_timeline_has_pages(api: httpx.AsyncClient, resources: Resources) -> None:
    product, mine = await a_product(resources.sessions, stock=5), await a_customer(api, resources)
    order, _ = await an_order(mine, product)
    await cancel(mine, order)

    first = await timeline(mine, order, limit=2)
    second = await timeline(mine, order, limit=2, cursor=first["next_cursor"])

    assert [event["type"] for event in first["items"]] == ["order.placed", "order.confirmed"]
    assert [event["type"] for event in second["items"]] == ["order.cancelled"]
    assert second["next_cursor"] is None


async def test_nobodys_name_or_address_is_in_the_timeline(api: httpx.AsyncClient, resources: Resources) -> None:
    product, mine = await a_product(resources.sessions, stock=5), await a_customer(api, resources)
    order, _ = await an_order(mine, product)
    await cancel(mine, order)

    told = str(await timeline(mine, order))

    for private in (mine.email, ADDRESS["name"], ADDRESS["line1"], ADDRESS["postal_code"]):
        assert private not in told


async def test_the_customer_is_mailed_once_what_was_ordered(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources
) -> None:
    product = await a_product(resources.sessions, price="10.00", stock=5)
    shopper = Shopper(api, email=f"mailed.{uuid4().hex[:12]}@example.com")
    order, _ = await an_order(shopper, product)

    [mail] = await mails_to(sandbox, shopper.email)

    assert order["number"] in mail["subject"] + mail["text"]
    assert "14.99" in mail["text"]


# --- cancelling ---------------------------------------------------------------------------------------------------


async def test_cancelling_a_confirmed_order_gives_the_money_and_the_goods_back(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources
) -> None:
    product, mine = await a_product(resources.sessions, price="10.00", stock=5), await a_customer(api, resources)
    order, _ = await an_order(mine, product, 2)

    answer = await cancel(mine, order, reason="ordered twice")

    assert answer.status_code == 200, answer.text
    cancelled = answer.json()
    assert (cancelled["status"], cancelled["cancel_reason"]) == ("cancelled", "ordered twice")
    assert (cancelled["payment"]["status"], cancelled["fulfillment_status"]) == ("voided", "cancelled")
    assert await moved(sandbox, cancelled) == [("authorize", 2499), ("void", 2499)]
    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=5, reserved=0)
    assert await ledger_of(resources.sessions, product.variant_id) == StockLevel(on_hand=5, reserved=0)
    [event] = [event for event in (await timeline(mine, order))["items"] if event["type"] == "order.cancelled"]
    assert event["actor"].startswith("customer:")
    assert event["data"]["reason"] == "customer"  # the words stay out of what goes to other systems


async def test_cancelling_again_is_content_and_changes_nothing(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources
) -> None:
    product, mine = await a_product(resources.sessions, price="10.00", stock=5), await a_customer(api, resources)
    order, _ = await an_order(mine, product)
    first = await cancel(mine, order)

    again = await cancel(mine, order, reason="really")

    assert (first.status_code, again.status_code) == (200, 200)
    assert again.json() == first.json()
    assert await moved(sandbox, order) == [("authorize", 1499), ("void", 1499)]


@pytest.mark.matrix("cancel: sent again, or by many at once")
async def test_ten_who_cancel_at_once_cancel_once(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources
) -> None:
    product, mine = await a_product(resources.sessions, price="10.00", stock=5), await a_customer(api, resources)
    order, _ = await an_order(mine, product)

    answers = await asyncio.gather(*(cancel(mine, order) for _ in range(10)))

    assert {(answer.status_code, answer.json().get("status")) for answer in answers} == {(200, "cancelled")}
    assert await moved(sandbox, order) == [("authorize", 1499), ("void", 1499)]
    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=5, reserved=0)
    events = [event["type"] for event in (await timeline(mine, order))["items"]]
    assert events.count("order.cancelled") == 1


async def test_a_guest_cancels_with_the_cart_as_proof(api: httpx.AsyncClient, resources: Resources) -> None:
    product, guest = await a_product(resources.sessions, stock=5), Shopper(api)
    order, cart = await an_order(guest, product)

    is_problem(await cancel(guest, order), 404, "not_found")
    answer = await cancel(guest, order, cart)

    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")


async def test_a_cancel_says_why(api: httpx.AsyncClient, resources: Resources) -> None:
    product, mine = await a_product(resources.sessions, stock=5), await a_customer(api, resources)
    order, _ = await an_order(mine, product)

    for body in ({"reason": ""}, {"reason": "x" * 201}, {"why": "x"}):
        is_problem(await cancel(mine, order, **body), 422, "validation_failed")

    assert (await mine.order(order["id"]))["status"] == "confirmed"


@pytest.mark.parametrize("is_delivered", [False, True], ids=["shipped", "delivered"])
@pytest.mark.matrix("cancel: something has left")
async def test_what_has_left_cannot_be_cancelled(
    api: httpx.AsyncClient,
    sandbox: httpx.AsyncClient,
    resources: Resources,
    operator: dict[str, str],
    *,
    is_delivered: bool,
) -> None:
    product, mine = await a_product(resources.sessions, price="10.00", stock=5), await a_customer(api, resources)
    order, _ = await an_order(mine, product)
    parcel = await shipped(api, operator, order)
    if is_delivered:
        await api.post(f"/v1/admin/fulfillments/{parcel}/deliver", headers=operator)
    before = await mine.order(order["id"])

    is_problem(await cancel(mine, order), 409, "order_not_cancellable")

    assert await mine.order(order["id"]) == before
    assert await moved(sandbox, order) == [("authorize", 1499), ("capture", 1499)]
    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=4, reserved=0)


@pytest.mark.matrix("cancel: a parcel leaves in the same moment")
async def test_a_cancel_and_a_shipment_that_arrive_together_have_one_winner(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources, operator: dict[str, str]
) -> None:
    product, mine = await a_product(resources.sessions, price="10.00", stock=50), await a_customer(api, resources)

    for _ in range(5):
        order, _ = await an_order(mine, product)
        parcel = await api.post(f"/v1/admin/orders/{order['id']}/fulfillments", json={}, headers=operator)
        label = {"carrier": "UPS", "tracking_number": "1Z999"}
        cancelled, sent = await asyncio.gather(
            cancel(mine, order),
            api.post(f"/v1/admin/fulfillments/{parcel.json()['id']}/ship", json=label, headers=operator),
        )
        after, movements = await mine.order(order["id"]), await moved(sandbox, order)
        assert held(movements) == 0
        if sent.status_code == 200:
            is_problem(cancelled, 409, "order_not_cancellable")
            assert (after["status"], kept(movements)) == ("shipped", 1499)
        else:
            is_problem(sent, 409, "order_transition_not_allowed")
            assert cancelled.status_code == 200
            assert (after["status"], kept(movements)) == ("cancelled", 0)


async def test_a_cancel_right_behind_the_checkout_finds_the_order(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources
) -> None:
    product, mine = await a_product(resources.sessions, price="10.00", stock=50), await a_customer(api, resources)

    for _ in range(10):
        order, _ = await an_order(mine, product)
        answer = await cancel(mine, order)
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled"), answer.text
        assert await moved(sandbox, order) == [("authorize", 1499), ("void", 1499)]

    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=50, reserved=0)


@pytest.mark.matrix("checkout: its customer cancels before it is confirmed")
async def test_a_cancel_in_the_middle_of_a_checkout_stops_it_or_cancels_the_order(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources
) -> None:
    product, mine = await a_product(resources.sessions, price="10.00", stock=50), await a_customer(api, resources)
    await sandbox.put("/faults", json={"payments": {"next": [{"operation": "create", "fault": "latency", "ms": 500}]}})
    cart = await mine.a_cart((product.variant_id, 1))
    checkout = asyncio.create_task(mine.check_out(cart))

    async def is_placed() -> dict[str, Any] | None:
        [*orders] = (await mine.send("GET", "/v1/orders")).json()["items"]
        return orders[0] if orders else None

    order = await eventually(is_placed)
    answer = await cancel(mine, order)
    told = await checkout

    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled"), answer.text
    is_problem(told, 409, "checkout_cancelled")
    cancelled = await mine.order(order["id"])
    movements = await moved(sandbox, cancelled) if cancelled["payment"]["provider_reference"] else []
    assert (held(movements), kept(movements)) == (0, 0)
    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=50, reserved=0)
    assert (await mine.check_out(cart)).status_code == 201
