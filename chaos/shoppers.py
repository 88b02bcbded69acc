"""Customers who fill baskets and buy them, change their minds, repeat themselves and walk away."""

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aiohttp

from chaos.client import Client, Reply
from chaos.desk import Desk, Purchase
from chaos.fates import Fates
from chaos.purses import Purses
from chaos.wishes import Diary, Json, Wish, key_of

GOOD_CARDS = ("pm_card_visa", "pm_card_mastercard", "pm_card_amex", "pm_card_visa_debit")
BAD_CARDS = ("pm_card_chargeDeclined", "pm_card_chargeDeclinedInsufficientFunds", "pm_card_chargeDeclinedExpiredCard")
BY_TRANSFER: Json = {"provider": "manual"}
CHALLENGED_CARDS = ("pm_card_authenticationRequired", "pm_card_threeDSecure2Required")
ADDRESS = {
    "name": "Grace Guest",
    "line1": "12 Orchard Lane",
    "city": "Springfield",
    "region": "IL",
    "postal_code": "62701",
    "country": "US",
}
LONGEST_WAIT = 300.0
"""Seconds after which an order that is still undecided is not waited for any more; the laws will find it."""


@dataclass(frozen=True)
class Shelf:
    """What is bought, by the variants' ids."""

    baskets: Sequence[Mapping[str, int]]
    """What households really bought together."""
    scarce: Sequence[str]
    """Nearly sold out, so that buyers of the last unit meet."""


class Shopper:
    """One customer after the other; what each does follows from the dice."""

    def __init__(
        self,
        *,
        visitors: Sequence[Client],
        desk: Desk,
        fates: Fates,
        purses: Purses,
        bank: aiohttp.ClientSession,
        shelf: Shelf,
        diary: Diary,
        seed: str,
    ) -> None:
        self._visitors = visitors
        self._desk = desk
        self._fates = fates
        self._purses = purses
        self._bank = bank
        self._shelf = shelf
        self._diary = diary
        self._dice = random.Random(seed)

    async def shop_until(self, is_over: asyncio.Event) -> None:
        while not is_over.is_set():
            await self.one_visit()
            await asyncio.sleep(self._dice.uniform(0.0, 0.5))

    async def one_visit(self) -> None:
        customer = self._dice.choice(self._visitors)
        cart = await self._purses.open(customer, await self._a_full_cart(customer), self._dice)
        order = await self._buy(customer, cart, self._a_way_to_pay())
        if order is None and self._dice.random() < 0.5 and not self._diary.is_waited_for(cart["id"]):
            if self._dice.random() < 0.5:
                await self._purses.put_away(customer, cart)
            cart = (await customer.insist("GET", f"/v1/carts/{cart['id']}")).body
            order = await self._buy(customer, cart, self._dice.choice(GOOD_CARDS))  # another card, the same cart
        if order is not None and order["status"] == "confirmed":
            await self._fates.decide(Purchase(customer, order, cart["id"], self._dice))

    def _a_way_to_pay(self) -> Json:
        """A card, or a bank transfer."""
        ways = self._dice.choices([GOOD_CARDS, BAD_CARDS, CHALLENGED_CARDS, (BY_TRANSFER,)], weights=[7, 2, 2, 2])[0]
        return self._dice.choice(ways)

    async def _a_full_cart(self, customer: Client) -> Json:
        cart = (await customer.insist("POST", "/v1/carts", {"currency": "USD"})).body
        path = f"/v1/carts/{cart['id']}"
        for variant, quantity in self._a_basket().items():
            wanted = {"variant_id": variant, "quantity": quantity}
            await customer.insist("POST", f"{path}/items", wanted)
        email = f"chaos.{self._dice.randrange(10**9)}@example.com"
        await customer.insist("PUT", f"{path}/email", {"email": email})
        await customer.insist("PUT", f"{path}/shipping-address", ADDRESS)
        await customer.insist("PUT", f"{path}/shipping-method", {"code": "standard"})
        return (await customer.insist("GET", path)).body

    def _a_basket(self) -> dict[str, int]:
        basket = dict(self._dice.choice(self._shelf.baskets))
        if self._dice.random() < 0.15:
            basket[self._dice.choice(self._shelf.scarce)] = 1
        return basket

    async def _buy(self, customer: Client, cart: Json, paid_by: Json) -> Json:
        """The order as it was decided; ``None`` when it was refused or nobody waited for the answer."""
        wish = Wish(key=key_of(self._dice), cart_id=cart["id"])
        self._diary.wishes.append(wish)
        body = {
            "cart_id": cart["id"],
            "payment_method": paid_by,
            "expected_total": cart["totals"]["total"],
            "expected_amount_due": cart["amount_due"],
        }
        twins = self._dice.choice((1, 1, 1, 1, 2, 3, 5))
        walks_away = paid_by in GOOD_CARDS and self._dice.random() < 0.08
        order = await self._insist_on_an_answer(customer, wish, body, twins, walks_away=walks_away)
        if self._dice.random() < 0.15:
            await self._insist_on_an_answer(customer, wish, body, 1, walks_away=False)
        return order

    async def _insist_on_an_answer(
        self, customer: Client, wish: Wish, body: Json, twins: int, *, walks_away: bool
    ) -> Json:
        deadline = time.monotonic() + LONGEST_WAIT
        while time.monotonic() < deadline:
            replies = await asyncio.gather(
                *(customer.ask("POST", "/v1/checkouts", body, key=wish.key) for _ in range(twins))
            )
            heard = [reply for reply in replies if reply is not None and not reply.is_not_now and reply.status != 401]
            decided = [order async for order in self._decided(customer, wish, heard)]
            if decided:
                return decided[0]
            if walks_away or wish.is_left_alone:
                wish.is_left_alone = True
                return None
            twins = 1
            await asyncio.sleep(self._dice.uniform(0.1, 0.4))
        self._diary.bugs.append(f"the checkout {wish.key} of cart {wish.cart_id} was not answered")
        return None

    async def _decided(self, customer: Client, wish: Wish, replies: Sequence[Reply]) -> Any:
        """What each reply came to in the end: an order, or ``None`` for a refusal."""
        for reply in replies:
            if reply.status >= 400:
                self._tell(wish, "refused", str(reply.code))
                yield None
                continue
            wish.order_ids.add(reply.body["id"])
            order = reply.body
            if reply.status == 202:
                order = await self._see_it_through(customer, reply.body, wish)
            if order is None:
                continue
            if order["status"] == "cancelled":
                self._tell(wish, "refused", "cancelled")
                yield None
            else:
                self._tell(wish, "order", order["id"])
                yield order

    def _tell(self, wish: Wish, kind: str, what: str) -> None:
        if not wish.answers:
            self._diary.told[what if kind == "refused" else "confirmed"] += 1
        wish.answers.add((kind, what))

    async def _see_it_through(self, customer: Client, order: Json, wish: Wish) -> Json:
        """Do what the bank wants, or do not, and look until the order is decided."""
        path = f"/v1/orders/{order['id']}?cart={wish.cart_id}"
        deadline = time.monotonic() + LONGEST_WAIT
        has_acted = False
        while time.monotonic() < deadline and not wish.is_left_alone:
            seen = await customer.insist("GET", path)
            if not seen.is_done:
                self._diary.bugs.append(f"the order that a checkout named is gone: {seen.status} from {path}")
                return None
            order = seen.body
            if order["status"] != "pending":
                return order
            action = (order["payment"] or {}).get("next_action")
            if action and not has_acted:
                await self._face_the_bank(customer, order, wish, action["redirect_url"])
                has_acted = True
            if order["pending_step"] == "transfer_awaited" and not has_acted:
                await self._send_the_money(customer, order, wish)
                has_acted = True
            await asyncio.sleep(0.3)
        return None

    async def _face_the_bank(self, customer: Client, order: Json, wish: Wish, page: str) -> None:
        luck = self._dice.random()
        if luck < 0.1:
            self._leave(order, wish)
            return
        self._diary.acted_at[order["id"]] = datetime.now(UTC)
        calling_off = [self._call_it_off(customer, order, wish)] if luck < 0.4 else []
        pressing = [self._press(f"{page}/{'complete' if luck < 0.8 else 'fail'}")] if luck > 0.25 else []
        await asyncio.gather(*calling_off, *pressing)  # some do both, and let the shop see which comes first
        self._diary.acted_at[order["id"]] = datetime.now(UTC)

    async def _call_it_off(self, customer: Client, order: Json, wish: Wish) -> None:
        await customer.insist("POST", f"/v1/orders/{order['id']}/cancel?cart={wish.cart_id}", {"reason": "no"})

    async def _send_the_money(self, customer: Client, order: Json, wish: Wish) -> None:
        """By bank transfer: an operator notes that it has come, unless it never does."""
        luck = self._dice.random()
        if luck < 0.1:
            self._leave(order, wish)
            return
        self._diary.acted_at[order["id"]] = datetime.now(UTC)
        purchase = Purchase(customer, order, wish.cart_id, self._dice)
        if luck < 0.25:
            await self._desk.cancel(purchase)
        elif luck < 0.4:
            await self._desk.resolve(purchase, "skip")  # the customer is known, and will pay
        else:
            await self._desk.note_transfer(purchase)
        self._diary.acted_at[order["id"]] = datetime.now(UTC)

    def _leave(self, order: Json, wish: Wish) -> None:
        wish.is_left_alone = True
        self._diary.left_at_the_bank.add(order["id"])

    async def _press(self, button: str) -> None:
        while True:
            try:
                async with self._bank.post(button, allow_redirects=False) as answer:
                    if answer.status < 500:
                        return
            except (aiohttp.ClientError, TimeoutError):
                pass
            await asyncio.sleep(0.2)
