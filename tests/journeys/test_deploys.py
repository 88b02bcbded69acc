"""A deploy while orders are on their way: begun by the stories of an old build, brought to their end by the new one."""

import asyncio
import signal
import sysconfig
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE, STDOUT, Popen
from typing import Any
from uuid import UUID

import httpx
import pytest

from deploy.ports import free_ports
from runtime.resources import Resources
from tests.support.catalog import AProduct, a_product
from tests.support.engines import PrivateShop, private_shop
from tests.support.ledger import kept, moved
from tests.support.processes import answers, process
from tests.support.shopper import Shopper
from tests.support.waiting import eventually
from workflows.names import order_id, return_id

TEMPORAL = Path(sysconfig.get_path("scripts")) / "temporal"
DEPLOYMENT = "sutler"
LABEL = {"carrier": "UPS", "tracking_number": "1Z999"}
BANK_WANTS_TO_SEE_THE_PAYER = "pm_card_threeDSecure2Required"

pytestmark = pytest.mark.timeout(420)


@pytest.fixture
def with_a_provider(environment: dict[str, str], tmp_path: Path) -> Iterator[dict[str, str]]:
    """A provider of the shop's own, which tells this shop, and not the session's, what customers did at the bank."""
    api, provider, smtp = free_ports(3)
    url = f"http://127.0.0.1:{provider}"
    own = {
        **environment,
        "APP_API__PORT": str(api),
        "APP_SANDBOX__PORT": str(provider),
        "APP_SANDBOX__SMTP_PORT": str(smtp),
        "APP_SANDBOX__DATABASE": str(tmp_path / "sandbox.sqlite3"),
        "APP_SANDBOX__WEBHOOK_URL": f"http://127.0.0.1:{api}/v1/webhooks/stripe",
        "APP_SANDBOX__CARRIER_WEBHOOK_URL": f"http://127.0.0.1:{api}/v1/webhooks/easypost",
        "APP_PAYMENTS__STRIPE_API_BASE": url,
        "APP_CARRIERS__EASYPOST_API_BASE": f"{url}/v2",
        "APP_MAIL__PORT": str(smtp),
    }
    with process("sandbox", environment=own, ready=answers(f"{url}/health"), log=tmp_path / "sandbox.log"):
        yield own


@pytest.fixture
async def sandbox(with_a_provider: dict[str, str]) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=with_a_provider["APP_PAYMENTS__STRIPE_API_BASE"]) as client:
        yield client


@pytest.fixture
async def shop(resources: Resources, with_a_provider: dict[str, str], tmp_path: Path) -> AsyncIterator[PrivateShop]:
    port = int(with_a_provider["APP_API__PORT"])
    async with private_shop(resources, with_a_provider, tmp_path, port=port) as private:
        yield private


@dataclass
class Customers:
    """Guests with an order at every station, and the operator who serves them."""

    shop: PrivateShop
    sandbox: httpx.AsyncClient
    operator: dict[str, str]
    product: AProduct

    async def buys(self, **how: Any) -> dict[str, Any]:
        shopper = Shopper(self.shop.http)
        cart = await shopper.a_cart((self.product.variant_id, 1))
        told = await shopper.check_out(cart, **how)
        assert told.status_code in (201, 202), told.text
        return {**told.json(), "cart": cart}

    async def desk(self, path: str, body: Any = None) -> dict[str, Any]:
        told = await self.shop.http.post(f"/v1/admin{path}", json=body, headers=self.operator)
        assert told.status_code in (200, 201), told.text
        answer: dict[str, Any] = told.json()
        return answer

    async def order(self, order: dict[str, Any]) -> dict[str, Any]:
        told = await self.shop.http.get(f"/v1/orders/{order['id']}", headers=self.operator)
        shown: dict[str, Any] = told.json()
        return shown

    async def packs(self, order: dict[str, Any]) -> str:
        return str((await self.desk(f"/orders/{order['id']}/fulfillments", {}))["id"])

    async def ships(self, parcel: str) -> None:
        await self.desk(f"/fulfillments/{parcel}/ship", LABEL)

    async def delivers(self, parcel: str) -> None:
        await self.desk(f"/fulfillments/{parcel}/deliver")

    async def sends_back(self, order: dict[str, Any]) -> str:
        wish = {"items": [{"order_item_id": order["items"][0]["id"], "quantity": 1, "reason": "too small"}]}
        told = await self.shop.http.post(f"/v1/orders/{order['id']}/returns", json=wish, params={"cart": order["cart"]})
        assert told.status_code == 201, told.text
        return str(told.json()["id"])

    async def has_become(self, order: dict[str, Any], status: str) -> None:
        async def it_has() -> bool:
            return bool((await self.order(order))["status"] == status)

        await eventually(it_has)


@pytest.fixture
async def customers(
    shop: PrivateShop, sandbox: httpx.AsyncClient, operator: dict[str, str], resources: Resources
) -> Customers:
    product = await a_product(resources.sessions, price="10.00", stock=20)
    return Customers(shop, sandbox, operator, product)


@dataclass
class Open:
    """One order at each station, as the old build left them."""

    resting: dict[str, Any]
    at_the_bank: dict[str, Any]
    packed: tuple[dict[str, Any], str]
    shipped: tuple[dict[str, Any], str]
    coming_back: tuple[dict[str, Any], str]

    @classmethod
    async def made_by(cls, customers: Customers) -> "Open":
        resting, packed, shipped, coming_back = [await customers.buys() for _ in range(4)]
        at_the_bank = await customers.buys(card=BANK_WANTS_TO_SEE_THE_PAYER)
        parcels = [await customers.packs(order) for order in (packed, shipped, coming_back)]
        for parcel in parcels[1:]:
            await customers.ships(parcel)
        await customers.delivers(parcels[2])
        goods = await customers.sends_back(coming_back)
        return cls(resting, at_the_bank, (packed, parcels[0]), (shipped, parcels[1]), (coming_back, goods))

    async def pay_at_the_bank(self, customers: Customers) -> None:
        address = self.at_the_bank["payment"]["next_action"]["redirect_url"]
        await customers.sandbox.post(f"{address}/complete")
        await customers.has_become(self.at_the_bank, "confirmed")

    async def bring_to_their_end(self, customers: Customers) -> None:
        for order in (self.resting, self.at_the_bank):
            parcel = await customers.packs(order)
            await customers.ships(parcel)
            await customers.delivers(parcel)
        await customers.ships(self.packed[1])
        for _, parcel in (self.packed, self.shipped):
            await customers.delivers(parcel)
        for move in ("approve", "receive"):
            await customers.desk(f"/returns/{self.coming_back[1]}/{move}")

    async def are_well(self, customers: Customers) -> None:
        for order in (self.resting, self.at_the_bank, self.packed[0], self.shipped[0]):
            await customers.has_become(order, "delivered")
            assert await moved(customers.sandbox, order) == [("authorize", 1499), ("capture", 1499)]
        came_back = await customers.order(self.coming_back[0])
        assert [goods["status"] for goods in came_back["returns"]] == ["refunded"]
        assert kept(await moved(customers.sandbox, self.coming_back[0])) == 499


async def test_orders_of_an_old_build_are_brought_to_their_end_by_workers_of_the_new_one(
    shop: PrivateShop, customers: Customers
) -> None:
    old = await shop.start("tests.replay.yesterday")
    orders = await Open.made_by(customers)
    await stopped(old)

    await shop.start("cli", "worker", "all")

    await orders.pay_at_the_bank(customers)
    await orders.bring_to_their_end(customers)
    await orders.are_well(customers)


async def test_while_both_builds_work_short_stories_stay_and_long_ones_move_to_the_current_build(
    shop: PrivateShop, customers: Customers
) -> None:
    old = await shop.start("tests.replay.yesterday", **version("old"))
    await becomes_current(shop, "old")
    orders = await Open.made_by(customers)

    await shop.start("cli", "worker", "all", **version("new"))
    await becomes_current(shop, "new")
    fresh = await customers.buys()

    await orders.pay_at_the_bank(customers)
    at_the_bank = orders.at_the_bank
    assert await builds(shop, order_id(UUID(at_the_bank["id"]))) == ["old"]
    assert await builds(shop, order_id(UUID(fresh["id"]))) == ["new"]
    for order in (orders.resting, at_the_bank):  # a pinned Checkout hands over to the current build
        parcel = await customers.packs(order)
        assert await builds(shop, order_id(UUID(order["id"]))) == ["new"]
        await customers.desk(f"/fulfillments/{parcel}/cancel")
    await stopped(old)
    await orders.bring_to_their_end(customers)

    await orders.are_well(customers)
    for order, begun_by in ((orders.packed[0], ["old", "new"]), (orders.resting, ["new"])):
        assert await builds(shop, order_id(UUID(order["id"]))) == begun_by
    assert await builds(shop, return_id(UUID(orders.coming_back[1]))) == ["old", "new"]


def version(build: str) -> dict[str, str]:
    return {"APP_WORKERS__DEPLOYMENT": DEPLOYMENT, "APP_WORKERS__BUILD_ID": build}


async def becomes_current(shop: PrivateShop, build: str) -> None:
    """As an operator does it; the engine refuses until it has seen workers of the build on every queue."""

    async def is_set() -> bool:
        return await temporal(shop, "set-current-version", "--build-id", build, "--yes") == 0

    await eventually(is_set, within=60)


async def temporal(shop: PrivateShop, command: str, *options: str) -> int:
    asking = await asyncio.create_subprocess_exec(
        TEMPORAL,
        *("worker", "deployment", command, "--deployment-name", DEPLOYMENT, *options),
        *("--address", shop.client.service_client.config.target_host, "--namespace", shop.client.namespace),
        stdout=PIPE,
        stderr=STDOUT,
    )
    await asking.communicate()
    return asking.returncode or 0


async def builds(shop: PrivateShop, workflow_id: str) -> list[str]:
    """Which builds have told the story's latest run, one after the other."""
    told: list[str] = []
    async for event in shop.client.get_workflow_handle(workflow_id).fetch_history_events():
        if event.HasField("workflow_task_completed_event_attributes"):
            build = event.workflow_task_completed_event_attributes.deployment_version.build_id
            told += [build] if told[-1:] != [build] else []
    return told


async def stopped(worker: "Popen[bytes]") -> None:
    worker.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(worker.wait, 30) == 0
