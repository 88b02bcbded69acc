"""Several places for stock, over HTTP."""

from typing import Any
from uuid import uuid4

import httpx
import pytest

from domain.customers import Role
from domain.inventory import StockLevel
from runtime.resources import Resources
from tests.support.catalog import AProduct, a_product, ledger_of, stock_of
from tests.support.orders import a_confirmed_order
from tests.support.staff import headers_of

LOCATIONS = "/v1/admin/locations"


@pytest.fixture
async def north(api: httpx.AsyncClient, admin: dict[str, str]) -> str:
    code = f"north-{uuid4().hex[:8]}"
    made = await api.post(LOCATIONS, json={"code": code, "name": "North", "priority": 7}, headers=admin)
    assert made.status_code == 201, made.text
    assert made.json() == {"code": code, "name": "North", "priority": 7, "is_active": True}
    return code


async def adjust(
    api: httpx.AsyncClient, headers: dict[str, str], product: AProduct, change: int, **where: Any
) -> httpx.Response:
    body = {"quantity_change": change, "reason": "counted", **where}
    return await api.post(f"/v1/variants/{product.variant_id}/stock-adjustments", json=body, headers=headers)


async def transfer(
    api: httpx.AsyncClient, headers: dict[str, str], product: AProduct, quantity: int, source: str, target: str
) -> httpx.Response:
    body = {"from": source, "to": target, "quantity": quantity, "reason": "weekly"}
    return await api.post(f"/v1/variants/{product.variant_id}/stock-transfers", json=body, headers=headers)


async def shown(api: httpx.AsyncClient, product: AProduct) -> int:
    quantity: int = (await api.get(f"/v1/products/{product.product_id}")).json()["stock_quantity"]
    return quantity


async def test_shoppers_see_the_sum_over_all_locations(
    api: httpx.AsyncClient, resources: Resources, operator: dict[str, str], north: str
) -> None:
    product = await a_product(resources.sessions, stock=3)
    assert await shown(api, product) == 3

    brought = await adjust(api, operator, product, 4, location=north)

    assert (brought.status_code, brought.json()) == (201, {"on_hand": 4, "reserved": 0, "available": 4})
    assert await shown(api, product) == 7
    assert (await adjust(api, operator, product, 1)).json() == {"on_hand": 4, "reserved": 0, "available": 4}
    assert await ledger_of(resources.sessions, product.variant_id) == StockLevel(on_hand=8, reserved=0)


async def test_staff_moves_stock_once_however_often_it_asks(
    api: httpx.AsyncClient, resources: Resources, operator: dict[str, str], north: str
) -> None:
    product = await a_product(resources.sessions, stock=5)
    once = operator | {"Idempotency-Key": f"move-{uuid4().hex}"}

    first, second = [await transfer(api, once, product, 2, "main", north) for _ in range(2)]

    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert first.json()["locations"] == [
        {"location": "main", "on_hand": 3, "reserved": 0, "available": 3},
        {"location": north, "on_hand": 2, "reserved": 0, "available": 2},
    ]
    assert first.json()["on_hand"] == 5
    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=5, reserved=0)


async def test_staff_cannot_move_what_is_not_there_or_to_nowhere(
    api: httpx.AsyncClient, resources: Resources, operator: dict[str, str], north: str
) -> None:
    product = await a_product(resources.sessions, stock=5)

    too_many = await transfer(api, operator, product, 6, "main", north)
    nowhere = await transfer(api, operator, product, 1, "main", "nowhere")
    nothing = await transfer(api, operator, product, 0, "main", north)
    in_place = await transfer(api, operator, product, 1, "main", "main")
    unknown = await api.post(
        f"/v1/variants/{uuid4()}/stock-transfers",
        json={"from": "main", "to": north, "quantity": 1, "reason": "weekly"},
        headers=operator,
    )
    elsewhere = await adjust(api, operator, product, 1, location="nowhere")

    assert (too_many.status_code, too_many.json()["code"], too_many.json()["available"]) == (
        409,
        "insufficient_stock",
        5,
    )
    assert (nowhere.status_code, nowhere.json()["errors"][0]["pointer"]) == (422, "/to")
    assert [answer.status_code for answer in (nothing, in_place)] == [422, 422]
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")
    assert (elsewhere.status_code, elsewhere.json()["errors"][0]["pointer"]) == (422, "/location")
    assert await ledger_of(resources.sessions, product.variant_id) == StockLevel(on_hand=5, reserved=0)


async def test_admins_rename_reorder_close_and_open_again(
    api: httpx.AsyncClient, resources: Resources, admin: dict[str, str], north: str
) -> None:
    product = await a_product(resources.sessions, stock=0)
    await adjust(api, admin, product, 1, location=north)
    close = {"is_active": False}

    refused = await api.patch(f"{LOCATIONS}/{north}", json=close, headers=admin)
    await adjust(api, admin, product, -1, location=north)
    answers = [
        await api.patch(f"{LOCATIONS}/{north}", json=body, headers=admin)
        for body in ({"name": "Far North", "priority": 3}, close, {"is_active": True})
    ]

    assert (refused.status_code, refused.json()["code"], refused.json()["on_hand"]) == (409, "location_in_use", 1)
    assert [answer.json() for answer in answers] == [
        {"code": north, "name": "Far North", "priority": 3, "is_active": is_active} for is_active in (True, False, True)
    ]


async def test_admins_are_told_what_a_location_cannot_be(
    api: httpx.AsyncClient, admin: dict[str, str], north: str
) -> None:
    twice = await api.post(LOCATIONS, json={"code": north, "name": "Again"}, headers=admin)
    main = await api.patch(f"{LOCATIONS}/main", json={"is_active": False}, headers=admin)
    unknown = await api.patch(f"{LOCATIONS}/nowhere", json={"name": "Nowhere"}, headers=admin)
    nothing = await api.patch(f"{LOCATIONS}/{north}", json={}, headers=admin)
    wrong = [
        await api.post(LOCATIONS, json=body, headers=admin)
        for body in (
            {"code": "No rth", "name": "x"},
            {"code": "x", "name": ""},
            {"code": "x", "name": "x", "priority": -1},
        )
    ]

    assert (twice.status_code, twice.json()["code"]) == (409, "location_exists")
    assert (main.status_code, main.json()["code"]) == (409, "location_in_use")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")
    assert [answer.status_code for answer in (nothing, *wrong)] == [422, 422, 422, 422]


async def test_locations_are_listed_in_the_order_in_which_they_give_units(
    api: httpx.AsyncClient, operator: dict[str, str], north: str
) -> None:
    listed: list[dict[str, Any]] = []
    params: dict[str, Any] = {"limit": 2}
    while True:
        page = (await api.get(LOCATIONS, params=params, headers=operator)).json()
        listed += page["items"]
        if page["next_cursor"] is None:
            break
        params["cursor"] = page["next_cursor"]

    order = [(location["priority"], location["code"]) for location in listed]
    assert order == sorted(order)
    assert {"main", north} <= {location["code"] for location in listed}
    forged = await api.get(LOCATIONS, params={"cursor": "WyJhIiwgImIiXQ"}, headers=operator)
    assert (forged.status_code, forged.json()["code"]) == (400, "malformed_request")


async def test_staff_sees_where_the_units_of_an_order_lie(
    api: httpx.AsyncClient, resources: Resources, operator: dict[str, str], north: str
) -> None:
    product = await a_product(resources.sessions, stock=2)
    await adjust(api, operator, product, 2, location=north)
    order = await a_confirmed_order(resources.sessions, (product.variant_id, 3))

    answer = await api.get(f"/v1/admin/orders/{order.order_id}/stock", headers=operator)

    said = {"variant_id": str(product.variant_id), "sku": product.sku, "shipped": 0}
    assert answer.json() == {
        "items": [{**said, "location": "main", "waiting": 2}, {**said, "location": north, "waiting": 1}]
    }
    missing = await api.get(f"/v1/admin/orders/{uuid4()}/stock", headers=operator)
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")


async def test_only_admins_make_and_change_locations_and_only_staff_sees_them(
    api: httpx.AsyncClient, resources: Resources, operator: dict[str, str], north: str
) -> None:
    product = await a_product(resources.sessions, stock=2)
    order = await a_confirmed_order(resources.sessions, (product.variant_id, 1))
    customer = await headers_of(resources, Role.CUSTOMER)
    new = {"code": "x", "name": "X"}

    refused = [
        await api.post(LOCATIONS, json=new, headers=operator),
        await api.patch(f"{LOCATIONS}/{north}", json={"name": "Y"}, headers=operator),
        await api.get(LOCATIONS, headers=customer),
        await api.get(f"/v1/admin/orders/{order.order_id}/stock", headers=customer),
        await transfer(api, customer, product, 1, "main", north),
    ]

    assert [answer.status_code for answer in refused] == [403] * 5
    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=2, reserved=1)
