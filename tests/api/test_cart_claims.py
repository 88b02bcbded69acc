"""A guest who signs in takes their cart along."""

import httpx

from domain.customers import Role
from runtime.resources import Resources
from tests.api.test_carts import a_new_cart, is_problem, put_in, shown
from tests.support.catalog import a_product
from tests.support.shopper import Shopper
from tests.support.staff import headers_of


async def test_a_guest_who_signs_in_finds_one_cart_with_everything_in_it(
    api: httpx.AsyncClient, resources: Resources
) -> None:
    both, only = await a_product(resources.sessions), await a_product(resources.sessions)
    guest, customer = Shopper(api), Shopper(api, headers=await headers_of(resources, Role.CUSTOMER))
    is_problem(await customer.send("GET", "/v1/carts/mine"), 404, "not_found")
    own, guests = await a_new_cart(customer), await a_new_cart(guest)
    await put_in(customer, own, both, 2)
    await put_in(guest, guests, both, 3)
    await put_in(guest, guests, only, 1)
    path = f"/v1/carts/{guests['id']}/claim"
    is_problem(await guest.send("POST", path, json={}), 401, "unauthenticated")

    claimed = await customer.send("POST", path, json={"strategy": "guest"})

    assert (claimed.status_code, claimed.json()["id"], claimed.json()["left_out"]) == (200, own["id"], [])
    assert {item["sku"]: item["quantity"] for item in claimed.json()["items"]} == {both.sku: 3, only.sku: 1}
    again = await customer.send("POST", path, json={})
    assert (again.status_code, again.json(), again.headers["etag"]) == (200, claimed.json(), claimed.headers["etag"])
    mine = await customer.send("GET", "/v1/carts/mine")
    assert (mine.status_code, {**mine.json(), "left_out": []}) == (200, claimed.json())
    gone = await customer.send("GET", f"/v1/carts/{guests['id']}")
    assert is_problem(gone, 410, "cart_merged")["cart_id"] == own["id"]
    is_problem(await guest.send("GET", f"/v1/carts/{guests['id']}"), 404, "not_found")
    is_problem(await put_in(customer, guests, only, 1), 410, "cart_merged")
    is_problem(await customer.check_out(guests["id"]), 410, "cart_merged")


async def test_a_strategy_is_one_of_three(api: httpx.AsyncClient, resources: Resources) -> None:
    guest, customer = Shopper(api), Shopper(api, headers=await headers_of(resources, Role.CUSTOMER))
    cart = await a_new_cart(guest)

    answer = await customer.send("POST", f"/v1/carts/{cart['id']}/claim", json={"strategy": "all"})

    assert [wrong["pointer"] for wrong in is_problem(answer, 422, "validation_failed")["errors"]] == ["/strategy"]
    assert (await shown(guest, cart))["id"] == cart["id"]  # it is a guest's still
