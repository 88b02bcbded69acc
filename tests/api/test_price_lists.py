"""Price lists over HTTP: who writes them, and what a shopper is shown."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from domain.customers import Role
from runtime.resources import Resources
from tests.api.catalog_calls import usd
from tests.support.answers import code_of
from tests.support.catalog import AProduct, VariantWanted, a_product
from tests.support.staff import headers_of

LISTS = "/v1/admin/price-lists"


async def a_list(api: httpx.AsyncClient, admin: dict[str, str], **wanted: Any) -> str:
    made = await api.post(LISTS, json={"code": f"list-{uuid4().hex[:12]}", "name": "Sale", **wanted}, headers=admin)
    assert made.status_code == 201, made.text
    code: str = made.json()["code"]
    return code


async def write(
    api: httpx.AsyncClient, admin: dict[str, str], code: str, *items: dict[str, Any], **more: Any
) -> httpx.Response:
    headers = {**admin, **more.pop("headers", {})}
    return await api.put(f"{LISTS}/{code}/entries", json={"items": items, **more}, headers=headers)


def entry(product: AProduct, price: str, min_quantity: int = 1) -> dict[str, Any]:
    return {"sku": product.sku, "price": usd(price), "min_quantity": min_quantity}


async def entries_of(api: httpx.AsyncClient, admin: dict[str, str], code: str) -> list[tuple[str, int, str]]:
    found: list[tuple[str, int, str]] = []
    asked: dict[str, Any] = {"limit": 2}
    while True:
        page = (await api.get(f"{LISTS}/{code}/entries", params=asked, headers=admin)).json()
        found += [(one["sku"], one["min_quantity"], one["price"]["amount"]) for one in page["items"]]
        if page["next_cursor"] is None:
            return found
        asked["cursor"] = page["next_cursor"]


async def a_member(api: httpx.AsyncClient, resources: Resources, admin: dict[str, str]) -> tuple[dict[str, str], str]:
    """Somebody who is in a group of their own, and its code."""
    code = f"group-{uuid4().hex[:12]}"
    assert (
        await api.post("/v1/admin/customer-groups", json={"code": code, "name": "Shops"}, headers=admin)
    ).status_code == 201
    headers = await headers_of(resources, Role.CUSTOMER)
    user_id = (await api.get("/v1/users/me", headers=headers)).json()["id"]
    assert (await api.put(f"/v1/admin/users/{user_id}/groups/{code}", headers=admin)).status_code == 200
    return headers, code


async def shown(
    api: httpx.AsyncClient, product: AProduct, headers: dict[str, str]
) -> list[tuple[int, str, str | None]]:
    answer = await api.get(f"/v1/products/{product.product_id}/prices", headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == "private, no-store"
    [variant] = answer.json()["items"]
    assert variant["base_price"] == usd(product.price.amount)
    return [(step["min_quantity"], step["unit_price"]["amount"], step["price_list"]) for step in variant["steps"]]


async def test_a_list_is_made_and_changed_and_a_stale_change_is_refused(
    api: httpx.AsyncClient, admin: dict[str, str], resources: Resources
) -> None:
    code = await a_list(api, admin, priority=3, valid_from="2026-01-01T00:00:00Z", valid_until="2027-01-01T00:00:00Z")
    twin = await api.post(LISTS, json={"code": code, "name": "Another"}, headers=admin)
    looked_at = await api.get(f"{LISTS}/{code}", headers=admin)
    changed = await api.patch(
        f"{LISTS}/{code}",
        json={"name": "Summer", "override": True, "is_active": False, "valid_until": None},
        headers={**admin, "If-Match": looked_at.headers["ETag"]},
    )
    late = await api.patch(
        f"{LISTS}/{code}", json={"priority": 9}, headers={**admin, "If-Match": looked_at.headers["ETag"]}
    )

    assert code_of(twin) == (409, "price_list_exists")
    assert changed.json() == {
        "code": code,
        "name": "Summer",
        "priority": 3,
        "override": True,
        "groups": [],
        "valid_from": "2026-01-01T00:00:00Z",
        "valid_until": None,
        "is_active": False,
    }
    assert code_of(late) == (412, "precondition_failed")
    assert (await api.get(f"{LISTS}/{code}", headers=admin)).json() == changed.json()
    async with resources.sessions() as session:
        noted = await session.execute(
            text("SELECT action FROM audit_log WHERE note LIKE :it ORDER BY id"), {"it": f"{code}%"}
        )
        assert list(noted.scalars()) == ["make_price_list", "change_price_list"]


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"groups": ["no-such-group"]}, "/groups"),
        ({"valid_from": "2026-02-01T00:00:00Z", "valid_until": "2026-02-01T00:00:00Z"}, "/valid_until"),
        ({"valid_from": "2026-02-01T00:00:00"}, "/valid_from"),
        ({"priority": None}, "/priority"),
    ],
    ids=["groups", "times", "zone", "null"],
)
async def test_a_change_that_cannot_be_is_refused_and_changes_nothing(
    api: httpx.AsyncClient, admin: dict[str, str], wrong: dict[str, Any], pointer: str
) -> None:
    code = await a_list(api, admin)
    before = await api.get(f"{LISTS}/{code}", headers=admin)

    refused = await api.patch(f"{LISTS}/{code}", json={"name": "New", **wrong}, headers=admin)

    assert code_of(refused) == (422, "validation_failed")
    assert [error["pointer"] for error in refused.json()["errors"]] == [pointer]
    assert (await api.get(f"{LISTS}/{code}", headers=admin)).headers["ETag"] == before.headers["ETag"]


async def test_entries_are_written_many_at_once_and_again_changes_nothing(
    api: httpx.AsyncClient, admin: dict[str, str], resources: Resources
) -> None:
    variants = [VariantWanted(price="10.00") for _ in range(5)]
    product, code = await a_product(resources.sessions, variants=variants), await a_list(api, admin)
    items = [
        {"variant_id": str(variant.variant_id), "price": usd(f"{9 - n}.00"), "min_quantity": quantity}
        for variant in product.variants
        for n, quantity in enumerate((1, 10, 100))
    ]

    made = await write(api, admin, code, *items)
    again = await write(api, admin, code, *items)
    one = product.variants[0]
    changed = await write(
        api,
        admin,
        code,
        {"sku": one.sku, "price": usd("8.50")},
        removed=[{"sku": one.sku, "currency": "USD", "min_quantity": 100}],
    )

    assert made.json() == {"created": 15, "updated": 0, "unchanged": 0, "removed": 0}
    assert again.json() == {"created": 0, "updated": 0, "unchanged": 15, "removed": 0}
    assert changed.json() == {"created": 0, "updated": 1, "unchanged": 0, "removed": 1}
    found = await entries_of(api, admin, code)
    assert len(found) == len(set(found)) == 14
    assert [of for of in found if of[0] == one.sku] == [(one.sku, 1, "8.50"), (one.sku, 10, "8.00")]


async def test_entries_are_written_all_or_none_and_each_that_cannot_be_is_named(
    api: httpx.AsyncClient, admin: dict[str, str], resources: Resources
) -> None:
    product, code = await a_product(resources.sessions, price="10.00"), await a_list(api, admin)
    before = await api.get(f"{LISTS}/{code}", headers=admin)

    refused = await write(
        api,
        admin,
        code,
        entry(product, "9.00"),
        {"sku": "no-such-sku", "price": usd("1.00")},
        {"sku": product.sku, "price": {"amount": "9.00", "currency": "EUR"}},
        entry(product, "8.00", 5),
        {"variant_id": str(product.variant_id), "price": usd("7.00"), "min_quantity": 5},
    )
    stale = await write(api, admin, code, entry(product, "9.00"), headers={"If-Match": '"7-abc"'})

    assert code_of(refused) == (422, "validation_failed")
    assert [(error["pointer"], error["detail"]) for error in refused.json()["errors"]] == [
        ("/items/1", "There is no such variant."),
        ("/items/2", "It has no base price in EUR."),
        ("/items/3", "It stands here twice."),
        ("/items/4", "It stands here twice."),
    ]
    assert code_of(stale) == (412, "precondition_failed")
    assert await entries_of(api, admin, code) == []
    assert (await api.get(f"{LISTS}/{code}", headers=admin)).headers["ETag"] == before.headers["ETag"]


async def test_each_shopper_is_shown_their_own_prices_and_the_catalogue_shows_base_prices(
    api: httpx.AsyncClient, admin: dict[str, str], resources: Resources
) -> None:
    product = await a_product(resources.sessions, price="10.00")
    member, group = await a_member(api, resources, admin)
    sale, agreed = await a_list(api, admin), await a_list(api, admin, groups=[group], priority=1)
    await write(api, admin, sale, entry(product, "9.00"), entry(product, "8.00", 10))
    await write(api, admin, agreed, entry(product, "8.50"))
    stranger = await headers_of(resources, Role.CUSTOMER)

    for anybody in ({}, stranger):
        assert await shown(api, product, anybody) == [(1, "9.00", sale), (10, "8.00", sale)]
    assert await shown(api, product, member) == [(1, "8.50", agreed)]
    for headers in ({}, member):
        listed = await api.get(f"/v1/products/{product.product_id}", headers=headers)
        assert listed.json()["price"] == usd("10.00")

    yesterday = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    await api.patch(f"{LISTS}/{agreed}", json={"valid_until": yesterday}, headers=admin)
    await api.patch(f"{LISTS}/{sale}", json={"is_active": False}, headers=admin)
    for headers in ({}, member):
        assert await shown(api, product, headers) == [(1, "10.00", None)]
    nothing = await api.get(f"/v1/products/{product.product_id}/prices", params={"currency": "JPY"})
    assert [(one["base_price"], one["steps"]) for one in nothing.json()["items"]] == [(None, [])]
    assert code_of(await api.get(f"/v1/products/{uuid4()}/prices")) == (404, "not_found")


async def test_what_is_not_sold_in_a_currency_any_more_has_no_price_in_a_list_either(
    api: httpx.AsyncClient, admin: dict[str, str], resources: Resources
) -> None:
    product, code = await a_product(resources.sessions, price="10.00"), await a_list(api, admin)
    await write(api, admin, code, entry(product, "9.00"))

    change = {"prices": [{"amount": "9.00", "currency": "EUR"}]}
    assert (await api.patch(f"/v1/products/{product.product_id}", json=change, headers=admin)).status_code == 200

    assert await entries_of(api, admin, code) == []
