"""Address books: one's own, and what carts and orders take from them."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import insert, select

from db.addresses import Address
from runtime.resources import Resources
from tests.support.answers import code_of
from tests.support.catalog import a_product
from tests.support.people import Person, a_verified_person
from tests.support.shopper import ADDRESS, Shopper

BOOK = "/v1/users/me/addresses"
HOME: dict[str, Any] = {
    "name": "Ada Lovelace",
    "line1": "12 Orchard Lane",
    "city": "Springfield",
    "postal_code": "62701",
    "country": "US",
}
WORK = {**HOME, "line1": "1 Engine Street", "line2": "Second floor", "city": "London", "country": "GB"}


@pytest.fixture
async def person(api: httpx.AsyncClient, sandbox: httpx.AsyncClient) -> Person:
    return await (await a_verified_person(api, sandbox)).sign_in()


@pytest.fixture
async def stranger(api: httpx.AsyncClient, sandbox: httpx.AsyncClient) -> Person:
    return await (await a_verified_person(api, sandbox)).sign_in()


async def keep(person: Person, address: dict[str, Any]) -> httpx.Response:
    return await person.http.post(BOOK, json=address, headers=person.headers)


async def book_of(person: Person, **query: Any) -> dict[str, Any]:
    found = await person.http.get(BOOK, headers=person.headers, params=query)
    assert found.status_code == 200, found.text
    page: dict[str, Any] = found.json()
    return page


def defaults(book: dict[str, Any]) -> list[tuple[str, bool, bool]]:
    return [(one["line1"], one["is_default_shipping"], one["is_default_billing"]) for one in book["items"]]


async def test_an_address_is_kept_changed_and_forgotten(person: Person) -> None:
    kept = await keep(person, HOME)
    assert kept.status_code == 201
    address = kept.json()
    assert {name: address[name] for name in HOME} == HOME
    assert (address["line2"], address["region"], address["phone"]) == (None, None, None)
    one = f"{BOOK}/{address['id']}"
    assert (await person.http.get(one, headers=person.headers)).json() == address

    changed = await person.http.put(one, json={**WORK, "is_default_billing": True}, headers=person.headers)
    assert changed.status_code == 200
    assert {name: changed.json()[name] for name in WORK} == WORK
    assert defaults(await book_of(person)) == [("1 Engine Street", False, True)]

    assert (await person.http.delete(one, headers=person.headers)).status_code == 204
    assert (await book_of(person))["items"] == []
    assert code_of(await person.http.delete(one, headers=person.headers)) == (404, "not_found")


async def test_the_first_address_is_the_default_until_another_one_is(person: Person) -> None:
    await keep(person, HOME)
    await keep(person, WORK)
    assert defaults(await book_of(person)) == [("12 Orchard Lane", True, True), ("1 Engine Street", False, False)]

    await keep(person, {**HOME, "line1": "3 New Road", "is_default_shipping": True})

    assert defaults(await book_of(person)) == [
        ("12 Orchard Lane", False, True),
        ("1 Engine Street", False, False),
        ("3 New Road", True, False),
    ]


async def test_of_addresses_that_want_to_be_the_default_at_once_one_is(person: Person) -> None:
    answers = await asyncio.gather(*(keep(person, {**HOME, "is_default_shipping": True}) for _ in range(8)))

    assert {answer.status_code for answer in answers} == {201}
    book = (await book_of(person))["items"]
    assert len(book) == 8
    assert sum(one["is_default_shipping"] for one in book) == 1
    assert sum(one["is_default_billing"] for one in book) == 1


async def test_a_book_is_read_page_by_page(person: Person) -> None:
    for address in (HOME, WORK):
        await keep(person, address)

    first = await book_of(person, limit=1)
    second = await book_of(person, limit=1, cursor=first["next_cursor"])

    assert [one["line1"] for page in (first, second) for one in page["items"]] == ["12 Orchard Lane", "1 Engine Street"]
    assert second["next_cursor"] is None


async def test_a_book_has_an_end(person: Person, resources: Resources) -> None:
    me = (await person.me()).json()["id"]
    async with resources.sessions.begin() as session:
        await session.execute(insert(Address), [{**HOME, "user_id": me} for _ in range(50)])

    assert code_of(await keep(person, WORK)) == (409, "address_book_full")

    async with resources.sessions() as session:
        kept = (await session.scalars(select(Address.line1).where(Address.user_id == me))).all()
    assert kept == ["12 Orchard Lane"] * 50


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"city": ""}, "/city"),
        ({"country": "USA"}, "/country"),
        ({"street": "x"}, "/street"),
        ({"name": None}, "/name"),
    ],
)
async def test_a_field_that_is_not_acceptable_is_named(person: Person, change: dict[str, Any], pointer: str) -> None:
    refused = await keep(person, {**HOME, **change})

    assert code_of(refused) == (422, "validation_failed")
    assert [error["pointer"] for error in refused.json()["errors"]] == [pointer]
    assert (await book_of(person))["items"] == []


async def test_nobody_finds_the_address_of_another_one(person: Person, stranger: Person) -> None:
    address = (await keep(person, HOME)).json()
    one = f"{BOOK}/{address['id']}"

    for method, body in (("GET", None), ("PUT", WORK), ("DELETE", None)):
        refused = await stranger.http.request(method, one, json=body, headers=stranger.headers)
        assert code_of(refused) == (404, "not_found")

    assert (await book_of(stranger))["items"] == []
    assert (await book_of(person))["items"] == [address]


async def test_without_an_account_there_is_no_book(api: httpx.AsyncClient) -> None:
    for method, path in (("GET", BOOK), ("POST", BOOK), ("GET", f"{BOOK}/{uuid4()}"), ("DELETE", f"{BOOK}/{uuid4()}")):
        refused = await api.request(method, path, json=HOME if method == "POST" else None)
        assert code_of(refused) == (401, "unauthenticated")


async def test_a_cart_takes_an_address_by_its_id_and_the_order_keeps_it_as_it_was(
    person: Person, resources: Resources
) -> None:
    address = (await keep(person, WORK)).json()
    product = await a_product(resources.sessions, stock=5)
    shopper = Shopper(person.http, email=person.email, headers=person.headers)
    cart = await shopper.a_cart((product.variant_id, 1))
    copy = {**WORK, "region": None, "phone": None}

    taken = await shopper.send("PUT", f"/v1/carts/{cart}/saved-shipping-address", json={"address_id": address["id"]})
    assert taken.status_code == 200, taken.text
    assert taken.json()["shipping_address"] == copy
    order = (await shopper.check_out(cart)).json()
    one = f"{BOOK}/{address['id']}"
    await person.http.put(one, json=HOME, headers=person.headers)
    await person.http.delete(one, headers=person.headers)

    assert (await shopper.order(order["id"]))["shipping_address"] == copy


async def test_a_cart_does_not_take_the_address_of_another_one(
    person: Person, stranger: Person, resources: Resources
) -> None:
    address = (await keep(person, WORK)).json()
    product = await a_product(resources.sessions, stock=5)
    shopper = Shopper(stranger.http, email=stranger.email, headers=stranger.headers)
    cart = await shopper.a_cart((product.variant_id, 1))
    before = (await shopper.send("GET", f"/v1/carts/{cart}")).json()
    path, wanted = f"/v1/carts/{cart}/saved-shipping-address", {"address_id": address["id"]}

    assert code_of(await shopper.send("PUT", path, json=wanted)) == (404, "not_found")
    assert code_of(await person.http.put(path, json=wanted, headers=person.headers)) == (404, "not_found")
    assert code_of(await person.http.put(path, json=wanted)) == (401, "unauthenticated")

    assert (await shopper.send("GET", f"/v1/carts/{cart}")).json() == before
    assert before["shipping_address"]["line1"] == ADDRESS["line1"]
