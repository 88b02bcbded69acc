"""The rules of carts, over HTTP."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from domain.customers import Role
from runtime.resources import Resources
from tests.support.catalog import VariantWanted, a_product
from tests.support.shopper import ADDRESS, Shopper
from tests.support.staff import headers_of

UNKNOWN = "01890a5d-ac96-774b-bcce-b302099a8057"


async def a_new_cart(shopper: Shopper, currency: str = "USD") -> dict[str, Any]:
    answer = await shopper.send("POST", "/v1/carts", json={"currency": currency})
    assert answer.status_code == 201, answer.text
    cart: dict[str, Any] = answer.json()
    return cart


async def put_in(shopper: Shopper, cart: dict[str, Any], product: Any, quantity: int) -> httpx.Response:
    return await shopper.send(
        "POST", f"/v1/carts/{cart['id']}/items", json={"variant_id": str(product.variant_id), "quantity": quantity}
    )


async def shown(shopper: Shopper, cart: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = (await shopper.send("GET", f"/v1/carts/{cart['id']}")).json()
    return found


def is_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code), answer.text
    return problem


async def test_a_new_cart_is_empty_and_costs_nothing(api: httpx.AsyncClient) -> None:
    cart = await a_new_cart(Shopper(api))

    nothing = {"amount": "0.00", "currency": "USD"}
    assert cart == {
        "id": cart["id"],
        "currency": "USD",
        "email": None,
        "items": [],
        "shipping_address": None,
        "shipping_method": None,
        "shipping_method_available": None,
        "promotion_codes": [],
        "reminder_consent": False,
        "warnings": [],
        "promotions": [],
        "not_applied": [],
        "totals": dict.fromkeys(("subtotal", "discount", "shipping", "tax", "included_tax", "total"), nothing),
        "gift_cards": [],
        "uses_store_credit": False,
        "store_credit": nothing,
        "amount_due": nothing,
        "taxes": [],
        "tax_is_final": True,
        "status": "open",
        "version": 1,
    }


async def test_units_of_one_variant_add_up_on_one_line(api: httpx.AsyncClient, resources: Resources) -> None:
    product, shopper = await a_product(resources.sessions, price="19.99"), Shopper(api)
    cart = await a_new_cart(shopper)

    await put_in(shopper, cart, product, 2)
    answer = await put_in(shopper, cart, product, 3)

    assert answer.status_code == 201
    [item] = answer.json()["items"]
    assert (item["sku"], item["name"], item["quantity"]) == (product.sku, product.name, 5)
    assert item["unit_price"] == {"amount": "19.99", "currency": "USD"}
    assert item["line_total"] == {"amount": "99.95", "currency": "USD"}
    assert item["discount"] == item["tax"] == {"amount": "0.00", "currency": "USD"}
    assert answer.json()["totals"]["total"] == {"amount": "99.95", "currency": "USD"}


async def test_a_cart_never_carries_more_than_999_of_a_variant(api: httpx.AsyncClient, resources: Resources) -> None:
    product, shopper = await a_product(resources.sessions), Shopper(api)
    cart = await a_new_cart(shopper)
    assert (await put_in(shopper, cart, product, 999)).status_code == 201

    problem = is_problem(await put_in(shopper, cart, product, 1), 422, "validation_failed")

    assert problem["errors"] == [{"pointer": "/quantity", "detail": "adds up to more than 999"}]
    assert [item["quantity"] for item in (await shown(shopper, cart))["items"]] == [999]


@pytest.mark.parametrize("quantity", [0, -1, 1000, 1.5, "2", True, None])
async def test_a_quantity_is_a_whole_number_from_1_to_999(
    api: httpx.AsyncClient, resources: Resources, quantity: Any
) -> None:
    product, shopper = await a_product(resources.sessions), Shopper(api)
    cart = await a_new_cart(shopper)

    problem = is_problem(await put_in(shopper, cart, product, quantity), 422, "validation_failed")

    assert [error["pointer"] for error in problem["errors"]] == ["/quantity"]
    assert (await shown(shopper, cart))["items"] == []


@pytest.mark.parametrize("currency", ["XXX", "ZZZ", "usd", "US", "", None, 840])
async def test_a_cart_has_a_currency_of_iso_4217(api: httpx.AsyncClient, currency: Any) -> None:
    problem = is_problem(
        await Shopper(api).send("POST", "/v1/carts", json={"currency": currency}), 422, "validation_failed"
    )

    assert [error["pointer"] for error in problem["errors"]] == ["/currency"]


async def test_an_unknown_field_is_refused_so_that_no_typo_is_ignored(api: httpx.AsyncClient) -> None:
    answer = await Shopper(api).send("POST", "/v1/carts", json={"currency": "USD", "curency": "EUR"})

    assert [error["pointer"] for error in is_problem(answer, 422, "validation_failed")["errors"]] == ["/curency"]


async def test_yen_have_no_decimals(api: httpx.AsyncClient, resources: Resources) -> None:
    product, shopper = await a_product(resources.sessions, price="1980", currency="JPY"), Shopper(api)
    cart = await a_new_cart(shopper, "JPY")

    answer = await put_in(shopper, cart, product, 2)

    assert answer.json()["totals"]["total"] == {"amount": "3960", "currency": "JPY"}


async def test_what_is_not_sold_in_the_carts_currency_is_not_put_in(
    api: httpx.AsyncClient, resources: Resources
) -> None:
    euros, shopper = await a_product(resources.sessions, currency="EUR"), Shopper(api)
    withdrawn = await a_product(resources.sessions, is_active=False)
    cart = await a_new_cart(shopper)

    for product in (euros, withdrawn):
        problem = is_problem(await put_in(shopper, cart, product, 1), 422, "validation_failed")
        assert problem["errors"] == [{"pointer": "/variant_id", "detail": "is not sold in USD"}]
    assert (await shown(shopper, cart))["items"] == []


async def test_an_item_is_changed_and_taken_out(api: httpx.AsyncClient, resources: Resources) -> None:
    product, shopper = await a_product(resources.sessions, price="10.00"), Shopper(api)
    cart = await a_new_cart(shopper)
    [item] = (await put_in(shopper, cart, product, 2)).json()["items"]
    path = f"/v1/carts/{cart['id']}/items/{item['id']}"

    changed = await shopper.send("PATCH", path, json={"quantity": 7})
    assert (changed.status_code, changed.json()["totals"]["total"]["amount"]) == (200, "70.00")
    removed = await shopper.send("DELETE", path)
    assert (removed.status_code, removed.json()["items"]) == (200, [])
    is_problem(await shopper.send("DELETE", path), 404, "not_found")


async def test_an_item_of_another_cart_is_not_in_this_one(api: httpx.AsyncClient, resources: Resources) -> None:
    product, shopper = await a_product(resources.sessions), Shopper(api)
    mine, other = await a_new_cart(shopper), await a_new_cart(shopper)
    [item] = (await put_in(shopper, other, product, 2)).json()["items"]
    path = f"/v1/carts/{mine['id']}/items/{item['id']}"

    is_problem(await shopper.send("PATCH", path, json={"quantity": 9}), 404, "not_found")
    is_problem(await shopper.send("DELETE", path), 404, "not_found")

    assert [item["quantity"] for item in (await shown(shopper, other))["items"]] == [2]


async def test_somebody_elses_cart_does_not_exist(api: httpx.AsyncClient, resources: Resources) -> None:
    owner = Shopper(api, headers=await headers_of(resources, Role.CUSTOMER))
    product, cart = await a_product(resources.sessions), await a_new_cart(owner)
    [item] = (await put_in(owner, cart, product, 1)).json()["items"]
    path = f"/v1/carts/{cart['id']}"
    tries: list[tuple[str, str, Any]] = [
        ("GET", path, None),
        ("GET", f"{path}/shipping-options", None),
        ("POST", f"{path}/items", {"variant_id": str(product.variant_id), "quantity": 1}),
        ("PATCH", f"{path}/items/{item['id']}", {"quantity": 9}),
        ("DELETE", f"{path}/items/{item['id']}", None),
        ("PUT", f"{path}/email", {"email": "mallory@example.com"}),
        ("PUT", f"{path}/shipping-address", ADDRESS),
        ("PUT", f"{path}/shipping-method", {"code": "standard"}),
    ]

    for stranger in (Shopper(api), Shopper(api, headers=await headers_of(resources, Role.CUSTOMER))):
        for method, where, body in tries:
            is_problem(await stranger.send(method, where, json=body), 404, "not_found")

    unchanged = await shown(owner, cart)
    assert [item["quantity"] for item in unchanged["items"]] == [1]
    assert (unchanged["email"], unchanged["shipping_address"]) == (None, None)


async def test_staff_may_look_into_every_cart(
    api: httpx.AsyncClient, resources: Resources, operator: dict[str, str]
) -> None:
    cart = await a_new_cart(Shopper(api, headers=await headers_of(resources, Role.CUSTOMER)))

    assert (await api.get(f"/v1/carts/{cart['id']}", headers=operator)).status_code == 200


async def test_a_cart_that_never_was_is_not_found(api: httpx.AsyncClient, resources: Resources) -> None:
    product = await a_product(resources.sessions)

    is_problem(await Shopper(api).send("GET", f"/v1/carts/{UNKNOWN}"), 404, "not_found")
    is_problem(await put_in(Shopper(api), {"id": UNKNOWN}, product, 1), 404, "not_found")
    is_problem(await Shopper(api).send("GET", "/v1/carts/not-an-id"), 404, "not_found")


async def test_shipping_is_chosen_among_what_the_cart_is_offered(api: httpx.AsyncClient) -> None:
    shopper = Shopper(api)
    cart = await a_new_cart(shopper, "GBP")

    options = (await shopper.send("GET", f"/v1/carts/{cart['id']}/shipping-options")).json()
    assert [(option["code"], option["price"]) for option in options["items"]] == [
        ("standard", {"amount": "3.99", "currency": "GBP"}),
        ("express", {"amount": "12.99", "currency": "GBP"}),
    ]
    chosen = await shopper.send("PUT", f"/v1/carts/{cart['id']}/shipping-method", json={"code": "express"})
    assert chosen.json()["totals"]["total"] == {"amount": "12.99", "currency": "GBP"}
    answer = await shopper.send("PUT", f"/v1/carts/{cart['id']}/shipping-method", json={"code": "by-owl"})
    assert is_problem(answer, 422, "validation_failed")["errors"][0]["pointer"] == "/code"
    assert (await shown(shopper, cart))["shipping_method"] == "express"


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"country": "usa"}, "/country"),
        ({"country": "US "}, None),
        ({"name": ""}, "/name"),
        ({"city": None}, "/city"),
        ({"postal_code": "1" * 21}, "/postal_code"),
        ({"planet": "Mars"}, "/planet"),
    ],
)
async def test_an_address_names_what_is_wrong_with_it(
    api: httpx.AsyncClient, change: dict[str, Any], pointer: str | None
) -> None:
    shopper = Shopper(api)
    cart = await a_new_cart(shopper)

    answer = await shopper.send("PUT", f"/v1/carts/{cart['id']}/shipping-address", json={**ADDRESS, **change})

    if pointer is None:
        assert answer.status_code == 200
        return
    assert [error["pointer"] for error in is_problem(answer, 422, "validation_failed")["errors"]] == [pointer]
    assert (await shown(shopper, cart))["shipping_address"] is None


async def test_an_email_address_is_one(api: httpx.AsyncClient) -> None:
    shopper = Shopper(api)
    cart = await a_new_cart(shopper)

    answer = await shopper.send("PUT", f"/v1/carts/{cart['id']}/email", json={"email": "ada at example"})

    assert [error["pointer"] for error in is_problem(answer, 422, "validation_failed")["errors"]] == ["/email"]
    assert (await shown(shopper, cart))["email"] is None


async def test_a_cart_at_the_bank_is_frozen_and_a_cart_that_was_ordered_is_completed(
    api: httpx.AsyncClient, resources: Resources
) -> None:
    product, shopper = await a_product(resources.sessions, stock=9), Shopper(api)
    at_the_bank = {"id": await shopper.a_cart((product.variant_id, 1))}
    assert (await shopper.check_out(at_the_bank["id"], card="pm_card_threeDSecure2Required")).status_code == 202
    ordered = {"id": await shopper.a_cart((product.variant_id, 1))}
    assert (await shopper.check_out(ordered["id"])).status_code == 201

    for cart, code in [(at_the_bank, "cart_in_checkout"), (ordered, "cart_completed")]:
        [item] = (await shown(shopper, cart))["items"]
        path = f"/v1/carts/{cart['id']}"
        tries: list[tuple[str, str, Any]] = [
            ("POST", f"{path}/items", {"variant_id": str(product.variant_id), "quantity": 1}),
            ("PATCH", f"{path}/items/{item['id']}", {"quantity": 9}),
            ("DELETE", f"{path}/items/{item['id']}", None),
            ("POST", f"{path}/acknowledge-prices", None),
            ("PUT", f"{path}/reminders", {"consent": True}),
            ("PUT", f"{path}/email", {"email": "late@example.com"}),
            ("PUT", f"{path}/shipping-address", ADDRESS),
            ("PUT", f"{path}/shipping-method", {"code": "express"}),
        ]
        before = await shown(shopper, cart)
        for method, where, body in tries:
            problem = is_problem(await shopper.send(method, where, json=body), 409, code)
            assert problem["order_id"]
            if cart is at_the_bank:
                assert problem["waits_for"] == "requires_action"
                assert "has to be approved on the bank's page by" in problem["detail"]
                left = datetime.fromisoformat(problem["until"]) - datetime.now(UTC)
                assert timedelta(minutes=20) < left <= timedelta(minutes=30)
        assert await shown(shopper, cart) == before
    assert ((await shown(shopper, at_the_bank))["status"], (await shown(shopper, ordered))["status"]) == (
        "open",
        "completed",
    )


async def test_two_tabs_do_not_overwrite_each_other_when_they_say_what_they_saw(
    api: httpx.AsyncClient, resources: Resources
) -> None:
    product, shopper = await a_product(resources.sessions), Shopper(api)
    cart = await a_new_cart(shopper)
    answer = await put_in(shopper, cart, product, 2)
    [item], seen = answer.json()["items"], answer.headers["etag"]
    path = f"/v1/carts/{cart['id']}"
    assert seen.startswith(f'"{answer.json()["version"]}-')
    assert (await shopper.send("GET", path)).headers["etag"] == seen

    first = await shopper.send("PATCH", f"{path}/items/{item['id']}", json={"quantity": 3}, headers={"If-Match": seen})

    assert (first.status_code, first.json()["version"]) == (200, answer.json()["version"] + 1)
    tries: list[tuple[str, str, Any]] = [
        ("POST", f"{path}/items", {"variant_id": str(product.variant_id), "quantity": 1}),
        ("PATCH", f"{path}/items/{item['id']}", {"quantity": 9}),
        ("DELETE", f"{path}/items/{item['id']}", None),
        ("POST", f"{path}/acknowledge-prices", None),
        ("PUT", f"{path}/reminders", {"consent": True}),
        ("PUT", f"{path}/email", {"email": "late@example.com"}),
        ("PUT", f"{path}/shipping-address", ADDRESS),
        ("PUT", f"{path}/shipping-method", {"code": "express"}),
    ]
    for method, where, body in tries:
        late = await shopper.send(method, where, json=body, headers={"If-Match": seen})
        assert is_problem(late, 412, "precondition_failed")["version"] == first.json()["version"]
    assert await shown(shopper, cart) == first.json()
    without = await shopper.send("PATCH", f"{path}/items/{item['id']}", json={"quantity": 9})
    assert (without.status_code, without.json()["items"][0]["quantity"]) == (200, 9)


async def test_a_full_cart_says_which_cap_it_has_reached(api: httpx.AsyncClient, resources: Resources) -> None:
    product = await a_product(resources.sessions, variants=[VariantWanted() for _ in range(11)])
    shopper = Shopper(api)
    cart = await a_new_cart(shopper)
    for variant in product.variants[:10]:
        assert (await put_in(shopper, cart, variant, 999)).status_code == 201

    problem = is_problem(await put_in(shopper, cart, product.variants[10], 11), 422, "cart_full")

    assert (problem["cap"], problem["limit"]) == ("units", 10_000)
    assert [item["quantity"] for item in (await shown(shopper, cart))["items"]] == [999] * 10
    assert (await put_in(shopper, cart, product.variants[10], 10)).status_code == 201


async def test_a_guests_cart_id_cannot_be_guessed_from_another(api: httpx.AsyncClient) -> None:
    ids = [(await a_new_cart(Shopper(api)))["id"] for _ in range(3)]

    assert {identifier[14] for identifier in ids} == {"4"}  # random, not derived from the time
    assert len({identifier[:8] for identifier in ids}) == 3
    assert str(uuid4())[14] == "4"
