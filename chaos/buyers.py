"""Customers who all buy the same simple thing, as many at a time as wanted: for runs that count instead of gamble."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import aiohttp
from sqlalchemy.exc import SQLAlchemyError
from temporalio.client import Client as Engine
from temporalio.service import RPCError

from chaos import books
from chaos.books import Books
from chaos.client import Client, Reply
from chaos.purses import Purses
from chaos.shoppers import ADDRESS
from chaos.wishes import Diary, Json, Wish
from deploy.private import PrivateShop, private_shop
from deploy.supervisor import Patience
from deploy.visitor import OPERATOR
from runtime import temporal
from runtime.settings import Temporal

PASSWORD = "sutler-demo-1"  # noqa: S105 (of the demo accounts)
GOOD_CARD = "pm_card_visa"
CHALLENGED_CARD = "pm_card_authenticationRequired"
KINDS_OF_GOODS = 10
PLENTY = 1_000_000
LABEL = {"carrier": "UPS", "tracking_number": "1Z999AA10123456784"}
LONGEST_WAIT = 300.0
PATIENCE_FOR_QUIET = 600.0


@dataclass
class Market:
    """A shop of one's own, and one kind of goods of which there is plenty."""

    shop: PrivateShop
    http: aiohttp.ClientSession
    diary: Diary
    operator: Client
    guest: Client
    purses: Purses
    variant: str = ""
    look_every: float = 0.2
    """Seconds between two looks at an order that is not decided yet."""

    @property
    def sandbox_url(self) -> str:
        return self.shop.settings.sandbox_url

    async def stock(self, units: int) -> None:
        page = await self.operator.insist("GET", "/v1/products?in_stock=true&limit=1")
        [variant, *_] = page.body["items"][0]["variants"]
        change = {"quantity_change": units - variant["stock_quantity"], "reason": "a run that counts"}
        await self.operator.insist("POST", f"/v1/variants/{variant['id']}/stock-adjustments", change, key=str(uuid4()))
        self.variant = variant["id"]

    async def a_full_cart(self, *, gift_card: int = 0) -> str:
        """With a gift card of its own, if it shall be worth anything."""
        cart = (await self.guest.insist("POST", "/v1/carts", {"currency": "USD"})).body["id"]
        path = f"/v1/carts/{cart}"
        await self.guest.insist("POST", f"{path}/items", {"variant_id": self.variant, "quantity": 1})
        await self.guest.insist("PUT", f"{path}/email", {"email": "counted@example.com"})
        await self.guest.insist("PUT", f"{path}/shipping-address", ADDRESS)
        await self.guest.insist("PUT", f"{path}/shipping-method", {"code": "standard"})
        if gift_card:
            code = await self.purses.a_gift_card(gift_card, random.Random())
            await self.guest.insist("POST", f"{path}/gift-cards", {"code": code})
        return str(cart)

    async def check_out(self, cart: str, card: str, *, answered: Counter[str] | None = None) -> Json:
        """The order as it was decided, or ``None`` for a refusal; ``answered`` counts what was told at first."""
        wish = Wish(key=str(uuid4()), cart_id=cart)
        self.diary.wishes.append(wish)
        reply = await self.guest.insist(
            "POST", "/v1/checkouts", {"cart_id": cart, "payment_method": card}, key=wish.key
        )
        if answered is not None:
            answered[str(reply.status) if reply.is_done else f"{reply.status} {reply.code}"] += 1
        return await self._decided(wish, reply)

    async def _decided(self, wish: Wish, reply: Reply) -> Json:
        if not reply.is_done:
            return self._tell(wish, "refused", str(reply.code))
        wish.order_ids.add(reply.body["id"])
        order = reply.body if reply.status == 201 else await self._followed(reply.body["id"], wish.cart_id)
        if order is None or order["status"] == "cancelled":
            return self._tell(wish, "refused", "cancelled") if order else None
        self._tell(wish, "order", order["id"])
        return order

    def _tell(self, wish: Wish, kind: str, what: str) -> None:
        self.diary.told[what if kind == "refused" else "confirmed"] += 1
        wish.answers.add((kind, what))

    async def _followed(self, order_id: str, cart: str) -> Json:
        """Approve the payment if the bank asks, and look until the order is decided."""
        has_acted, deadline = False, time.monotonic() + LONGEST_WAIT
        while time.monotonic() < deadline:
            order = (await self.guest.insist("GET", f"/v1/orders/{order_id}?cart={cart}")).body
            if order["status"] != "pending":
                return order
            action = (order["payment"] or {}).get("next_action")
            if action and not has_acted:
                async with self.http.post(f"{action['redirect_url']}/complete", allow_redirects=False):
                    has_acted = True
            await asyncio.sleep(self.look_every)
        self.diary.bugs.append(f"order {order_id} was not decided in {LONGEST_WAIT:.0f} s")
        return None

    async def deliver(self, order: Json) -> None:
        """Pack it, take its money, and bring it to the door."""
        parcel = await self.operator.insist(
            "POST", f"/v1/admin/orders/{order['id']}/fulfillments", {}, key=str(uuid4())
        )
        path = f"/v1/admin/fulfillments/{parcel.body['id']}"
        for move, body in (("ship", LABEL), ("deliver", None)):
            reply = await self.operator.insist("POST", f"{path}/{move}", body, key=str(uuid4()))
            if not reply.is_done:
                self.diary.bugs.append(f"{move} of order {order['id']}: {reply.status} {reply.code}")

    async def misbehave(self, faults: Json) -> None:
        async with self.http.put(f"{self.sandbox_url}/faults", json=faults) as answer:
            answer.raise_for_status()

    async def behave(self) -> None:
        async with self.http.delete(f"{self.sandbox_url}/faults") as answer:
            answer.raise_for_status()

    async def inflicted(self) -> dict[str, int]:
        """How often the sandbox really misbehaved."""
        async with self.http.get(f"{self.sandbox_url}/faults/inflicted") as answer:
            return dict(await answer.json())

    async def engine(self) -> Engine:
        return await temporal.connect(Temporal(address=self.shop.settings.temporal_address))

    async def quiet(self) -> float:
        """Seconds until nothing is undecided any more; ends at last when that never comes."""
        begun = time.monotonic()
        while time.monotonic() < begun + PATIENCE_FOR_QUIET:
            try:
                if not await books.undecided(self.shop.environment["APP_DATABASE__URL"], await self.engine()):
                    break
            except (SQLAlchemyError, RPCError, OSError):
                pass
            await asyncio.sleep(0.5)
        return time.monotonic() - begun

    async def read(self) -> Books:
        return await books.read(
            self.shop.environment["APP_DATABASE__URL"], await self.engine(), self.sandbox_url, self.http
        )


@asynccontextmanager
async def a_market(
    directory: Path,
    *,
    patience: Patience | None = None,
    products: int = KINDS_OF_GOODS,
    settings: Mapping[str, str] | None = None,
) -> AsyncIterator[Market]:
    """A new one, or the one whose data lies there already."""
    overrides = {"APP_ENV": "test", "APP_LOG_LEVEL": "WARNING", "APP_DEMO__PASSWORD": PASSWORD, **(settings or {})}
    async with (
        private_shop(directory, overrides, patience=patience, products=products) as shop,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=200)) as http,
    ):
        diary, address = Diary(), shop.settings.api_url
        operator = Client(http, address, diary, (OPERATOR, PASSWORD))
        market = Market(shop, http, diary, operator, Client(http, address, diary), Purses(operator, diary))
        await market.stock(PLENTY)
        yield market


async def crowd(at_a_time: int, visit: Callable[[], Awaitable[bool]]) -> None:
    """So many customers at a time, one visit after the other, until a visit says that it was the last."""

    async def customer() -> None:
        while await visit():
            pass

    await asyncio.gather(*(customer() for _ in range(at_a_time)))
