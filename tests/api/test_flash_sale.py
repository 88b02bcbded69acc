"""Far more customers than units: who cannot get one hears so at once, from whichever process of the API.

The first process has its way to Valkey through a gate that can be closed; the second shares all with it.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import text

from domain.customers import Role
from domain.inventory import StockLevel
from runtime.resources import Resources
from tests.api.test_checkouts import is_problem
from tests.support.catalog import AProduct, a_product, ledger_of, stock_of
from tests.support.gate import Gate
from tests.support.orders import a_cart
from tests.support.own_shop import OwnShop, an_own_shop
from tests.support.processes import answers, free_port, process
from tests.support.shopper import Shopper
from tests.support.staff import headers_of
from tests.support.waiting import eventually


@dataclass
class Sale:
    shop: OwnShop
    second: httpx.AsyncClient
    valkey: Gate

    @property
    def sessions(self) -> Any:
        return self.shop.resources.sessions

    async def a_product(self, units: int, *, is_hot: bool = True) -> AProduct:
        product = await a_product(self.sessions, price="25.00", stock=units)
        if is_hot:
            await self.mark(product)
        return product

    async def mark(self, product: AProduct) -> None:
        marked = await self.shop.http.put(self._of(product), headers=self.shop.operator)
        assert marked.status_code == 204, marked.text
        await self.is_hot(product)

    async def is_hot(self, product: AProduct) -> None:
        """Both processes know."""
        for http in (self.shop.http, self.second):
            await eventually(lambda http=http: self._is_known(http, product))  # type: ignore[misc]

    async def unmark(self, product: AProduct) -> None:
        assert (await self.shop.http.delete(self._of(product), headers=self.shop.operator)).status_code == 204
        for http in (self.shop.http, self.second):
            await eventually(lambda http=http: self._is_cold(http, product))  # type: ignore[misc]

    def _of(self, product: AProduct) -> str:
        return f"/v1/admin/hot-variants/{product.variant_id}"

    async def _is_known(self, http: httpx.AsyncClient, product: AProduct) -> bool:
        shown = await self.shown(product, http)
        return shown is not None and shown["gate"] is not None

    async def _is_cold(self, http: httpx.AsyncClient, product: AProduct) -> bool:
        return await self.shown(product, http) is None

    async def shown(self, product: AProduct, http: httpx.AsyncClient | None = None) -> dict[str, Any] | None:
        """What the gate and the tables say, as staff sees it; nothing for what is not hot."""
        answer = await (http or self.shop.http).get("/v1/admin/hot-variants", headers=self.shop.operator)
        [*found] = [item for item in answer.json()["items"] if item["variant_id"] == str(product.variant_id)]
        return found[0] if found else None

    async def gate_says(self, product: AProduct, free: int) -> None:
        async def says() -> bool:
            shown = await self.shown(product)
            return shown is not None and shown["gate"] == free

        await eventually(says, within=10)

    async def carts(self, product: AProduct, count: int) -> list[UUID]:
        return [await a_cart(self.sessions, (product.variant_id, 1)) for _ in range(count)]

    async def all_check_out(self, carts: Sequence[UUID]) -> list[httpx.Response]:
        """At once, at both processes."""
        shoppers = Shopper(self.shop.http), Shopper(self.second)
        return await asyncio.gather(*(shoppers[n % 2].check_out(str(cart)) for n, cart in enumerate(carts)))

    async def check_out(self, product: AProduct, **more: Any) -> httpx.Response:
        [cart] = await self.carts(product, 1)
        return await Shopper(self.shop.http).check_out(str(cart), **more)

    async def written(self, carts: Sequence[UUID]) -> tuple[int, int]:
        """Checkouts and keys that stand in Postgres for these carts."""
        async with self.sessions() as session:
            rows = await session.execute(
                text(
                    "SELECT (SELECT count(*) FROM checkouts WHERE cart_id = ANY(:carts)), "
                    "(SELECT count(*) FROM idempotency_keys WHERE cart_id = ANY(:carts))"
                ),
                {"carts": list(carts)},
            )
            checkouts, keys = rows.one()
        return checkouts, keys

    async def started(self) -> int:
        """How many checkouts the engine has ever begun, of all that stand in the tables."""
        async with self.sessions() as session:
            taken_in = await session.scalar(text("SELECT count(*) FROM checkouts"))

        async def counted() -> int | None:
            found = await self.shop.resources.temporal.count_workflows("WorkflowType = 'Checkout'")
            return found.count if found.count >= (taken_in or 0) else None

        return await eventually(counted) if taken_in else 0


@pytest.fixture(scope="module")
async def sale(
    resources: Resources, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Sale]:
    directory, at = tmp_path_factory.mktemp("sale"), httpx.URL(environment["APP_CACHE__URL"])
    valkey = Gate(free_port(), at.host, at.port or 6379)
    await valkey.open()
    patient = {**environment, "APP_CACHE__TIMEOUT_SECONDS": "10"}  # the gate is open to all while Valkey is silent
    own = {**patient, "APP_CACHE__URL": f"redis://127.0.0.1:{valkey.port}/0", "APP_API__RUSH": "3"}
    async with an_own_shop(resources, own, directory) as shop:
        port = free_port()
        second = {**shop.environment, "APP_CACHE__URL": environment["APP_CACHE__URL"], "APP_API__PORT": str(port)}
        url = f"http://127.0.0.1:{port}"
        part = process("cli", "api", environment=second, ready=answers(f"{url}/health"), log=directory / "second.log")
        await asyncio.to_thread(part.__enter__)
        async with httpx.AsyncClient(base_url=url, timeout=60) as http:
            yield Sale(shop, http, valkey)
        await asyncio.to_thread(part.__exit__, None, None, None)
    await valkey.close()


def told(made: Sequence[httpx.Response]) -> Counter[tuple[int, str | None]]:
    return Counter((answer.status_code, answer.json().get("code")) for answer in made)


SOLD, TURNED_AWAY = (201, None), (409, "out_of_stock")


async def test_of_60_customers_for_10_units_10_get_one_and_50_are_turned_away_without_a_workflow(sale: Sale) -> None:
    product = await sale.a_product(10)
    carts = await sale.carts(product, 60)
    before = await sale.started()

    made = await sale.all_check_out(carts)

    assert told(made) == {SOLD: 10, TURNED_AWAY: 50}
    level = StockLevel(on_hand=10, reserved=10)
    assert await stock_of(sale.sessions, product.variant_id) == level
    assert await ledger_of(sale.sessions, product.variant_id) == level
    assert await sale.written(carts) == (10, 10)
    assert await sale.started() - before == 10


async def test_who_comes_when_the_units_are_gone_leaves_nothing_in_postgres(sale: Sale) -> None:
    product = await sale.a_product(1)
    assert (await sale.check_out(product)).status_code == 201
    late = await sale.carts(product, 5)
    moved = await ledger_entries(sale, product)

    assert told(await sale.all_check_out(late)) == {TURNED_AWAY: 5}

    assert await sale.written(late) == (0, 0)
    assert await ledger_entries(sale, product) == moved
    cart = (await sale.shop.http.get(f"/v1/carts/{late[0]}")).json()
    assert cart["status"] == "open"


async def ledger_entries(sale: Sale, product: AProduct) -> int:
    async with sale.sessions() as session:
        found = await session.scalar(
            text("SELECT count(*) FROM stock_movements WHERE variant_id = :id"), {"id": product.variant_id}
        )
    return int(found or 0)


async def test_the_gate_and_postgres_say_the_same_of_what_is_short(sale: Sale) -> None:
    product = await sale.a_product(2)
    cart = str(await a_cart(sale.sessions, (product.variant_id, 3)))
    shopper = Shopper(sale.shop.http)
    of_the_gate = await shopper.check_out(cart)
    assert await sale.written([UUID(cart)]) == (0, 0)
    await sale.unmark(product)

    of_postgres = await shopper.check_out(cart)

    assert await sale.written([UUID(cart)]) == (1, 1)
    same = {**is_problem(of_postgres, 409, "out_of_stock"), "trace_id": "any"}
    assert {**is_problem(of_the_gate, 409, "out_of_stock"), "trace_id": "any"} == same
    assert same["items"] == [
        {"variant_id": str(product.variant_id), "sku": product.sku, "requested": 3, "available": 2}
    ]


# --- the same request again ------------------------------------------------------------------------------------------


async def test_who_bought_the_last_unit_hears_so_again_and_is_not_turned_away(sale: Sale) -> None:
    product = await sale.a_product(1)
    [cart] = await sale.carts(product, 1)
    key = str(uuid4())
    first = await Shopper(sale.shop.http).check_out(str(cart), key=key)
    await sale.gate_says(product, 0)

    again = await Shopper(sale.second).check_out(str(cart), key=key)

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert again.headers["Idempotency-Replayed"] == "true"


async def test_twins_of_who_gets_the_last_unit_all_hear_of_the_one_order(sale: Sale) -> None:
    product = await sale.a_product(1)
    [cart] = await sale.carts(product, 1)
    keys = ["one"] * 5 + ["another"] * 5
    shoppers = Shopper(sale.shop.http), Shopper(sale.second)

    made = await asyncio.gather(
        *(shoppers[n % 2].check_out(str(cart), key=f"{key}-{cart}") for n, key in enumerate(keys))
    )

    assert told(made) == {SOLD: 10}
    assert len({answer.json()["id"] for answer in made}) == 1
    assert await sale.written([cart]) == (1, 2)


async def test_a_key_that_was_turned_away_gets_the_same_answer_though_units_have_come(sale: Sale) -> None:
    product = await sale.a_product(0)
    [cart] = await sale.carts(product, 1)
    first = await Shopper(sale.shop.http).check_out(str(cart), key="early")
    await receive(sale, product, 1)

    again = await Shopper(sale.second).check_out(str(cart), key="early")
    anew = await Shopper(sale.second).check_out(str(cart), key="late")

    assert is_problem(again, 409, "out_of_stock")["items"] == is_problem(first, 409, "out_of_stock")["items"]
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert anew.status_code == 201


async def receive(sale: Sale, product: AProduct, units: int) -> None:
    """Units come, and the gate has heard of them."""
    free = (await sale.shown(product) or {})["available"] + units
    adjusted = await sale.shop.http.post(
        f"/v1/variants/{product.variant_id}/stock-adjustments",
        json={"quantity_change": units, "reason": "delivery"},
        headers=sale.shop.operator,
    )
    assert adjusted.status_code == 201, adjusted.text
    await sale.gate_says(product, free)


# --- the gate is never right for ever, and never wrong for long ------------------------------------------------------


async def test_a_unit_that_comes_back_from_a_cancelled_order_can_be_bought_again(sale: Sale) -> None:
    product = await sale.a_product(1)
    order = (await sale.check_out(product)).json()
    assert told([await sale.check_out(product)]) == {TURNED_AWAY: 1}

    await sale.shop.desk_cancel(order)
    await sale.gate_says(product, 1)

    assert told([await sale.check_out(product)]) == {SOLD: 1}


async def test_a_unit_that_a_declined_card_gives_back_can_be_bought_again(sale: Sale) -> None:
    product = await sale.a_product(1)
    declined = await sale.check_out(product, card="pm_card_visa_chargeDeclined")
    assert declined.status_code == 402

    await sale.gate_says(product, 1)

    assert told([await sale.check_out(product)]) == {SOLD: 1}


async def test_a_unit_that_a_refused_checkout_did_not_take_can_be_bought_again(sale: Sale) -> None:
    product = await sale.a_product(1)
    changed = await sale.check_out(product, expected_total={"amount": "1.00", "currency": "USD"})
    is_problem(changed, 409, "price_changed")

    await sale.gate_says(product, 1)

    assert told([await sale.check_out(product)]) == {SOLD: 1}


async def test_when_valkey_loses_everything_in_the_middle_of_a_sale_nothing_is_oversold_or_kept_back(
    sale: Sale,
) -> None:
    product = await sale.a_product(6)
    carts = await sale.carts(product, 24)

    first = asyncio.create_task(sale.all_check_out(carts[:12]))
    await eventually(lambda: one_is_sold(sale, product))
    await lose_everything(sale)
    made = [*await first, *await sale.all_check_out(carts[12:])]

    assert told(made) == {SOLD: 6, TURNED_AWAY: 18}
    assert await stock_of(sale.sessions, product.variant_id) == StockLevel(on_hand=6, reserved=6)
    await sale.gate_says(product, 0)


async def one_is_sold(sale: Sale, product: AProduct) -> bool:
    return (await stock_of(sale.sessions, product.variant_id)).reserved > 0


async def lose_everything(sale: Sale) -> None:
    redis, prefix = sale.shop.resources.redis, sale.shop.environment["APP_CACHE__PREFIX"]
    keys = [key async for key in redis.scan_iter(match=f"{prefix}*", count=1000)]
    await redis.delete(*keys)


@pytest.mark.parametrize(("units", "planted"), [(3, 0), (0, 1000)])
async def test_a_gate_that_says_something_else_than_postgres_is_right_again_within_seconds(
    sale: Sale, units: int, planted: int
) -> None:
    product = await sale.a_product(units)
    key = f"{sale.shop.environment['APP_CACHE__PREFIX']}admissions:{product.variant_id}"
    await sale.shop.resources.redis.hset(key, "free", planted)
    while_wrong = await sale.check_out(product)

    await sale.gate_says(product, units - (while_wrong.status_code == 201))

    assert while_wrong.status_code == 409 or units
    expected = [SOLD, TURNED_AWAY][units == 0]
    assert told([await sale.check_out(product)]) == {expected: 1}


async def test_without_valkey_postgres_refuses_as_it_always_did(sale: Sale) -> None:
    product = await sale.a_product(2)
    await sale.valkey.close()
    carts = await sale.carts(product, 6)

    made = await asyncio.gather(*(Shopper(sale.shop.http).check_out(str(cart)) for cart in carts))

    assert told(made) == {SOLD: 2, TURNED_AWAY: 4}
    assert await sale.written(carts) == (6, 6)
    await sale.valkey.open()
    await sale.gate_says(product, 0)


# --- what is hot -----------------------------------------------------------------------------------------------------


async def test_what_many_ask_for_in_vain_is_found_hot(sale: Sale) -> None:
    product = await sale.a_product(0, is_hot=False)
    early = [await sale.check_out(product) for _ in range(3)]
    assert told(early) == {TURNED_AWAY: 3}

    await sale.is_hot(product)

    late = await sale.carts(product, 2)
    assert told(await sale.all_check_out(late)) == {TURNED_AWAY: 2}
    assert await sale.written(late) == (0, 0)
    assert (await sale.shown(product, sale.second) or {})["is_marked"] is False


async def test_staff_mark_what_will_be_hot_and_take_the_mark_away(sale: Sale) -> None:
    product = await sale.a_product(4, is_hot=False)
    assert await sale.shown(product) is None

    await sale.mark(product)
    assert await sale.shown(product) == {
        "variant_id": str(product.variant_id),
        "sku": product.sku,
        "is_marked": True,
        "available": 4,
        "promised": 0,
        "gate": 4,
    }

    await sale.unmark(product)
    log = await sale.shop.http.get("/v1/admin/audit", headers=sale.shop.operator)
    mine = [entry["action"] for entry in log.json()["items"] if entry["note"] == str(product.variant_id)]
    assert mine == ["variant.unmark_hot", "variant.mark_hot"]


async def test_only_staff_says_what_is_hot(sale: Sale) -> None:
    product = await sale.a_product(4, is_hot=False)
    path = f"/v1/admin/hot-variants/{product.variant_id}"
    customer = await headers_of(sale.shop.resources, Role.CUSTOMER)

    for method, address in (("PUT", path), ("DELETE", path), ("GET", "/v1/admin/hot-variants")):
        is_problem(await sale.shop.http.request(method, address), 401, "unauthenticated")
        is_problem(await sale.shop.http.request(method, address, headers=customer), 403, "forbidden")

    assert await sale.shown(product) is None
    unknown = await sale.shop.http.put(f"/v1/admin/hot-variants/{uuid4()}", headers=sale.shop.operator)
    is_problem(unknown, 404, "not_found")
