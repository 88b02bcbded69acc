"""The workflow engine is away: checkouts are taken in, and each becomes one order or one clean refusal."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import text

from domain.inventory import StockLevel
from runtime.resources import Resources
from tests.api.test_late_money import about
from tests.api.test_webhooks import deliver
from tests.support.catalog import a_product, ledger_of, stock_of
from tests.support.engines import Remote, an_api_far_from_the_engine
from tests.support.files import Importer, a_mark, csv_of
from tests.support.ledger import moved
from tests.support.shopper import Shopper
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
async def distant_api(
    resources: Resources, workers: None, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Remote]:
    log = tmp_path_factory.mktemp("distant") / "api.log"
    async with an_api_far_from_the_engine(resources, environment, log) as far:
        yield far


@pytest.fixture
async def remote(distant_api: Remote) -> AsyncIterator[Remote]:
    """Its way to the engine is closed until the test opens it; the first test's API has never reached it."""
    yield distant_api
    await distant_api.gate.close()


@pytest.mark.matrix("checkout: the engine is away when it is asked for")
async def test_a_checkout_without_an_engine_is_taken_in_held_and_becomes_one_order_when_it_is_back(
    remote: Remote, resources: Resources, sandbox: httpx.AsyncClient
) -> None:
    product, shopper, key = await a_product(resources.sessions, price="10.00", stock=5), Shopper(remote.http), "once"
    key = str(uuid4())
    cart = await shopper.a_cart((product.variant_id, 2))

    taken_in = await shopper.check_out(cart, key=key)

    assert taken_in.status_code == 202, taken_in.text
    order = taken_in.json()
    assert (order["status"], order["payment"]["status"]) == ("pending", "pending")
    shown = await remote.http.get(taken_in.headers["Location"])
    assert (shown.status_code, shown.json()["id"]) == (200, order["id"])
    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=5, reserved=2)
    again = await shopper.check_out(cart, key=key)
    assert (again.status_code, again.json()["id"]) == (202, order["id"])

    await remote.gate.open()

    async def is_confirmed() -> bool:
        return bool((await shopper.order(order["id"], cart))["status"] == "confirmed")

    await eventually(is_confirmed)
    order = await shopper.order(order["id"], cart)
    assert await moved(sandbox, order) == [("authorize", 2499)]
    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=5, reserved=2)
    last = await shopper.check_out(cart, key=key)
    assert (last.status_code, last.json()["id"]) == (201, order["id"])


@pytest.mark.matrix("import: the engine is away when a file comes")
async def test_a_file_that_comes_without_an_engine_is_imported_when_it_is_back(
    remote: Remote, operator: dict[str, str]
) -> None:
    desk, mark = Importer(remote.http, operator), a_mark()

    made = await desk.sent(csv_of(mark, 3))
    await remote.gate.open()

    done = await desk.ended(made)
    assert (done["status"], done["products"]["created"]) == ("completed", 3)


async def test_without_an_engine_a_cart_that_cannot_be_ordered_is_refused_at_once(
    remote: Remote, resources: Resources
) -> None:
    product, shopper = await a_product(resources.sessions, stock=1), Shopper(remote.http)

    refused = await shopper.check_out(await shopper.a_cart((product.variant_id, 2)))

    assert (refused.status_code, refused.json()["code"]) == (409, "out_of_stock")
    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=1, reserved=0)


@pytest.mark.matrix("checkout: the engine is away when it is asked for")
async def test_what_is_not_begun_before_its_hold_ends_is_given_back(remote: Remote, resources: Resources) -> None:
    product, shopper = await a_product(resources.sessions, stock=3), Shopper(remote.http)
    cart = await shopper.a_cart((product.variant_id, 2))
    order = (await shopper.check_out(cart)).json()
    async with resources.sessions.begin() as session:
        await session.execute(
            text("UPDATE checkouts SET created_at = now() - interval '36 minutes' WHERE order_id = :id"),
            {"id": order["id"]},
        )

    async def is_given_back() -> bool:
        return bool((await shopper.order(order["id"], cart))["status"] == "cancelled")

    await eventually(is_given_back)
    assert (await shopper.order(order["id"], cart))["cancel_reason"] == "not_started"
    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=3, reserved=0)
    assert await ledger_of(resources.sessions, product.variant_id) == StockLevel(on_hand=3, reserved=0)
    await remote.gate.open()
    assert (await shopper.check_out(cart)).status_code == 201


@pytest.mark.matrix("checkout: the engine is away when it is asked for")
async def test_under_load_every_request_becomes_one_order_or_one_refusal(
    remote: Remote, resources: Resources, sandbox: httpx.AsyncClient
) -> None:
    product = await a_product(resources.sessions, price="10.00", stock=8)
    shoppers = [Shopper(remote.http) for _ in range(12)]
    carts = [await shopper.a_cart((product.variant_id, 1)) for shopper in shoppers]
    await remote.gate.open()
    first = await asyncio.gather(*(shoppers[i].check_out(carts[i]) for i in range(2)))
    await remote.gate.close()
    rest = await asyncio.gather(*(shoppers[i].check_out(carts[i]) for i in range(2, 12)))
    await remote.gate.open()

    assert [answer.status_code for answer in first] == [201, 201]
    assert Counter(answer.status_code for answer in rest) == {202: 6, 409: 4}
    accepted = [answer.json()["id"] for answer in (*first, *rest) if answer.status_code != 409]

    async def all_confirmed() -> bool:
        async with resources.sessions() as session:
            found = await session.scalars(
                text("SELECT status FROM orders WHERE id = ANY(:ids)"), {"ids": [UUID(order) for order in accepted]}
            )
            return list(found) == ["confirmed"] * 8

    await eventually(all_confirmed)
    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=8, reserved=8)
    for shopper, cart, answer in zip(shoppers, carts, (*first, *rest), strict=True):
        if answer.status_code != 409:
            assert await moved(sandbox, await shopper.order(answer.json()["id"], cart)) == [("authorize", 1499)]


@pytest.mark.matrix("cancel: the engine is away")
async def test_without_an_engine_other_wishes_are_refused_clearly_and_change_nothing(
    remote: Remote, resources: Resources, operator: dict[str, str]
) -> None:
    product, shopper = await a_product(resources.sessions, stock=3), Shopper(remote.http)
    await remote.gate.open()
    cart = await shopper.a_cart((product.variant_id, 1))
    order = (await shopper.check_out(cart)).json()
    await remote.gate.close()
    before = await shopper.order(order["id"], cart)

    path = f"/v1/orders/{order['id']}/cancel"
    answer = await shopper.send("POST", path, json={"reason": "x"}, params={"cart": cart})

    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert answer.headers["Retry-After"] == "1"
    assert await shopper.order(order["id"], cart) == before
    told = (await remote.http.get(f"/v1/admin/orders/{order['id']}/explain", headers=operator)).json()
    assert (told["engine"], told["waits_for"]) == ("unavailable", "an operator, who has to pack 1 of 1 units")


async def test_what_a_provider_says_while_the_engine_is_away_is_told_when_it_is_back(
    remote: Remote, resources: Resources, sandbox: httpx.AsyncClient
) -> None:
    product, shopper = await a_product(resources.sessions, price="10.00", stock=3), Shopper(remote.http)
    await remote.gate.open()
    cart = await shopper.a_cart((product.variant_id, 1))
    order = (await shopper.check_out(cart, card="pm_card_threeDSecure2Required")).json()
    await remote.gate.close()
    async with resources.sessions() as session:
        payment = await session.scalar(text("SELECT id FROM payments WHERE order_id = :id"), {"id": order["id"]})
    event = about(order["payment"]["provider_reference"], payment, "payment_intent.amount_capturable_updated")

    answer = await deliver(remote.http, event)

    assert answer.status_code == 200
    await remote.gate.open()
    await eventually(lambda: heard(resources, event))
    assert (await shopper.order(order["id"], cart))["status"] == "pending"  # a hint is no payment


async def heard(resources: Resources, event: dict[str, Any]) -> bool:
    async with resources.sessions() as session:
        query = text("SELECT handled_at IS NOT NULL FROM webhook_events WHERE event_id = :id")
        return bool(await session.scalar(query, {"id": event["id"]}))
