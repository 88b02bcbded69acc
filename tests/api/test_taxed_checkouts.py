"""Orders with taxes over HTTP, in shops of their own: by the shop's table, and as a tax provider says."""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx
import pytest

from db import taxes
from domain.customers import Role
from domain.inventory import StockLevel
from runtime.resources import Resources
from tests.api.test_operators import is_problem
from tests.api.test_refunds import usd
from tests.support.catalog import a_product, stock_of
from tests.support.own_shop import OwnShop, an_own_shop
from tests.support.shopper import ADDRESS, Shopper
from tests.support.staff import headers_of
from tests.support.waiting import eventually

CALIFORNIA = {**ADDRESS, "region": "CA", "postal_code": "94110"}


@pytest.fixture(scope="module")
async def tabled(
    resources: Resources, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[OwnShop]:
    """Illinois takes 6.25 percent, and one of food."""
    own = {**environment, "APP_TAX__MODE": "table"}
    async with an_own_shop(resources, own, tmp_path_factory.mktemp("tabled")) as shop:
        async with shop.resources.sessions.begin() as session:
            where = {"country": "US", "region": "IL", "is_inclusive": False}
            region = await taxes.add_region(session, where, actor="admin:1")
            for percent, tax_class in (("6.25", "standard"), ("1", "food")):
                rate = {"region_id": region.id, "name": "Illinois", "percent": Decimal(percent), "tax_class": tax_class}
                await taxes.add_rate(session, rate, actor="admin:1")
        yield shop


@pytest.fixture(scope="module")
async def provided(
    resources: Resources, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[OwnShop]:
    """The sandbox is asked: California takes 7.25 percent, and nothing of shipping."""
    own = {**environment, "APP_TAX__MODE": "provider", "APP_TAX__BREAKER_SECONDS": "0.5"}
    async with an_own_shop(resources, own, tmp_path_factory.mktemp("provided")) as shop:
        yield shop


async def an_order(shop: OwnShop, cart: str, **headers: str) -> dict[str, Any]:
    told = await Shopper(shop.http, headers=headers).check_out(cart)
    assert told.status_code == 201, told.text
    order: dict[str, Any] = told.json()
    return order


async def refunded(shop: OwnShop, order: dict[str, Any], **wish: Any) -> Any:
    made = await shop.desk(f"/orders/{order['id']}/refunds", {"reason": "came broken", **wish}, status=201)
    return made["amount"]


async def money_back(shop: OwnShop, order: dict[str, Any]) -> Any:
    return (await shop.look(order))["payment"]["refunded"]


async def test_an_order_is_charged_with_its_taxes_and_a_refund_gives_back_the_share_of_them(tabled: OwnShop) -> None:
    mug = await a_product(tabled.resources.sessions, price="10.00", stock=5)
    shopper = Shopper(tabled.http)
    cart = await shopper.a_cart((mug.variant_id, 3))
    shown = (await tabled.http.get(f"/v1/carts/{cart}")).json()

    order = await an_order(tabled, cart)

    # 6.25 % of 30.00 are 1.875, of 4.99 for shipping 0.311875
    assert order["totals"] == shown["totals"]
    assert order["totals"] == {
        "subtotal": usd("30.00"),
        "discount": usd("0.00"),
        "shipping": usd("4.99"),
        "tax": usd("2.19"),
        "included_tax": usd("0.00"),
        "total": usd("37.18"),
    }
    assert (order["items"][0]["tax"], order["tax_source"]) == (usd("1.88"), "table")
    assert order["taxes"] == [
        {"name": "Illinois", "percent": "6.25", "base": usd("34.99"), "amount": usd("2.19"), "is_included": False}
    ]
    await tabled.deliver(order)
    assert (await tabled.look(order))["payment"]["captured"] == usd("37.18")

    # A mug cost 10.6267 with its tax; whatever the cents, three of them and shipping are what was paid.
    item = order["items"][0]["id"]
    assert await refunded(tabled, order, items=[{"order_item_id": item, "quantity": 1}]) == usd("10.63")
    assert await refunded(tabled, order) == usd("26.55")
    assert await money_back(tabled, order) == usd("37.18")


async def test_an_order_keeps_its_taxes_when_the_rates_change(tabled: OwnShop) -> None:
    bread = await a_product(tabled.resources.sessions, price="5.00", stock=5)
    admin = await headers_of(tabled.resources, Role.ADMIN)
    await tabled.http.patch(f"/v1/products/{bread.product_id}", json={"tax_class": "food"}, headers=admin)
    order = await an_order(tabled, await Shopper(tabled.http).a_cart((bread.variant_id, 2)))
    rates = (await tabled.http.get("/v1/admin/tax-rates", headers=admin)).json()["items"]
    [food] = [rate for rate in rates if rate["tax_class"] == "food"]

    changed = await tabled.http.patch(f"/v1/admin/tax-rates/{food['id']}", json={"percent": "50"}, headers=admin)
    after = await tabled.look(order)
    await tabled.http.patch(f"/v1/admin/tax-rates/{food['id']}", json={"percent": "1"}, headers=admin)

    assert changed.status_code == 200
    assert (after["items"][0]["tax"], after["totals"]) == (usd("0.10"), order["totals"])


async def test_an_exempt_customer_pays_no_tax(tabled: OwnShop) -> None:
    mug = await a_product(tabled.resources.sessions, price="10.00", stock=5)
    customer = await headers_of(tabled.resources, Role.CUSTOMER)
    who = UUID((await tabled.http.get("/v1/users/me", headers=customer)).json()["id"])
    path = f"/v1/admin/users/{who}/tax-exemption"
    granted = await tabled.http.put(path, json={"certificate": "IL-1"}, headers=tabled.operator)
    assert granted.status_code == 200

    cart = await Shopper(tabled.http, headers=customer).a_cart((mug.variant_id, 1))
    order = await an_order(tabled, cart, **customer)

    assert (order["totals"]["tax"], order["totals"]["total"], order["taxes"]) == (usd("0.00"), usd("14.99"), [])


async def test_nothing_is_sold_to_where_the_table_knows_nothing(tabled: OwnShop) -> None:
    mug = await a_product(tabled.resources.sessions, price="10.00", stock=5)
    shopper = Shopper(tabled.http)
    cart = await shopper.a_cart((mug.variant_id, 1))
    await shopper.send("PUT", f"/v1/carts/{cart}/shipping-address", json=CALIFORNIA)

    is_problem(await shopper.check_out(cart), 409, "tax_unknown")

    assert await stock_of(tabled.resources.sessions, mug.variant_id) == StockLevel(on_hand=5, reserved=0)


async def in_california(shop: OwnShop, units: int, postal_code: str) -> tuple[Shopper, str, UUID]:
    """Answers are kept by content and place, so each test has a place of its own."""
    mug = await a_product(shop.resources.sessions, price="10.00", stock=5)
    shopper = Shopper(shop.http)
    cart = await shopper.a_cart((mug.variant_id, units))
    address = {**CALIFORNIA, "postal_code": postal_code}
    assert (await shopper.send("PUT", f"/v1/carts/{cart}/shipping-address", json=address)).is_success
    return shopper, cart, mug.variant_id


async def answered_questions(sandbox: httpx.AsyncClient, fault: str, times: int) -> None:
    plan = {"payments": {"next": [{"operation": "tax", "fault": fault}] * times}}
    assert (await sandbox.put("/faults", json=plan)).status_code == 200


async def test_a_preview_asks_the_provider_and_the_order_is_what_was_shown(provided: OwnShop) -> None:
    shopper, cart, _ = await in_california(provided, 3, "94001")
    assert (await provided.http.get(f"/v1/carts/{cart}")).json()["tax_is_final"] is False

    shown = (await provided.http.get(f"/v1/carts/{cart}/preview")).json()
    order = (await shopper.check_out(cart, expected_total=shown["totals"]["total"])).json()

    # 7.25 % of 30.00
    assert (shown["tax_is_final"], shown["obstacle"], shown["totals"]["tax"]) == (True, None, usd("2.18"))
    assert (order["totals"], order["tax_source"]) == (shown["totals"], "provider")
    assert sorted(tax["name"] for tax in order["taxes"]) == ["US CA sales tax", "US CA sales tax"]


@pytest.mark.matrix("checkout: the tax provider fails for a moment")
async def test_a_provider_that_stumbles_is_asked_again_within_the_checkout(provided: OwnShop) -> None:
    shopper, cart, _ = await in_california(provided, 1, "94002")
    await answered_questions(provided.sandbox, "error", 2)

    order = (await shopper.check_out(cart)).json()

    assert (order["status"], order["totals"]["tax"], order["tax_source"]) == ("confirmed", usd("0.73"), "provider")


@pytest.mark.matrix("checkout: the tax provider is silent for longer than eight seconds")
async def test_while_the_provider_is_silent_nothing_is_sold_and_afterwards_the_cart_is_as_it_was(
    provided: OwnShop,
) -> None:
    shopper, cart, mug = await in_california(provided, 1, "94003")
    await answered_questions(provided.sandbox, "error", 50)
    shown = (await provided.http.get(f"/v1/carts/{cart}/preview")).json()

    refused = await shopper.check_out(cart)
    await provided.sandbox.delete("/faults")

    assert shown["obstacle"]["code"] == "tax_unavailable"
    is_problem(refused, 503, "tax_unavailable")
    assert await stock_of(provided.resources.sessions, mug) == StockLevel(on_hand=5, reserved=0)

    async def sells_again() -> bool:
        return (await shopper.check_out(cart)).status_code == 201

    await eventually(sells_again, within=30)
