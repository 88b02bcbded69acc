"""Whatever runs is killed while money is on its way; after a restart all is as if nothing had happened.

Every row is the same accident: the provider has been asked and is still thinking, when the one worker process of the
shop is killed. The provider does its work, and nobody is there to hear of it.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from domain.customers import Role
from domain.inventory import StockLevel
from runtime.resources import Resources
from tests.api.test_operators import LABEL
from tests.support.catalog import AProduct, a_product, ledger_of, stock_of
from tests.support.engines import PrivateShop, kill, private_shop
from tests.support.ledger import moved
from tests.support.orders import timeline_of
from tests.support.shopper import Shopper
from tests.support.staff import headers_of
from tests.support.waiting import eventually

Order = dict[str, Any]
pytestmark = pytest.mark.timeout(300)  # the engine gives up on a killed worker's call to the provider after 30 s

THINKING_MS = 5000
"""Longer than four requests take to get to the provider on a busy machine, shorter than a worker waits for it."""


@dataclass
class Bought:
    """An order of one unit of a product of its own: 10.00, and 4.99 for shipping."""

    shop: PrivateShop
    resources: Resources
    sandbox: httpx.AsyncClient
    operator: dict[str, str]
    product: AProduct
    order: Order

    async def asks(self, path: str, body: Any = None, *, status: int = 200) -> Any:
        """An operator's request, and what it is answered in the end; repeated under its key until it is decided."""
        headers = {**self.operator, "Idempotency-Key": str(uuid4())}

        async def decided() -> httpx.Response | None:
            told = await self.shop.http.post(f"/v1{path}", json=body, headers=headers)
            return None if told.status_code == 503 else told

        told = await eventually(decided, within=90)
        assert told.status_code == status, told.text
        return told.json()

    async def is_packed(self) -> str:
        return str((await self.asks(f"/admin/orders/{self.order['id']}/fulfillments", {}, status=201))["id"])

    async def is_shipped(self) -> str:
        parcel = await self.is_packed()
        await self.asks(f"/admin/fulfillments/{parcel}/ship", LABEL)
        return parcel

    async def comes_back(self) -> str:
        await self.asks(f"/admin/fulfillments/{await self.is_shipped()}/deliver")
        wish = {"items": [{"order_item_id": self.order["items"][0]["id"], "quantity": 1, "reason": "too small"}]}
        made = await self.asks(f"/orders/{self.order['id']}/returns", wish, status=201)
        await self.asks(f"/admin/returns/{made['id']}/approve")
        return str(made["id"])

    async def now(self) -> Order:
        shown: Order = (await self.shop.http.get(f"/v1/orders/{self.order['id']}", headers=self.operator)).json()
        return shown

    async def timeline(self) -> list[str]:
        return await timeline_of(self.resources.sessions, UUID(self.order["id"]))

    async def moved(self) -> list[tuple[str, int]]:
        return await moved(self.sandbox, self.order)

    async def has_in_stock(self, *, on_hand: int, reserved: int) -> None:
        level = StockLevel(on_hand=on_hand, reserved=reserved)
        assert await stock_of(self.resources.sessions, self.product.variant_id) == level
        assert await ledger_of(self.resources.sessions, self.product.variant_id) == level


@pytest.fixture(scope="module")
async def shop(
    resources: Resources, sandbox: httpx.AsyncClient, environment: dict[str, str], tmp_path_factory: Any
) -> AsyncIterator[PrivateShop]:
    async with private_shop(resources, environment, tmp_path_factory.mktemp("killed")) as private:
        yield private


@dataclass
class Accident:
    """What the four orders became, and what those who asked were told."""

    cancelled: Bought
    shipped: Bought
    refunded: Bought
    returned: Bought
    answers: tuple[Any, ...]


@pytest.fixture(scope="module")
async def accident(shop: PrivateShop, resources: Resources, sandbox: httpx.AsyncClient) -> Accident:
    """A cancel, a shipment, a refund and a return, all at the provider in the moment in which the worker dies."""
    worker = await shop.start_worker("all")
    operator = await headers_of(resources, Role.OPERATOR)
    cancelled, shipped, refunded, returned = [await bought(shop, resources, sandbox, operator) for _ in range(4)]
    parcel, goods = await shipped.is_packed(), await returned.comes_back()
    await refunded.is_shipped()
    await lets_the_provider_think(sandbox, "cancel", "capture", "refund", "refund")

    asked = asyncio.gather(
        cancelled.asks(f"/orders/{cancelled.order['id']}/cancel", {"reason": "not wanted"}),
        shipped.asks(f"/admin/fulfillments/{parcel}/ship", LABEL),
        refunded.asks(f"/admin/orders/{refunded.order['id']}/refunds", {"reason": "broken"}, status=201),
        returned.asks(f"/admin/returns/{goods}/receive"),
    )
    await eventually(lambda: all_are_at_the_provider(sandbox))
    await kill(worker)
    await shop.start_worker("all")
    accident = Accident(cancelled, shipped, refunded, returned, await asked)
    await eventually(lambda: has_its_money_back(refunded), within=60)  # that may take longer than an operator waits
    return accident


async def has_its_money_back(bought: Bought) -> bool:
    return bool((await bought.now())["payment"]["status"] == "refunded")


async def bought(
    shop: PrivateShop, resources: Resources, sandbox: httpx.AsyncClient, operator: dict[str, str]
) -> Bought:
    product = await a_product(resources.sessions, price="10.00", stock=3)
    shopper = Shopper(shop.http)
    told = await shopper.check_out(await shopper.a_cart((product.variant_id, 1)))
    assert told.status_code == 201, told.text
    return Bought(shop, resources, sandbox, operator, product, told.json())


async def lets_the_provider_think(sandbox: httpx.AsyncClient, *operations: str) -> None:
    planned = [{"operation": operation, "fault": "latency", "ms": THINKING_MS} for operation in operations]
    answer = await sandbox.put("/faults", json={"payments": {"next": planned}})
    assert answer.status_code == 200, answer.text


async def all_are_at_the_provider(sandbox: httpx.AsyncClient) -> bool:
    return not (await sandbox.get("/faults")).json()["payments"]["next"]


@pytest.mark.matrix("cancel: a worker is killed while the money goes back")
async def test_an_order_is_cancelled_once_when_the_worker_is_killed_while_its_money_goes_back(
    accident: Accident,
) -> None:
    bought, told = accident.cancelled, accident.answers[0]

    assert (told["status"], told["payment"]["status"]) == ("cancelled", "voided")
    assert await bought.moved() == [("authorize", 1499), ("void", 1499)]
    await bought.has_in_stock(on_hand=3, reserved=0)
    assert await bought.timeline() == ["order.placed", "order.confirmed", "order.cancelled"]
    assert (await bought.now())["needs_attention"] is False


@pytest.mark.matrix("ship: a worker is killed while the money is captured")
async def test_a_parcel_leaves_once_when_the_worker_is_killed_while_its_money_is_captured(accident: Accident) -> None:
    bought, told = accident.shipped, accident.answers[1]

    assert told["status"] == "shipped"
    now = await bought.now()
    assert (now["status"], now["payment"]["status"], now["needs_attention"]) == ("shipped", "captured", False)
    assert await bought.moved() == [("authorize", 1499), ("capture", 1499)]
    await bought.has_in_stock(on_hand=2, reserved=0)
    assert await bought.timeline() == [
        "order.placed",
        "order.confirmed",
        "fulfillment.created",
        "fulfillment.shipped",
        "order.shipped",
    ]


@pytest.mark.matrix("refund: a worker is killed while it pays back")
async def test_money_is_refunded_once_when_the_worker_is_killed_while_it_pays_back(accident: Accident) -> None:
    bought, told = accident.refunded, accident.answers[2]

    now = await bought.now()
    assert (now["payment"]["status"], now["payment"]["refunded"]["amount"]) == ("refunded", "14.99")
    assert [(refund["id"], refund["status"]) for refund in now["refunds"]] == [(told["id"], "succeeded")]
    assert await bought.moved() == [("authorize", 1499), ("capture", 1499), ("refund", 1499)]
    await bought.has_in_stock(on_hand=2, reserved=0)
    assert (await bought.timeline())[-2:] == ["refund.requested", "refund.succeeded"]
    assert (await bought.timeline()).count("refund.requested") == 1


@pytest.mark.matrix("return: a worker is killed while the goods are taken in")
async def test_goods_come_back_once_when_the_worker_is_killed_while_they_are_taken_in(accident: Accident) -> None:
    bought, told = accident.returned, accident.answers[3]

    assert told["status"] == "refunded"
    now = await bought.now()
    assert (now["status"], now["return_status"], now["payment"]["refunded"]["amount"]) == (
        "delivered",
        "returned",
        "10.00",
    )
    assert await bought.moved() == [("authorize", 1499), ("capture", 1499), ("refund", 1000)]
    await bought.has_in_stock(on_hand=3, reserved=0)
    assert (await bought.timeline())[-5:] == [
        "return.approved",
        "refund.requested",
        "return.received",
        "refund.succeeded",
        "return.refunded",
    ]
    assert (await bought.timeline()).count("return.received") == 1


@pytest.mark.matrix("checkout: the API is killed while the card is asked")
async def test_a_checkout_whose_api_is_killed_is_confirmed_and_charged_once(
    accident: Accident, shop: PrivateShop, resources: Resources, sandbox: httpx.AsyncClient
) -> None:
    product = await a_product(resources.sessions, price="10.00", stock=3)
    shopper, key = Shopper(shop.http), str(uuid4())
    cart = await shopper.a_cart((product.variant_id, 1))
    await lets_the_provider_think(sandbox, "create")

    unheard = asyncio.create_task(shopper.check_out(cart, key=key))
    await eventually(lambda: all_are_at_the_provider(sandbox))
    await kill(shop.api)
    with pytest.raises(httpx.TransportError):
        await unheard
    await shop.start_api()
    told = await shopper.check_out(cart, key=key)

    assert (told.status_code, told.json()["status"]) == (201, "confirmed"), told.text
    bought = Bought(shop, resources, sandbox, accident.shipped.operator, product, told.json())
    assert await bought.moved() == [("authorize", 1499)]
    await bought.has_in_stock(on_hand=3, reserved=1)
    assert await bought.timeline() == ["order.placed", "order.confirmed"]
    again = await shopper.check_out(cart, key=key)
    assert (again.status_code, again.json(), again.headers["Idempotency-Replayed"]) == (201, told.json(), "true")
