"""Valkey makes things fast and nothing else: without it, every route answers as always."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import uuid4

import httpx
import pytest

from domain.customers import Role
from runtime.resources import Resources
from tests.api.test_operators import LABEL
from tests.support.catalog import a_product
from tests.support.gate import Gate
from tests.support.ledger import moved
from tests.support.people import a_verified_person
from tests.support.processes import answers, free_port, process
from tests.support.shopper import Shopper
from tests.support.staff import headers_of


@dataclass
class Uncached:
    """An API process whose way to Valkey can be cut."""

    http: httpx.AsyncClient
    gate: Gate


@pytest.fixture(scope="module")
async def own_api(
    workers: None, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Uncached]:
    valkey = httpx.URL(environment["APP_CACHE__URL"])
    port, gate = free_port(), Gate(free_port(), valkey.host, valkey.port or 6379)
    await gate.open()
    own = {**environment, "APP_API__PORT": str(port), "APP_CACHE__URL": f"redis://127.0.0.1:{gate.port}/0"}
    url = f"http://127.0.0.1:{port}"
    log = tmp_path_factory.mktemp("uncached") / "api.log"
    part = process("cli", "api", environment=own, ready=answers(f"{url}/health"), log=log)
    await asyncio.to_thread(part.__enter__)
    try:
        async with httpx.AsyncClient(base_url=url, timeout=60) as http:
            yield Uncached(http, gate)
    finally:
        await gate.close()
        await asyncio.to_thread(part.__exit__, None, None, None)


@pytest.fixture
async def uncached(own_api: Uncached) -> Uncached:
    """Its way to Valkey is open until the test cuts it."""
    await own_api.gate.open()
    return own_api


async def day(http: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources) -> dict[str, int]:
    """What a customer, an operator and an admin do in a day, and how each request is answered."""
    told: dict[str, int] = {}
    operator, admin = await headers_of(resources, Role.OPERATOR), await headers_of(resources, Role.ADMIN)
    product = await a_product(resources.sessions, price="10.00", stock=5)

    async def ask(name: str, method: str, path: str, body: object = None, **headers: str) -> httpx.Response:
        answer = await http.request(method, path, json=body, headers=headers)
        told[name] = answer.status_code
        return answer

    await ask("ready", "GET", "/ready")
    await ask("search", "GET", "/v1/products?q=coffee&in_stock=true&sort=price")
    await ask("product", "GET", f"/v1/products/{product.product_id}")
    await ask("categories", "GET", "/v1/categories")
    shopper = Shopper(http)
    cart = await shopper.a_cart((product.variant_id, 1))
    await ask("cart", "GET", f"/v1/carts/{cart}")
    order = await shopper.check_out(cart)
    told["checkout"] = order.status_code
    at = f"/v1/orders/{order.json()['id']}"
    await ask("order", "GET", f"{at}?cart={cart}")
    await ask("timeline", "GET", f"{at}/events?cart={cart}")
    parcel = await ask("pack", "POST", f"/v1/admin{at[3:]}/fulfillments", {}, **operator)
    await ask("ship", "POST", f"/v1/admin/fulfillments/{parcel.json()['id']}/ship", LABEL, **operator)
    await ask("deliver", "POST", f"/v1/admin/fulfillments/{parcel.json()['id']}/deliver", **operator)
    await ask("refund", "POST", f"/v1/admin{at[3:]}/refunds", {"reason": "broken"}, **operator)
    change = {"quantity_change": 3, "reason": "counted"}
    await ask("adjust", "POST", f"/v1/variants/{product.variant_id}/stock-adjustments", change, **operator)
    await ask("orders", "GET", "/v1/admin/orders", **operator)
    await ask("audit", "GET", "/v1/admin/audit", **admin)
    assert await moved(sandbox, order.json()) == [("authorize", 1499), ("capture", 1499), ("refund", 1499)]
    told |= await a_person(http, sandbox)
    return told


async def a_person(http: httpx.AsyncClient, sandbox: httpx.AsyncClient) -> dict[str, int]:
    """Signs in, looks at the account, stays signed in, and leaves: then the token is worth nothing any more."""
    person = await a_verified_person(http, sandbox)
    login = await http.post("/v1/auth/login", json={"email": person.email, "password": person.password})
    me = {"Authorization": f"Bearer {login.json()['access_token']}"}
    seen = await http.get("/v1/users/me", headers=me)
    fresh = await http.post("/v1/auth/refresh", json={"refresh_token": login.json()["refresh_token"]})
    left = await http.post("/v1/auth/logout", headers=me)
    after = await http.get("/v1/users/me", headers=me)
    statuses = {"login": login, "me": seen, "refresh": fresh, "logout": left, "signed out": after}
    return {name: answer.status_code for name, answer in statuses.items()}


EXPECTED = {
    "ready": 200,
    "search": 200,
    "product": 200,
    "categories": 200,
    "cart": 200,
    "checkout": 201,
    "order": 200,
    "timeline": 200,
    "pack": 201,
    "ship": 200,
    "deliver": 200,
    "refund": 201,
    "adjust": 201,
    "orders": 200,
    "audit": 200,
    "login": 200,
    "me": 200,
    "refresh": 200,
    "logout": 204,
    "signed out": 401,
}


@pytest.mark.matrix("checkout: Valkey is away")
async def test_without_valkey_a_customer_shops_and_an_operator_ships_as_always(
    uncached: Uncached, sandbox: httpx.AsyncClient, resources: Resources
) -> None:
    assert await day(uncached.http, sandbox, resources) == EXPECTED

    await uncached.gate.close()
    assert (await uncached.http.get("/ready")).json()["checks"]["cache"] == "unavailable"
    assert await day(uncached.http, sandbox, resources) == EXPECTED

    await uncached.gate.open()
    assert await day(uncached.http, sandbox, resources) == EXPECTED


async def test_a_session_that_was_ended_stays_ended_while_valkey_comes_and_goes(
    uncached: Uncached, sandbox: httpx.AsyncClient
) -> None:
    await uncached.gate.close()
    person = await a_verified_person(uncached.http, sandbox)
    login = await uncached.http.post("/v1/auth/login", json={"email": person.email, "password": person.password})
    me = {"Authorization": f"Bearer {login.json()['access_token']}"}
    assert (await uncached.http.post("/v1/auth/logout", headers=me)).status_code == 204
    assert (await uncached.http.get("/v1/users/me", headers=me)).status_code == 401

    await uncached.gate.open()

    assert (await uncached.http.get("/v1/users/me", headers=me)).status_code == 401
    assert (await uncached.http.get(f"/v1/orders/{uuid4()}", headers=me)).status_code == 401
