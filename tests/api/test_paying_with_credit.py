"""Carts that gift cards and store credit pay, over HTTP, and the orders that come of them."""

from typing import Any

import httpx
import pytest

from domain.customers import Role
from runtime.resources import Resources
from tests.support.answers import code_of
from tests.support.catalog import a_product
from tests.support.credit import a_gift_card, balance_of, expire, store_credit
from tests.support.shopper import Shopper
from tests.support.staff import headers_of
from tests.support.waiting import eventually


def usd(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "USD"}


async def enter(shopper: Shopper, cart: str, code: str) -> httpx.Response:
    return await shopper.send("POST", f"/v1/carts/{cart}/gift-cards", json={"code": code})


async def test_a_cart_shows_what_pays_it_a_decline_takes_nothing_and_the_order_says_how_it_was_paid(
    api: httpx.AsyncClient, resources: Resources
) -> None:
    customer = Shopper(api, headers=await headers_of(resources, Role.CUSTOMER))
    user_id = (await customer.send("GET", "/v1/users/me")).json()["id"]
    card_id, code = await a_gift_card(resources.sessions, "10.00")
    mine = await store_credit(resources.sessions, user_id, "5.00")
    product = await a_product(resources.sessions, price="10.00", stock=20)
    cart = await customer.a_cart((product.variant_id, 2))

    shown = (await enter(customer, cart, code.lower())).json()
    card = {"id": str(card_id), "last4": code[-4:], "amount": usd("10.00"), "obstacle": None}
    assert (shown["gift_cards"], shown["store_credit"], shown["amount_due"]) == ([card], usd("0.00"), usd("14.99"))
    shown = (await customer.send("PUT", f"/v1/carts/{cart}/store-credit", json={"use": True})).json()
    assert (shown["totals"]["total"], shown["store_credit"], shown["amount_due"]) == (
        usd("24.99"),
        usd("5.00"),
        usd("9.99"),
    )
    assert (await customer.send("GET", f"/v1/carts/{cart}/preview")).json()["amount_due"] == usd("9.99")

    declined = await customer.check_out(cart, card="pm_card_chargeDeclined")
    assert code_of(declined) == (402, "payment_declined")
    assert await balance_of(resources.sessions, card_id) == (1000, 1000)
    assert await balance_of(resources.sessions, mine) == (500, 500)
    changed = await customer.check_out(cart, expected_amount_due=usd("4.99"))
    assert code_of(changed) == (409, "price_changed")

    told = await customer.check_out(cart, expected_total=usd("24.99"), expected_amount_due=usd("9.99"))

    assert told.status_code == 201, told.text
    order: dict[str, Any] = told.json()
    assert (order["totals"]["total"], order["amount_due"], order["payment"]["amount"]) == (
        usd("24.99"),
        usd("9.99"),
        usd("9.99"),
    )
    assert order["gift_cards"] == [{"id": str(card_id), "last4": code[-4:], "amount": usd("10.00")}]
    assert order["store_credit"] == usd("5.00")
    assert await balance_of(resources.sessions, card_id) == (0, 0)
    assert await balance_of(resources.sessions, mine) == (0, 0)


@pytest.mark.parametrize("reason", ["unknown", "expired", "other_currency"])
async def test_a_card_that_cannot_pay_is_refused_and_not_kept(
    api: httpx.AsyncClient, resources: Resources, reason: str
) -> None:
    shopper = Shopper(api)
    card_id, code = await a_gift_card(
        resources.sessions, "10.00", currency="EUR" if reason == "other_currency" else "USD"
    )
    if reason == "expired":
        await expire(resources.sessions, card_id)
    product = await a_product(resources.sessions, price="10.00", stock=20)
    cart = await shopper.a_cart((product.variant_id, 1))

    refused = await enter(shopper, cart, "AAAA-AAAA" if reason == "unknown" else code)

    assert code_of(refused) == (422, "gift_card_not_usable")
    assert refused.json()["reason"] == reason
    assert (await shopper.send("GET", f"/v1/carts/{cart}")).json()["gift_cards"] == []


async def test_a_card_is_taken_out_by_its_id_and_a_guest_has_no_store_credit(
    api: httpx.AsyncClient, resources: Resources
) -> None:
    shopper = Shopper(api)
    card_id, code = await a_gift_card(resources.sessions, "10.00")
    product = await a_product(resources.sessions, price="10.00", stock=20)
    cart = await shopper.a_cart((product.variant_id, 1))
    await enter(shopper, cart, code)

    removed = await shopper.send("DELETE", f"/v1/carts/{cart}/gift-cards/{card_id}")

    assert (removed.status_code, removed.json()["gift_cards"], removed.json()["amount_due"]) == (
        200,
        [],
        usd("14.99"),
    )
    again = await shopper.send("DELETE", f"/v1/carts/{cart}/gift-cards/{card_id}")
    assert code_of(again) == (404, "not_found")
    guest = await shopper.send("PUT", f"/v1/carts/{cart}/store-credit", json={"use": True})
    assert code_of(guest) == (422, "validation_failed")


async def test_a_bank_transfer_is_asked_for_what_credit_leaves_and_goes_back_beside_it(
    api: httpx.AsyncClient, resources: Resources, operator: dict[str, str]
) -> None:
    customer = Shopper(api, headers=await headers_of(resources, Role.CUSTOMER))
    card_id, code = await a_gift_card(resources.sessions, "10.00")
    product = await a_product(resources.sessions, price="10.00", stock=20)
    cart = await customer.a_cart((product.variant_id, 2))
    await enter(customer, cart, code)

    placed = await customer.check_out(cart, card={"provider": "manual"})

    assert placed.status_code == 202, placed.text
    order = placed.json()
    assert (order["payment"]["amount"], order["amount_due"]) == (usd("14.99"), usd("14.99"))
    assert await balance_of(resources.sessions, card_id) == (0, 0)

    desk = f"/v1/admin/orders/{order['id']}"
    paid = await api.post(f"{desk}/payment-received", json={"reference": "statement 3"}, headers=operator)
    assert (paid.status_code, paid.json()["payment"]["captured"]) == (200, usd("14.99"))
    assert (await customer.send("POST", f"/v1/orders/{order['id']}/cancel", json={"reason": "no"})).status_code == 200

    async def is_given_back() -> bool:
        return await balance_of(resources.sessions, card_id) == (1000, 1000)

    await eventually(is_given_back)
    [refund] = (await customer.order(order["id"], cart))["refunds"]
    assert (refund["status"], refund["amount"]) == ("requested", usd("14.99"))


async def test_an_order_that_nobody_pays_gives_its_credit_back(api: httpx.AsyncClient, resources: Resources) -> None:
    customer = Shopper(api, headers=await headers_of(resources, Role.CUSTOMER))
    card_id, code = await a_gift_card(resources.sessions, "10.00")
    product = await a_product(resources.sessions, price="10.00", stock=20)
    cart = await customer.a_cart((product.variant_id, 2))
    await enter(customer, cart, code)
    order = (await customer.check_out(cart, card={"provider": "manual"})).json()
    assert await balance_of(resources.sessions, card_id) == (0, 0)

    given_up = await customer.send("POST", f"/v1/orders/{order['id']}/cancel", json={"reason": "changed my mind"})

    assert given_up.status_code == 200, given_up.text
    assert (await customer.order(order["id"], cart))["status"] == "cancelled"
    assert await balance_of(resources.sessions, card_id) == (1000, 1000)
