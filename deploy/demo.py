"""``sutler demo``: somebody buys something over HTTP, and the story is told while it happens."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import uuid4

from rich.console import Console

from deploy.order_tables import ledger_table, lines_table, look_closer, timeline_table
from deploy.visitor import (
    OPERATOR,
    Answer,
    Json,
    NobodyAnswersError,
    UnwelcomeError,
    Visitor,
    money,
    terminal,
    visitors,
)
from domain.payments import MANUAL
from runtime.settings import Environment, Settings

SHOPPER = "shopper@example.com"
GUEST = "grace.guest@example.com"
ADDRESS = {
    "name": "Grace Guest",
    "line1": "12 Orchard Lane",
    "city": "Springfield",
    "region": "IL",
    "postal_code": "62701",
    "country": "US",
}
SHOPPING_LIST = ("coffee", "chocolate", "bread")
AS_LONG_AS_IT_TAKES = 30.0
"""Seconds within which a mail arrives, or a payment that was approved is noticed, also on a busy machine."""


BY_TRANSFER = {"provider": MANUAL}


class Card(StrEnum):
    """Stripe's test cards that the demo pays with."""

    GOOD = "pm_card_visa"
    DECLINED = "pm_card_visa_chargeDeclined"
    THREE_D_SECURE = "pm_card_authenticationRequired"


def demo(settings: Settings | None = None, *, card: Card | None = Card.GOOD, as_guest: bool = False) -> int:
    """Buy, pack, ship and deliver; or fail to buy, and show that nothing remained. The exit code.

    Without a card, a bank transfer pays.
    """
    settings, console = settings or Settings(), terminal()
    if settings.env is Environment.PRODUCTION:
        console.print("The demo pays with test cards and signs in to demo accounts; production has neither.")
        return 1
    try:
        asyncio.run(_tell(settings, console, card=card, as_guest=as_guest))
    except (NobodyAnswersError, UnwelcomeError, EmptyShelvesError, NothingHappenedError) as problem:
        console.print(str(problem), soft_wrap=True)
        return 1
    return 0


class EmptyShelvesError(Exception):
    """Nothing can be bought."""


class NothingHappenedError(Exception):
    """What was waited for did not come."""


async def _tell(settings: Settings, console: Console, *, card: Card | None, as_guest: bool) -> None:
    async with visitors(settings) as customer:
        sandbox = Visitor(customer.http, settings.payments.stripe_api_base)
        operator = Visitor(customer.http, customer.address)
        story = Story(settings, console, customer, operator, sandbox, GUEST if as_guest else SHOPPER)
        await story.come_in(as_guest=as_guest)
        await story.fill_the_cart()
        answer = await story.check_out(card)
        if answer.status == 402:
            await story.see_that_nothing_remained()
        elif card is None:
            await story.wait_for_the_transfer()
            await story.see_what_happened()
            await story.ship_it()
        else:
            if answer.status == 202:
                await story.wait_for_the_payment()
            await story.see_what_happened()
            await story.ship_it()
        story.look_closer()


@dataclass
class Story:
    """One visit. Its methods are the chapters, in the order in which they happen."""

    settings: Settings
    console: Console
    customer: Visitor
    operator: Visitor
    sandbox: Visitor
    email: str
    products: list[Json] = field(default_factory=list)
    cart: Json = None
    order: Json = None

    async def come_in(self, *, as_guest: bool) -> None:
        self._chapter("A customer comes to the shop")
        password = self.settings.demo.password.get_secret_value()
        if as_guest:
            self._say(f"As a guest: no account, no sign-in. The shop is {self.customer.address}.")
        else:
            await self.customer.sign_in(SHOPPER, password)
            self._say(f"Signed in to {self.customer.address} as {SHOPPER}.")
        await self.operator.sign_in(OPERATOR, password)

    async def fill_the_cart(self) -> None:
        self._chapter("Goods go into a cart")
        self.cart = await self.customer.done("POST", "/v1/carts", {"currency": self.settings.shop.currency})
        self.products = await self._products()
        for product in self.products:
            variant = product["variants"][0]
            wanted = {"variant_id": variant["id"], "quantity": min(2, variant["stock_quantity"])}
            await self.customer.done("POST", self._in_cart("items"), wanted)
            self._say(f"{product['name']}: {money(variant['price'])}, {variant['stock_quantity']} can be sold")
        await self.customer.done("PUT", self._in_cart("email"), {"email": self.email})
        await self.customer.done("PUT", self._in_cart("shipping-address"), ADDRESS)
        options = (await self.customer.get(self._in_cart("shipping-options")))["items"]
        cheapest = min(options, key=lambda option: float(option["price"]["amount"]))
        self.cart = await self.customer.done("PUT", self._in_cart("shipping-method"), {"code": cheapest["code"]})
        self._say(f"Shipping: {cheapest['name']}, about {cheapest['estimated_days']} days.")
        self.console.print(lines_table(self.cart))

    async def _products(self) -> list[Json]:
        """The first of each wish that can be sold now, or just what is new."""
        found: dict[str, Json] = {}
        for wish in [*SHOPPING_LIST, None]:
            query = {"q": wish} if wish else {}
            page = await self.customer.get("/v1/products", in_stock="true", limit="3", **query)
            sold = [product for product in page["items"] if _can_be_sold(product["variants"][0])]
            found.update({product["id"]: product for product in sold[: 1 if wish else None]})
        if not found:
            raise EmptyShelvesError("There is nothing to buy; fill the shelves with `sutler catalog demo`.")
        return list(found.values())[: len(SHOPPING_LIST)]

    async def check_out(self, card: Card | None) -> Answer:
        self._chapter(f"Checkout with {card or 'a bank transfer'}")
        key = str(uuid4())
        self._say(f"POST /v1/checkouts with Idempotency-Key {key}")
        began = time.perf_counter()
        answer = await self.customer.ask(
            "POST",
            "/v1/checkouts",
            {
                "cart_id": self.cart["id"],
                "payment_method": card or BY_TRANSFER,
                "expected_total": self.cart["totals"]["total"],
            },
            headers={"Idempotency-Key": key},
        )
        self._say(f"{answer.status} after {time.perf_counter() - began:.2f} s")
        if answer.status in (201, 202):
            self.order = answer.body
            self._say(f"Order {self.order['number']} is {self.order['status']}.")
        elif answer.status == 402:
            self._say(f"{answer.body['code']}, {answer.body['decline_code']}: {answer.body['detail']}")
        else:
            raise UnwelcomeError(answer)
        return answer

    async def wait_for_the_transfer(self) -> None:
        self._chapter("The order waits for its money")
        letter = await self._soon("the mail that asks for the money", self._letter)
        self._say(f"Mailed to {self.email}: {letter['subject']}")
        self._say(f"The goods stay reserved until {self.order['payment']['due_at'][:16].replace('T', ' ')} UTC.")
        told = await self.operator.get(f"/v1/admin/orders/{self.order['id']}/explain")
        self._say(f"The order waits for {told['waits_for']}.")
        self._chapter("An operator sees the money on the bank statement")
        transfer = {"reference": f"{self.order['number']}, seen by the demo"}
        self.order = await self.operator.done("POST", f"/v1/admin/orders/{self.order['id']}/payment-received", transfer)
        self._say(
            f"Noted. Order {self.order['number']} is {self.order['status']}, "
            f"its payment {self.order['payment']['status']}."
        )

    async def wait_for_the_payment(self) -> None:
        action = (self.order["payment"] or {}).get("next_action")
        if action:
            await self._approve_at_the_bank(action["redirect_url"])
        else:
            self._chapter("The provider takes its time")
            self._say("The checkout goes on without anybody waiting for it; its goods stay reserved.")
        self.order = await self._soon("the confirmed order", self._confirmed)
        self._say(f"Order {self.order['number']} is {self.order['status']}.")

    async def _approve_at_the_bank(self, page: str) -> None:
        self._chapter("The bank wants to see its customer")
        self._say(f"The goods stay reserved while the customer goes to {page}")
        await Visitor(self.sandbox.http, page).done("POST", "/complete")
        self._say(
            "Approved. The provider's webhook wakes the payment's workflow, and that asks how the payment stands."
        )

    async def _confirmed(self) -> Json:
        order = await self._looked_at()
        return order if order["status"] == "confirmed" else None

    async def see_what_happened(self) -> None:
        self._chapter("What has happened")
        self.console.print(timeline_table(await self._events()))
        if self._is_paid_by_card:
            self.console.print(ledger_table(await self._ledger(), "At the payment provider: held, not taken"))
        letter = await self._soon("the confirmation mail", self._confirmation)
        self._say(f"Mailed to {self.email}: {letter['subject']}")

    async def _letter(self) -> Json:
        letters = (await self.sandbox.get("/mail", to=self.email))["items"]
        about_it = [letter for letter in letters if letter["subject"].endswith(f" {self.order['number']}")]
        return about_it[0] if about_it else None

    async def _confirmation(self) -> Json:
        letters = (await self.sandbox.get("/mail", to=self.email))["items"]
        confirming = [
            letter for letter in letters if letter["subject"].endswith(f": your order {self.order['number']}")
        ]
        return confirming[0] if confirming else None

    @property
    def _is_paid_by_card(self) -> bool:
        return bool(self.order["payment"]["provider"] != MANUAL)

    async def ship_it(self) -> None:
        self._chapter("An operator packs, ships and delivers")
        parcel = await self.operator.done("POST", f"/v1/admin/orders/{self.order['id']}/fulfillments", {})
        units = sum(item["quantity"] for item in parcel["items"])
        self._say(f"Packed {units} units into one parcel.")
        path = f"/v1/admin/fulfillments/{parcel['id']}"
        label = {"carrier": "UPS", "tracking_number": f"1Z{uuid4().int % 10**12:012}"}
        await self.operator.done("POST", f"{path}/ship", label)
        self.order = await self._looked_at()
        self._say(f"Shipped with UPS, {label['tracking_number']}; the payment is {self.order['payment']['status']}.")
        if self._is_paid_by_card:
            self.console.print(
                ledger_table(await self._ledger(), "At the payment provider: taken when the parcel left")
            )
        await self.operator.done("POST", f"{path}/deliver")
        self.order = await self._looked_at()
        self._say(f"Order {self.order['number']} is {self.order['status']}.")
        self.console.print(timeline_table(await self._events()))

    async def see_that_nothing_remained(self) -> None:
        self._chapter("Nothing remained")
        found = await self.operator.get("/v1/admin/orders", q=self.email, limit="1")
        self.order = found["items"][0]
        cart = await self.customer.get(self._in_cart())
        self._say(
            f"Order {self.order['number']} is {self.order['status']}, its payment {self.order['payment']['status']}."
        )
        self._say(f"The cart is {cart['status']} again with its {len(cart['items'])} lines: try another card.")
        for product in self.products:
            now = await self.customer.get(f"/v1/products/{product['id']}")
            before, after = (each["variants"][0]["stock_quantity"] for each in (product, now))
            self._say(f"{product['name']}: {before} could be sold before, {after} can be sold now")
        movements = await self._ledger()
        self._say(f"The provider's ledger has {len(movements) or 'no'} movements of money for it.")
        self.console.print(timeline_table(await self._events()))

    def look_closer(self) -> None:
        self._chapter("Look closer")
        look_closer(self.console, self.settings.temporal, self.order)

    async def _looked_at(self) -> Json:
        return await self.customer.get(f"/v1/orders/{self.order['id']}", cart=self.cart["id"])

    async def _events(self) -> list[Json]:
        page = await self.operator.get(f"/v1/orders/{self.order['id']}/events", limit="100")
        return list(page["items"])

    async def _ledger(self) -> list[Json]:
        reference = self.order["payment"]["provider_reference"]
        if reference is None:
            return []
        return list((await self.sandbox.get("/ledger", payment_intent=reference))["items"])

    async def _soon(self, what: str, look: Callable[[], Awaitable[Json]]) -> Json:
        deadline = time.monotonic() + AS_LONG_AS_IT_TAKES
        while time.monotonic() < deadline:
            if (seen := await look()) is not None:
                return seen
            await asyncio.sleep(0.1)
        raise NothingHappenedError(
            f"Waited {AS_LONG_AS_IT_TAKES:.0f} s in vain for {what}; see the logs of `sutler up`."
        )

    def _in_cart(self, part: str = "") -> str:
        return f"/v1/carts/{self.cart['id']}/{part}".rstrip("/")

    def _chapter(self, title: str) -> None:
        self.console.print()
        self.console.rule(title, align="left")

    def _say(self, sentence: str) -> None:
        self.console.print(sentence, soft_wrap=True)


def _can_be_sold(variant: dict[str, Any]) -> bool:
    return bool(variant["price"]) and variant["stock_quantity"] > 0
