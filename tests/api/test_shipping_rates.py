"""Where the shop sends to and what that costs, as staff says it and customers see it."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from runtime.resources import Resources
from tests.support.catalog import AProduct, a_product
from tests.support.shopper import ADDRESS, Shopper

ZONES, METHODS = "/v1/admin/shipping-zones", "/v1/admin/shipping-methods"


def usd(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "USD"}


def priced(*bands: tuple[int, str | None], free_from: str | None = None) -> list[dict[str, Any]]:
    return [
        {
            "currency": "USD",
            "bands": [{"from_grams": grams, "price": usd(price) if price else None} for grams, price in bands],
            "free_from": usd(free_from) if free_from else None,
        }
    ]


def going_to(zone: str, prices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"zone": zone, "estimated_days_min": 2, "estimated_days": 5, "prices": prices, **more}


class Staff:
    """Defines zones and methods, and takes away what it has made."""

    def __init__(self, api: httpx.AsyncClient, headers: dict[str, str]) -> None:
        self.api, self.headers = api, headers
        self.made: list[str] = []

    async def put(self, path: str, body: dict[str, Any], **headers: str) -> httpx.Response:
        answer = await self.api.put(path, json=body, headers={**self.headers, **headers})
        if answer.is_success:
            self.made.append(path)
        return answer

    async def zone(self, *areas: dict[str, Any]) -> str:
        code = f"zone-{uuid4().hex[:8]}"
        answer = await self.put(f"{ZONES}/{code}", {"name": "A zone", "areas": list(areas)})
        assert answer.status_code == 200, answer.text
        return code

    async def method(self, *zones: dict[str, Any], **more: Any) -> str:
        code = f"by-{uuid4().hex[:8]}"
        answer = await self.put(f"{METHODS}/{code}", {"name": "A method", "zones": list(zones), **more})
        assert answer.status_code == 200, answer.text
        return code

    async def clean_up(self) -> None:
        for path in sorted(set(self.made)):  # methods before the zones to which they go
            assert (await self.api.delete(path, headers=self.headers)).status_code in (204, 404)


@pytest.fixture
async def staff(api: httpx.AsyncClient, admin: dict[str, str]) -> AsyncIterator[Staff]:
    staff = Staff(api, admin)
    yield staff
    await staff.clean_up()


async def weighing(resources: Resources, grams: int) -> AProduct:
    product = await a_product(resources.sessions, stock=20, price="10.00")
    async with resources.sessions.begin() as session:
        await session.execute(
            text("UPDATE variants SET weight_grams = :grams WHERE id = :id"),
            {"grams": grams, "id": product.variant_id},
        )
    return product


@pytest.fixture
def shopper(api: httpx.AsyncClient) -> Shopper:
    return Shopper(api)


async def a_cart(shopper: Shopper, product: AProduct, quantity: int, **address: Any) -> str:
    cart = (await shopper.send("POST", "/v1/carts", json={"currency": "USD"})).json()
    path = f"/v1/carts/{cart['id']}"
    item = {"variant_id": str(product.variant_id), "quantity": quantity}
    assert (await shopper.send("POST", f"{path}/items", json=item)).is_success
    await shopper.send("PUT", f"{path}/email", json={"email": shopper.email})
    assert (await shopper.send("PUT", f"{path}/shipping-address", json={**ADDRESS, **address})).is_success
    return path


async def offered(shopper: Shopper, path: str) -> dict[str, str]:
    items = (await shopper.send("GET", f"{path}/shipping-options")).json()["items"]
    return {item["code"]: item["price"]["amount"] for item in items}


async def choose(shopper: Shopper, path: str, code: str) -> httpx.Response:
    return await shopper.send("PUT", f"{path}/shipping-method", json={"code": code})


async def test_a_cart_may_choose_what_goes_to_its_address_at_the_price_of_its_weight(
    staff: Staff, shopper: Shopper, resources: Resources
) -> None:
    zone = await staff.zone({"country": "LI"})
    post = await staff.method(going_to(zone, priced((0, "4.00"), (2000, "7.50"), (5000, None))), position=1)
    van = await staff.method(going_to(zone, priced((0, "20.00"), free_from="90.00")), position=2)
    product = await weighing(resources, 900)

    path = await a_cart(shopper, product, 2, country="LI")
    options = (await shopper.send("GET", f"{path}/shipping-options")).json()["items"]

    assert options == [
        {"code": post, "name": "A method", "price": usd("4.00"), "estimated_days": 5, "estimated_days_min": 2},
        {"code": van, "name": "A method", "price": usd("20.00"), "estimated_days": 5, "estimated_days_min": 2},
    ]
    for quantity, prices in ((3, {post: "7.50", van: "20.00"}), (6, {van: "20.00"}), (9, {van: "0.00"})):
        path = await a_cart(shopper, product, quantity, country="LI")
        assert await offered(shopper, path) == prices


async def test_the_zone_that_names_an_address_most_closely_is_its_zone(
    staff: Staff, shopper: Shopper, resources: Resources
) -> None:
    codes = {}
    for name, area in (
        ("country", {"country": "AD"}),
        ("region", {"country": "AD", "region": "Nord"}),
        ("postal code", {"country": "AD", "postal_prefix": "ad 5"}),
        ("longer postal code", {"country": "AD", "postal_prefix": "AD51"}),
    ):
        codes[name] = await staff.method(going_to(await staff.zone(area), priced((0, "1.00"))))
    product = await weighing(resources, 1)
    cart = await a_cart(shopper, product, 1)

    for name, region, postal_code in (
        ("country", "Sud", "AD600"),
        ("region", " nord", "AD600"),
        ("postal code", "Nord", "AD500"),
        ("longer postal code", "Nord", "ad 51 0"),
    ):
        address = {**ADDRESS, "country": "AD", "region": region, "postal_code": postal_code}
        await shopper.send("PUT", f"{cart}/shipping-address", json=address)
        assert await offered(shopper, cart) == {codes[name]: "1.00"}, name


async def test_a_cart_without_an_address_is_shown_what_goes_to_the_shops_own_country(shopper: Shopper) -> None:
    cart = (await shopper.send("POST", "/v1/carts", json={"currency": "USD"})).json()

    assert await offered(shopper, f"/v1/carts/{cart['id']}") == {"standard": "4.99", "express": "14.99"}


async def test_what_no_longer_goes_there_is_said_in_the_cart_and_refused_at_checkout(
    staff: Staff, shopper: Shopper, resources: Resources
) -> None:
    post = await staff.method(going_to(await staff.zone({"country": "MC"}), priced((0, "4.00"), (1000, None))))
    product = await weighing(resources, 600)
    path = await a_cart(shopper, product, 1, country="MC")

    chosen = await choose(shopper, path, post)
    assert (chosen.json()["shipping_method_available"], chosen.json()["totals"]["shipping"]) == (True, usd("4.00"))
    item = chosen.json()["items"][0]
    heavier = await shopper.send("PATCH", f"{path}/items/{item['id']}", json={"quantity": 2})

    assert heavier.json()["shipping_method_available"] is False
    assert heavier.json()["totals"]["shipping"] == usd("0.00")
    refused = await shopper.check_out(chosen.json()["id"])
    assert (refused.status_code, refused.json()["code"]) == (422, "cart_incomplete")
    assert refused.json()["errors"] == [
        {"pointer": "/shipping_method", "detail": f"{post} does not carry this cart to its address"}
    ]
    assert (await choose(shopper, path, post)).status_code == 422
    assert (await shopper.send("GET", path)).json()["status"] == "open"


async def test_shipping_costs_what_it_costs_when_the_order_is_placed(
    staff: Staff, shopper: Shopper, resources: Resources, workers: None
) -> None:
    zone = await staff.zone({"country": "SM"})
    post = await staff.method(going_to(zone, priced((0, "4.00"))))
    path = await a_cart(shopper, await weighing(resources, 100), 1, country="SM")
    seen = (await choose(shopper, path, post)).json()

    dearer = {"name": "A method", "zones": [going_to(zone, priced((0, "6.00")))]}
    assert (await staff.put(f"{METHODS}/{post}", dearer)).status_code == 200
    changed = await shopper.check_out(seen["id"], expected_total=seen["totals"]["total"])
    order = await shopper.check_out(seen["id"])

    assert (changed.status_code, changed.json()["code"]) == (409, "price_changed")
    assert changed.json()["total"] == usd("16.00")
    assert order.status_code == 201, order.text
    assert (order.json()["totals"]["shipping"], order.json()["totals"]["total"]) == (usd("6.00"), usd("16.00"))


async def test_staff_reads_what_it_has_defined_and_overwrites_nobody(
    staff: Staff, api: httpx.AsyncClient, admin: dict[str, str], resources: Resources
) -> None:
    zone = await staff.zone({"country": "VA", "postal_prefix": "001 20"}, {"country": "VA", "region": "citta"})
    by_goods = going_to(
        zone,
        [
            {
                "currency": "USD",
                "bands": [{"price": usd("5.00")}, {"from_goods": usd("50.00"), "price": usd("0.00")}],
                "free_from": None,
            }
        ],
        priced_by="goods",
    )
    code = await staff.method(by_goods)

    zones = {shown["code"]: shown for shown in (await api.get(ZONES, headers=admin)).json()["items"]}
    assert zones[zone]["areas"] == [
        {"country": "VA", "region": None, "postal_prefix": "00120"},
        {"country": "VA", "region": "CITTA", "postal_prefix": None},
    ]
    shown = {method["code"]: method for method in (await api.get(METHODS, headers=admin)).json()["items"]}[code]
    assert shown["version"] == 1
    assert [band["from_goods"] for band in shown["zones"][0]["prices"][0]["bands"]] == [usd("0.00"), usd("50.00")]

    again = await staff.put(f"{METHODS}/{code}", {"name": "Renamed", "zones": [by_goods]}, **{"If-Match": '"1"'})
    stale = await staff.put(f"{METHODS}/{code}", {"name": "Too late", "zones": []}, **{"If-Match": '"1"'})

    assert (again.status_code, again.json()["version"]) == (200, 2)
    assert (stale.status_code, stale.json()["code"]) == (412, "precondition_failed")
    in_use = await api.delete(f"{ZONES}/{zone}", headers=admin)
    assert (in_use.status_code, in_use.json()["code"]) == (409, "shipping_zone_in_use")
    async with resources.autocommit() as session:
        noted = await session.scalars(
            text("SELECT action FROM audit_log WHERE note = :code ORDER BY id"), {"code": code}
        )
        assert list(noted) == ["shipping_method.define", "shipping_method.define"]


async def test_a_place_is_in_one_zone(staff: Staff) -> None:
    await staff.zone({"country": "GI"})

    refused = await staff.put(f"{ZONES}/another", {"name": "Another", "areas": [{"country": "GI"}]})

    assert refused.status_code == 422
    assert refused.json()["errors"] == [{"pointer": "/areas/0", "detail": "this place is in a zone already"}]


@pytest.mark.parametrize(
    "zone",
    [
        pytest.param(going_to("nowhere", priced((0, "1.00"))), id="a zone that is not there"),
        pytest.param(going_to("everywhere", priced((0, "1.00"), (0, "2.00"))), id="two bands at the same weight"),
        pytest.param(going_to("everywhere", priced((5, "1.00"))), id="no band at the beginning"),
        pytest.param(going_to("everywhere", priced((0, None))), id="no price at all"),
        pytest.param(going_to("everywhere", priced((0, "-1.00"))), id="a price below zero"),
        pytest.param(going_to("everywhere", priced((0, "1.00"), (9, "2.00")), priced_by="goods"), id="grams by goods"),
        pytest.param({**going_to("everywhere", priced((0, "1.00"))), "estimated_days": 1}, id="days out of order"),
    ],
)
async def test_prices_that_can_be_read_in_two_ways_are_refused(staff: Staff, zone: dict[str, Any]) -> None:
    refused = await staff.put(f"{METHODS}/by-nobody", {"name": "Nobody", "zones": [zone]})

    assert (refused.status_code, refused.json()["code"]) == (422, "validation_failed")
