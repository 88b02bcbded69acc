"""Somebody whose name is everywhere wants to be forgotten: afterwards it is nowhere, and the books still add up."""

import logging
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prometheus_client import generate_latest
from sqlalchemy import text

from tests.support.catalog import a_product
from tests.support.histories import all_that_is_told
from tests.support.own_shop import OwnShop
from tests.support.people import Person
from tests.support.shopper import ADDRESS, Shopper
from tests.support.superuser import behind_its_back
from tests.support.waiting import eventually

PLANTED = "zanzibar"
"""In every word that the person, or an operator about them, writes."""

CARD = "4242424242424242"

WHERE_PEOPLE_ARE = (
    *("users", "addresses", "carts", "orders", "idempotency_keys", "refunds", "cancellations", "return_items"),
    "audit_log",
)
"""Tables, and nothing else: no other table, log, metric, history or search attribute; in Valkey the profile at most."""

PEOPLES_ADDRESS = {
    **ADDRESS,
    "name": f"{PLANTED} Person",
    "line1": f"1 {PLANTED} Lane",
    "line2": f"{PLANTED} floor",
    "city": f"{PLANTED}ville",
    "postal_code": f"Z-{PLANTED}",
    "phone": f"+1 {PLANTED}",
}


async def somebody(shop: OwnShop) -> Person:
    person = Person(shop.http, username=f"{PLANTED}.{uuid4().hex[:8]}", password=f"{PLANTED} password")
    assert (await person.register()).status_code == 202
    assert (await person.verify(shop.sandbox)).status_code == 200
    return await person.sign_in()


class Customer(Shopper):
    """Writes the planted word wherever something can be written."""

    async def orders(self, product: Any, units: int = 2, **more: Any) -> dict[str, Any]:
        cart = await self.fills_a_cart(product, units)
        told = await self.check_out(cart, key=f"{PLANTED}-{uuid4()}", **more)
        assert told.status_code in (201, 202), told.text
        return {**told.json(), "cart": cart}

    async def fills_a_cart(self, product: Any, units: int = 2) -> str:
        cart = await self.a_cart((product.variant_id, units))
        answer = await self.send("PUT", f"/v1/carts/{cart}/shipping-address", json=PEOPLES_ADDRESS)
        assert answer.status_code == 200, answer.text
        return cart

    async def pays_with(self, number: str) -> tuple[int, str]:
        """As a shop's page would that sends the card itself instead of what the provider calls it."""
        cart = await self.a_cart()
        told = await self.check_out(cart, card=number)
        return told.status_code, told.json()["code"]


async def everything_happens(shop: OwnShop, customer: Customer, guest: Customer) -> list[dict[str, Any]]:
    """Orders are returned, cancelled, paid by transfer, refunded by hand, bought as a guest; a cart is left lying.

    The first payment fails once, for workers write nothing while all goes well.
    """
    product = await a_product(shop.resources.sessions, price="10.00", stock=50)
    assert (await customer.send("POST", "/v1/users/me/addresses", json=PEOPLES_ADDRESS)).status_code == 201
    a_failure = {"payments": {"next": [{"operation": "create", "fault": "error"}]}}
    assert (await shop.sandbox.put("/faults", json=a_failure)).status_code == 200  # it is logged, and tried again
    returned = await customer.orders(product)
    await shop.deliver(returned)
    [line] = [item["id"] for item in returned["items"]]
    wish = {"items": [{"order_item_id": line, "quantity": 1, "reason": f"not for {PLANTED}"}]}
    goods = (await customer.send("POST", f"/v1/orders/{returned['id']}/returns", json=wish)).json()
    await shop.desk(f"/returns/{goods['id']}/approve")
    await shop.desk(f"/returns/{goods['id']}/receive", {})
    await shop.desk(
        f"/orders/{returned['id']}/refunds",
        {"amount": {"amount": "1.00", "currency": "USD"}, "reason": f"{PLANTED} was cross"},
    )

    cancelled = await customer.orders(product)
    answer = await customer.send("POST", f"/v1/orders/{cancelled['id']}/cancel", json={"reason": f"{PLANTED} moved"})
    assert answer.status_code == 200, answer.text

    transferred = await customer.orders(product, card={"provider": "manual"})
    await shop.desk(f"/orders/{transferred['id']}/payment-received", {"reference": f"{PLANTED} transfer"})
    [line] = [item["id"] for item in (await shop.look(transferred))["items"]]
    fewer = {"reason": f"{PLANTED} wants one", "items": [{"order_item_id": line, "quantity": 1}]}
    answer = await customer.send("POST", f"/v1/orders/{transferred['id']}/cancel", json=fewer)
    assert answer.status_code == 200, answer.text
    [refund] = (await shop.look(transferred))["refunds"]
    await shop.desk(f"/refunds/{refund['id']}/paid", {"reference": f"back to {PLANTED}"})
    await shop.deliver(transferred)

    as_guest = await guest.orders(product, 1)
    await shop.deliver(as_guest)
    await customer.fills_a_cart(product)
    return [returned, cancelled, transferred, as_guest]


async def sums_of(shop: OwnShop) -> list[tuple[Any, ...]]:
    query = (
        "SELECT orders.id, orders.number, orders.status, total, payments.status, captured, refunded, orders.created_at "
        "FROM orders JOIN payments ON payments.order_id = orders.id ORDER BY number"
    )
    return [tuple(row) for row in await shop.sql(query)]


class WorkersLog:
    """All that the workers of this test's process write, at all levels, theirs and that of the libraries."""

    def __init__(self, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
        caplog.set_level(logging.DEBUG)
        for of_the_test in ("httpx", "httpcore"):
            caplog.set_level(logging.WARNING, of_the_test)
        self._libraries = caplog
        self._ours = capsys
        self._written = ""

    def read(self) -> str:
        self._written += "".join(self._ours.readouterr())
        return self._written + self._libraries.text


@pytest.fixture
def workers_log(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> WorkersLog:
    return WorkersLog(caplog, capsys)


async def where_it_still_is(shop: OwnShop, word: str, workers_log: WorkersLog) -> list[str]:
    """Tables, keys of Valkey, workflows, metrics and logs in which the word can be read."""
    told_by = {
        "log": shop.log.read_text(),
        "workers' log": workers_log.read(),
        "metrics": (await shop.http.get("/metrics")).text,
        "workers' metrics": generate_latest().decode(),
    }
    found = [name for name, told in told_by.items() if word in told.lower()]
    schema = shop.resources.settings.database.shop_schema
    async with behind_its_back(shop.resources.settings) as session:
        tables = await session.scalars(
            text(
                "SELECT table_name FROM information_schema.tables WHERE table_schema = :schema AND table_type LIKE 'B%'"
            ),
            {"schema": schema},
        )
        for table in tables.all():
            query = f'SELECT count(*) FROM "{table}" AS whole WHERE whole::text ILIKE :word'  # noqa: S608
            if await session.scalar(text(query), {"word": f"%{word}%"}):
                found.append(f"table {table}")
    found += [f"key {key}" for key in await keys_with(shop, word)]
    async for workflow, told in all_that_is_told(shop.resources.temporal):
        if word in told.lower():
            found.append(f"workflow {workflow}")
    return found


async def nowhere(shop: OwnShop, word: str, workers_log: WorkersLog) -> bool:
    """Processes hear only after the commit that they have to forget an account."""
    return await where_it_still_is(shop, word, workers_log) == []


async def keys_with(shop: OwnShop, word: str) -> list[str]:
    redis: Any = shop.resources.redis
    found = []
    async for key in redis.scan_iter():
        kind = str(await redis.type(key))
        if "string" in kind:
            held = await redis.get(key)
        elif "hash" in kind:
            held = await redis.hgetall(key)
        elif "list" in kind:
            held = await redis.lrange(key, 0, -1)
        elif "stream" in kind:
            held = await redis.xrange(key)
        else:
            held = await (redis.smembers(key) if "set" in kind and "zset" not in kind else redis.zrange(key, 0, -1))
        if word in f"{key} {held}".lower():
            found.append(str(key))
    return found


@pytest.mark.timeout(240)
async def test_people_are_in_a_few_tables_only_and_whoever_is_forgotten_is_nowhere_any_more(
    shop: OwnShop, workers_log: WorkersLog
) -> None:
    person = await somebody(shop)
    customer = Customer(shop.http, email=person.email, headers=person.headers)
    guest = Customer(shop.http, email=person.email.upper())
    orders = await everything_happens(shop, customer, guest)
    assert await customer.pays_with(CARD) == (422, "validation_failed")
    assert set(await where_it_still_is(shop, PLANTED, workers_log)) == {f"table {table}" for table in WHERE_PEOPLE_ARE}
    assert await where_it_still_is(shop, CARD, workers_log) == []
    assert orders[0]["id"] in workers_log.read()  # the search itself works
    told = (await person.http.get("/v1/users/me/export", headers=person.headers)).json()["tables"]
    before = await sums_of(shop)
    assert (await person.me()).json()["username"] == person.username
    assert await keys_with(shop, PLANTED) != []  # the profile, which is read from Valkey for a while

    wrong = await ask_to_be_forgotten(person, "not the password")
    asked = await ask_to_be_forgotten(person, person.password)

    assert (wrong.status_code, wrong.json()["code"]) == (401, "invalid_credentials")
    assert (asked.status_code, asked.json()["open_orders"]) == (202, [])
    assert (await person.me()).status_code == 401
    assert (await person.refresh()).status_code == 401
    assert (await person.log_in()).json()["code"] == "invalid_credentials"
    erased = await eventually(lambda: is_erased(shop, asked.json()["id"]))
    assert erased["status"] == "erased"
    await eventually(lambda: nowhere(shop, PLANTED, workers_log))
    assert await sums_of(shop) == before
    assert (await shop.audit()).breaches == []
    for order in orders:
        shown = await shop.look(order)
        assert shown["shipping_address"]["country"] == "US"
        assert {shown["email"], shown["shipping_address"]["name"]} == {"erased@erased.invalid", "erased"}
    assert [row["id"] for row in told["users"]] == [row["user_id"] for row in told["login_sessions"]][:1]
    assert {row["id"] for row in told["orders"]} == {order["id"] for order in orders}
    assert {row["shipping_address"]["city"] for row in told["orders"]} == {f"{PLANTED}ville"}
    assert "hash" not in str({name for rows in told.values() for row in rows for name in row})


async def ask_to_be_forgotten(person: Person, password: str) -> httpx.Response:
    return await person.http.request("DELETE", "/v1/users/me", json={"password": password}, headers=person.headers)


async def is_erased(shop: OwnShop, erasure: str) -> Any:
    shown = await shop.http.get(f"/v1/admin/erasures/{erasure}", headers=shop.operator)
    return shown.json() if shown.json()["status"] == "erased" else None


async def test_an_operator_forgets_a_guest_once_the_parcel_has_arrived(shop: OwnShop) -> None:
    product = await a_product(shop.resources.sessions, price="10.00", stock=5)
    word = f"guest{uuid4().hex[:8]}"
    guest = Customer(shop.http, email=f"{word}@example.com")
    order = await guest.orders(product, 1)

    asked = await shop.desk("/erasures", {"order_id": order["id"]})
    again = await shop.desk("/erasures", {"order_id": order["id"]})

    assert (asked["status"], asked["open_orders"]) == ("waiting", [order["number"]])
    assert again == asked
    assert (await shop.look(order))["email"] == f"{word}@example.com"
    told = [told async for workflow, told in all_that_is_told(shop.resources.temporal) if asked["id"] in workflow]
    assert [word in what for what in told] == [False]


async def test_nobody_is_forgotten_by_somebody_who_only_has_the_token(shop: OwnShop) -> None:
    person = await somebody(shop)
    await shop.sql("UPDATE login_sessions SET created_at = now() - interval '6 min'")

    answer = await person.http.delete("/v1/users/me", headers=person.headers)

    assert (answer.status_code, answer.json()["code"]) == (403, "password_required")
    assert (await person.me()).status_code == 200
    await person.sign_in()
    assert (await person.http.delete("/v1/users/me", headers=person.headers)).status_code == 202
