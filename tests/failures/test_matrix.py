"""Single faults, each at its own step: rows of docs/failure-matrix.md."""

from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import text

from api import intake
from api.stories import Stories
from db import checkouts
from domain.inventory import StockLevel
from runtime.resources import Resources
from tests.api.test_idempotency import World, the_engine_forgets
from tests.api.test_operators import LABEL, Desk, an_order, is_problem
from tests.failures.conftest import RemoteShop
from tests.support.catalog import AProduct, a_product, ledger_of, stock_of
from tests.support.engines import Remote
from tests.support.ledger import moved
from tests.support.orders import a_wish
from tests.support.shopper import Shopper
from tests.support.waiting import eventually

Order = dict[str, Any]
AUTHORIZED = [("authorize", 1499)]
CAPTURED = [("authorize", 1499), ("capture", 1499)]
REFUNDED = [*CAPTURED, ("refund", 1499)]


@pytest.fixture
async def product(resources: Resources) -> AProduct:
    """One unit costs 10.00, and 4.99 for shipping: 14.99."""
    return await a_product(resources.sessions, price="10.00", stock=3)


async def plan(sandbox: httpx.AsyncClient, operation: str, fault: str, **more: Any) -> None:
    planned = {"operation": operation, "fault": fault, **more}
    answer = await sandbox.put("/faults", json={"payments": {"next": [planned]}})
    assert answer.status_code == 200, answer.text


async def is_used(sandbox: httpx.AsyncClient) -> bool:
    return not (await sandbox.get("/faults")).json()["payments"]["next"]


async def is_in_stock(resources: Resources, product: AProduct, *, on_hand: int, reserved: int) -> None:
    level = StockLevel(on_hand=on_hand, reserved=reserved)
    assert await stock_of(resources.sessions, product.variant_id) == level
    assert await ledger_of(resources.sessions, product.variant_id) == level


# --- checkout -------------------------------------------------------------------------------------------------------


@pytest.mark.matrix("checkout: repeated when the engine has forgotten it")
async def test_a_checkout_is_answered_again_when_the_engine_has_forgotten_it(
    api: httpx.AsyncClient,
    sandbox: httpx.AsyncClient,
    resources: Resources,
    operator: dict[str, str],
    product: AProduct,
) -> None:
    shopper, key = Shopper(api), str(uuid4())
    cart = await shopper.a_cart((product.variant_id, 1))
    first = await shopper.check_out(cart, key=key)
    world = World(api, sandbox, resources, Desk(api, operator), operator, first.json(), product.variant_id)
    await the_engine_forgets(world)
    async with resources.sessions.begin() as session:
        await session.execute(
            text("UPDATE idempotency_keys SET created_at = now() - interval '3 years' WHERE key = :key"), {"key": key}
        )

    again = await shopper.check_out(cart, key=key)

    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["Idempotency-Replayed"] == "true"
    assert await moved(sandbox, first.json()) == AUTHORIZED
    await is_in_stock(resources, product, on_hand=3, reserved=1)


@pytest.mark.matrix("checkout: the API dies before it begins the workflow")
async def test_a_checkout_whose_api_died_as_soon_as_it_was_taken_in_is_begun_once_by_another(
    api: httpx.AsyncClient,
    sandbox: httpx.AsyncClient,
    resources: Resources,
    product: AProduct,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shopper = Shopper(api)
    cart = await shopper.a_cart((product.variant_id, 1))
    async with resources.sessions.begin() as session:
        taken_in = await checkouts.take_in(session, a_wish(UUID(cart)))
    monkeypatch.setattr(intake, "OLD_ENOUGH_SECONDS", 0)
    stories = Stories(resources.temporal, resources.autocommit, wait_seconds=40)
    begun: set[UUID] = set()

    async def is_confirmed() -> Order | None:
        await intake.look_once(resources, stories, begun)
        shown = await shopper.send("GET", f"/v1/orders/{taken_in.order_id}", params={"cart": cart})
        return shown.json() if shown.is_success and shown.json()["status"] == "confirmed" else None

    order = await eventually(is_confirmed)
    is_problem(await shopper.check_out(cart), 409, "cart_completed")
    assert await moved(sandbox, order) == AUTHORIZED
    await is_in_stock(resources, product, on_hand=3, reserved=1)


# --- answers that get lost ----------------------------------------------------------------------------------------


@pytest.mark.matrix("cancel: the answer is lost after the provider's commit")
async def test_a_void_whose_answer_is_lost_is_done_once_and_the_order_is_cancelled(
    api: httpx.AsyncClient,
    sandbox: httpx.AsyncClient,
    resources: Resources,
    operator: dict[str, str],
    product: AProduct,
) -> None:
    order = await an_order(api, (product, 1))
    await plan(sandbox, "cancel", "drop_response")

    answer = await api.post(f"/v1/orders/{order['id']}/cancel", json={"reason": "x"}, headers=operator)

    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled"), answer.text
    assert answer.json()["payment"]["status"] == "voided"
    assert await is_used(sandbox)
    assert await moved(sandbox, order) == [*AUTHORIZED, ("void", 1499)]
    await is_in_stock(resources, product, on_hand=3, reserved=0)


async def an_approved_return(desk: Desk, http: httpx.AsyncClient, operator: dict[str, str], order: Order) -> str:
    parcel = await desk.packs(order)
    await desk.ships(parcel)
    assert (await desk.post(f"/fulfillments/{parcel}/deliver")).status_code == 200
    items = [{"order_item_id": order["items"][0]["id"], "quantity": 1, "reason": "too small"}]
    made = await http.post(f"/v1/orders/{order['id']}/returns", json={"items": items}, headers=operator)
    assert made.status_code == 201, made.text
    assert (await desk.post(f"/returns/{made.json()['id']}/approve")).status_code == 200
    return str(made.json()["id"])


@pytest.mark.matrix("return: the answer is lost after the provider's commit")
async def test_a_return_whose_refund_gets_no_answer_is_paid_back_once(
    api: httpx.AsyncClient,
    sandbox: httpx.AsyncClient,
    resources: Resources,
    operator: dict[str, str],
    desk: Desk,
    product: AProduct,
) -> None:
    order = await an_order(api, (product, 1))
    goods = await an_approved_return(desk, api, operator, order)
    await plan(sandbox, "refund", "drop_response")

    received = await desk.post(f"/returns/{goods}/receive")

    assert (received.status_code, received.json()["status"]) == (200, "refunded"), received.text
    assert await is_used(sandbox)
    assert await moved(sandbox, order) == [*CAPTURED, ("refund", 1000)]
    await is_in_stock(resources, product, on_hand=3, reserved=0)


# --- the engine is away -------------------------------------------------------------------------------------------


@pytest.mark.matrix("ship: the engine is away")
async def test_without_an_engine_nothing_is_shipped_and_nothing_captured(
    remote: Remote, sandbox: httpx.AsyncClient, resources: Resources, operator: dict[str, str], product: AProduct
) -> None:
    await remote.gate.open()
    order, desk, key = await an_order(remote.http, (product, 1)), Desk(remote.http, operator), str(uuid4())
    parcel = await desk.packs(order)
    await remote.gate.close()
    path, headers = f"/v1/admin/fulfillments/{parcel}/ship", {**operator, "Idempotency-Key": key}

    refused = await remote.http.post(path, json=LABEL, headers=headers)

    is_problem(refused, 503, "unavailable")
    assert refused.headers["Retry-After"] == "1"
    assert (await desk.order(order))["fulfillments"][0]["status"] == "pending"
    assert await moved(sandbox, order) == AUTHORIZED
    await remote.gate.open()

    async def answer() -> httpx.Response | None:
        told = await remote.http.post(path, json=LABEL, headers=headers)
        return told if told.status_code != 503 else None

    again = await eventually(answer)
    assert (again.status_code, again.json()["status"]) == (200, "shipped"), again.text
    assert await moved(sandbox, order) == CAPTURED


@pytest.mark.matrix("refund: the engine is away")
async def test_a_refund_that_was_asked_for_without_an_engine_is_paid_once_it_is_back(remote_shop: RemoteShop) -> None:
    shop, gate = remote_shop.own, remote_shop.gate
    order, key = await shop.buy(), str(uuid4())
    await shop.ship(order)
    await gate.close()
    path, headers = f"/v1/admin/orders/{order['id']}/refunds", {**shop.operator, "Idempotency-Key": key}

    first = await shop.http.post(path, json={"reason": "broken"}, headers=headers)

    assert first.status_code in (201, 503), first.text
    assert [refund["status"] for refund in (await shop.look(order))["refunds"]] == ["requested"]
    assert await moved(shop.sandbox, order) == [("authorize", 2499), ("capture", 2499)]
    await gate.open()  # nobody asks again

    async def is_refunded() -> bool:
        return bool((await shop.look(order))["payment"]["status"] == "refunded")

    await eventually(is_refunded, within=60)
    again = await shop.http.post(path, json={"reason": "broken"}, headers=headers)
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (201, "true"), again.text
    assert [refund["id"] for refund in (await shop.look(order))["refunds"]] == [again.json()["id"]]
    assert await moved(shop.sandbox, order) == [("authorize", 2499), ("capture", 2499), ("refund", 2499)]


@pytest.mark.matrix("return: the engine is away")
async def test_a_return_that_was_announced_without_an_engine_can_be_approved_once_it_is_back(
    remote_shop: RemoteShop,
) -> None:
    shop, gate = remote_shop.own, remote_shop.gate
    order = await shop.buy()
    await shop.deliver(order)
    await gate.close()
    wish = {"items": [{"order_item_id": order["items"][0]["id"], "quantity": 1, "reason": "too small"}]}

    refused = await shop.http.post(f"/v1/orders/{order['id']}/returns", json=wish, headers=shop.operator)

    is_problem(refused, 503, "unavailable")
    [made] = (await shop.look(order))["returns"]
    assert made["status"] == "requested"
    await gate.open()  # nobody asks again

    async def is_approved() -> bool:
        told = await shop.http.post(f"/v1/admin/returns/{made['id']}/approve", headers=shop.operator)
        return told.status_code == 200

    await eventually(is_approved, within=60)
    assert (await shop.look(order))["returns"][0]["status"] == "approved"
