"""The table of taxes over HTTP: who may change it, and that nobody overwrites anybody."""

from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import text

from domain.customers import Role
from runtime.resources import Resources
from tests.api.test_operators import is_problem
from tests.support.catalog import a_product
from tests.support.shopper import Shopper
from tests.support.staff import headers_of

REGIONS, RATES = "/v1/admin/tax-regions", "/v1/admin/tax-rates"


@pytest.fixture
async def region(api: httpx.AsyncClient, admin: dict[str, str]) -> dict[str, Any]:
    prefix = uuid4().hex[:8]
    body = {"country": "QP", "region": "ca", "postal_prefix": prefix, "is_inclusive": False}
    made = await api.post(REGIONS, json=body, headers=admin)
    assert made.status_code == 201, made.text
    told: dict[str, Any] = made.json()
    assert (told["region"], told["postal_prefix"]) == ("CA", prefix.upper())
    return told


async def audited(resources: Resources, words: str) -> list[str]:
    async with resources.sessions() as session:
        found = await session.scalars(
            text("SELECT action FROM audit_log WHERE note LIKE :words ORDER BY id"), {"words": f"%{words}%"}
        )
        return list(found)


async def test_rates_are_added_changed_and_removed(
    api: httpx.AsyncClient, admin: dict[str, str], region: dict[str, Any], resources: Resources
) -> None:
    body = {"region_id": region["id"], "name": "State", "percent": "7.250"}
    made = await api.post(RATES, json=body, headers=admin)
    assert (made.status_code, made.json()["percent"], made.json()["tax_class"]) == (201, "7.25", "standard")
    one = f"{RATES}/{made.json()['id']}"
    is_problem(await api.post(RATES, json=body, headers=admin), 409, "tax_rate_exists")

    based = {**admin, "If-Match": made.headers["ETag"]}
    changed = await api.patch(one, json={"percent": "8"}, headers=based)
    assert (changed.status_code, changed.json()["percent"], changed.json()["version"]) == (200, "8", 2)
    is_problem(await api.patch(one, json={"percent": "9"}, headers=based), 412, "precondition_failed")
    is_problem(await api.delete(one, headers=based), 412, "precondition_failed")
    listed = await api.get(RATES, params={"region": region["id"]}, headers=admin)
    assert listed.json() == {"items": [changed.json()], "next_cursor": None}

    assert (await api.delete(one, headers=admin)).status_code == 204
    is_problem(await api.delete(one, headers=admin), 404, "not_found")
    assert await audited(resources, region["id"]) == ["tax_rate.add", "tax_rate.change", "tax_rate.remove"]


async def test_a_region_is_there_once_and_goes_with_its_rates(
    api: httpx.AsyncClient, admin: dict[str, str], region: dict[str, Any], resources: Resources
) -> None:
    same = {name: region[name] for name in ("country", "region", "postal_prefix", "is_inclusive")}
    is_problem(await api.post(REGIONS, json=same, headers=admin), 409, "tax_region_exists")
    one = f"{REGIONS}/{region['id']}"
    await api.post(RATES, json={"region_id": region["id"], "name": "State", "percent": "7"}, headers=admin)

    changed = await api.patch(one, json={"is_inclusive": True}, headers=admin)
    assert (changed.json()["is_inclusive"], changed.json()["version"]) == (True, 2)
    assert (await api.delete(one, headers=admin)).status_code == 204

    assert (await api.get(RATES, params={"region": region["id"]}, headers=admin)).json()["items"] == []
    assert await audited(resources, region["postal_prefix"]) == [
        "tax_region.add",
        "tax_region.change",
        "tax_region.remove",
    ]


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"percent": "100.1"}, "/percent"),
        ({"percent": "-1"}, "/percent"),
        ({"percent": "7.1234567"}, "/percent"),
        ({"percent": 7}, "/percent"),
        ({"name": ""}, "/name"),
        ({"tax_class": "Not One"}, "/tax_class"),
        ({"region_id": "01900000-0000-7000-8000-000000000000"}, "/region_id"),
    ],
)
async def test_a_rate_that_cannot_be_is_refused(
    api: httpx.AsyncClient, admin: dict[str, str], region: dict[str, Any], change: dict[str, Any], pointer: str
) -> None:
    body = {"region_id": region["id"], "name": "State", "percent": "7", **change}

    problem = is_problem(await api.post(RATES, json=body, headers=admin), 422, "validation_failed")

    assert [error["pointer"] for error in problem["errors"]] == [pointer]


async def test_an_exemption_is_granted_shown_and_ended(api: httpx.AsyncClient, resources: Resources) -> None:
    operator = await headers_of(resources, Role.OPERATOR)
    customer = await headers_of(resources, Role.CUSTOMER)
    who = UUID((await api.get("/v1/users/me", headers=customer)).json()["id"])
    path = f"/v1/admin/users/{who}/tax-exemption"
    is_problem(await api.get(path, headers=operator), 404, "not_found")

    granted = await api.put(path, json={"certificate": "DE123456789"}, headers=operator)
    assert (granted.status_code, granted.json()["certificate"]) == (200, "DE123456789")
    assert (await api.get(path, headers=operator)).json() == granted.json()
    assert (await api.delete(path, headers=operator)).status_code == 204
    is_problem(await api.delete(path, headers=operator), 404, "not_found")
    nobody = f"/v1/admin/users/{uuid4()}/tax-exemption"
    is_problem(await api.put(nobody, json={"certificate": "1"}, headers=operator), 404, "not_found")
    assert await audited(resources, str(who)) == ["tax_exemption.grant", "tax_exemption.end"]


async def test_a_product_says_of_which_class_it_is(
    api: httpx.AsyncClient, admin: dict[str, str], resources: Resources
) -> None:
    product = await a_product(resources.sessions)
    path = f"/v1/products/{product.product_id}"

    changed = await api.patch(path, json={"tax_class": "reduced"}, headers=admin)

    assert (changed.status_code, changed.json()["tax_class"]) == (200, "reduced")
    is_problem(await api.patch(path, json={"tax_class": None}, headers=admin), 422, "validation_failed")


async def test_carts_and_orders_of_a_shop_without_taxes_say_that_there_are_none(
    api: httpx.AsyncClient, resources: Resources
) -> None:
    product = await a_product(resources.sessions)
    shopper = Shopper(api)
    cart_id = await shopper.a_cart((product.variant_id, 1))
    cart = (await api.get(f"/v1/carts/{cart_id}")).json()

    assert (cart["taxes"], cart["tax_is_final"]) == ([], True)
