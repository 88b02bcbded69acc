"""What was ordered without an account finds the account of whoever reads that mailbox."""

from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from runtime.resources import Resources
from tests.support.answers import code_of
from tests.support.catalog import a_product
from tests.support.orders import timeline_of
from tests.support.people import Person, a_verified_person, mailed_token
from tests.support.shopper import Shopper


async def ordered(http: httpx.AsyncClient, resources: Resources, email: str) -> tuple[dict[str, Any], str]:
    """A guest's order with this address, and its cart."""
    product = await a_product(resources.sessions, stock=5)
    guest = Shopper(http, email=email)
    cart = await guest.a_cart((product.variant_id, 1))
    told = await guest.check_out(cart)
    assert told.status_code == 201, told.text
    order: dict[str, Any] = told.json()
    return order, cart


async def orders_of(person: Person) -> list[str]:
    found = await person.http.get("/v1/orders", headers=person.headers)
    return [order["id"] for order in found.json()["items"]]


@pytest.mark.parametrize("ordered_when", ["before the account", "after it"])
async def test_a_guests_order_is_listed_once_the_address_is_verified(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources, ordered_when: str
) -> None:
    person = Person(api)
    if ordered_when == "after it":
        person = await a_verified_person(api, sandbox)
    order, cart = await ordered(api, resources, person.email.upper())
    somebody_elses, _ = await ordered(api, resources, f"{uuid4().hex}@example.com")
    if ordered_when == "before the account":
        await person.register()
        assert code_of(await api.get(f"/v1/orders/{order['id']}")) == (404, "not_found")
        await person.verify(sandbox)
    await person.sign_in()

    assert await orders_of(person) == [order["id"]]
    assert (await api.get(f"/v1/orders/{order['id']}", headers=person.headers)).status_code == 200
    assert (await timeline_of(resources.sessions, UUID(order["id"]))).count("order.claimed") == 1
    assert (await api.get(f"/v1/orders/{order['id']}", params={"cart": cart})).status_code == 200
    assert code_of(await api.get(f"/v1/orders/{order['id']}", params={"cart": str(uuid4())})) == (404, "not_found")
    refused = await api.get(f"/v1/orders/{somebody_elses['id']}", headers=person.headers)
    assert code_of(refused) == (404, "not_found")


async def test_an_account_that_was_not_verified_finds_nothing(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources
) -> None:
    person = Person(api)
    order, cart = await ordered(api, resources, person.email)
    await person.register()

    assert code_of(await person.log_in()) == (403, "email_not_verified")

    assert "order.claimed" not in await timeline_of(resources.sessions, UUID(order["id"]))
    assert (await api.get(f"/v1/orders/{order['id']}", params={"cart": cart})).status_code == 200


async def test_the_orders_of_a_new_address_come_with_its_change(
    api: httpx.AsyncClient, sandbox: httpx.AsyncClient, resources: Resources
) -> None:
    person = await (await a_verified_person(api, sandbox)).sign_in()
    new_email = f"new.{uuid4().hex[:12]}@example.com"
    order, _ = await ordered(api, resources, new_email)
    wish = {"email": new_email, "current_password": person.password}
    await api.post("/v1/users/me/email", json=wish, headers=person.headers)
    assert await orders_of(person) == []

    for email in (person.email, new_email):
        token = await mailed_token(sandbox, email, "email-change")
        assert (await api.post("/v1/auth/email-change/confirm", json={"token": token})).status_code == 200

    assert await orders_of(person) == [order["id"]]
