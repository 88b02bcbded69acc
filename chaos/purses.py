"""Gift cards and store credit in customers' hands, as the shop has told that it gave them."""

import random
from dataclasses import dataclass, field
from decimal import Decimal

from chaos.client import Client, Reply
from chaos.wishes import Diary, Json, key_of

WHY = "a chaos run"
USED_UP = ("gift_card_not_usable",)
"""Somebody else has paid with the same card before."""


def minor(amount: Json) -> int:
    return int(Decimal(amount["amount"]) * 100)


def dollars(minor_units: int) -> Json:
    return {"amount": f"{Decimal(minor_units) / 100:.2f}", "currency": "USD"}


@dataclass
class Purses:
    """Cards lie about in everybody's reach, so that several customers try to spend the same one."""

    operator: Client
    diary: Diary
    codes: list[str] = field(default_factory=list)

    async def open(self, customer: Client, cart: Json, dice: random.Random) -> Json:
        """The cart as it is once its customer has decided what of it credit pays: nothing, a part, or all."""
        total = minor(cart["totals"]["total"])
        worth = dice.choice((0, 0, 0, total // 3, total // 2, total, 2 * total))
        if not worth:
            return cart
        path = f"/v1/carts/{cart['id']}"
        if customer.has_account and dice.random() < 0.5:
            await self._give_store_credit(customer, worth, key_of(dice))
            await self._done(customer, "PUT", f"{path}/store-credit", {"use": True})
        if not customer.has_account or dice.random() < 0.6:
            is_known = bool(self.codes) and dice.random() < 0.3
            code = dice.choice(self.codes) if is_known else await self.a_gift_card(worth, dice)
            await self._done(customer, "POST", f"{path}/gift-cards", {"code": code}, may_be=USED_UP)
        return (await customer.insist("GET", path)).body

    async def put_away(self, customer: Client, cart: Json) -> None:
        """Whoever was refused pays without the cards; a cart that is being ordered says no to that."""
        for card in cart["gift_cards"]:
            await customer.insist("DELETE", f"/v1/carts/{cart['id']}/gift-cards/{card['id']}")

    async def a_gift_card(self, worth: int, dice: random.Random) -> str:
        """The code of a new one. A code is told once: when that answer got lost, its card is of no use to anybody."""
        body = {"amount": dollars(worth), "reason": WHY}
        while True:
            told = await self._done(self.operator, "POST", "/v1/admin/gift-cards", body, key=key_of(dice))
            self.diary.cards[told.body["id"]] = worth
            if code := told.body["gift_card_code"]:
                self.codes.append(code)
                return str(code)
            path = f"/v1/admin/gift-cards/{told.body['id']}/disable"
            await self._done(self.operator, "POST", path, {"reason": WHY}, key=key_of(dice))

    async def _give_store_credit(self, customer: Client, worth: int, key: str) -> None:
        user = (await customer.insist("GET", "/v1/users/me")).body["id"]
        body = {"amount": dollars(worth), "reason": WHY}
        await self._done(self.operator, "POST", f"/v1/admin/users/{user}/store-credit", body, key=key)
        self.diary.store_credit += worth

    async def _done(
        self,
        who: Client,
        method: str,
        path: str,
        body: Json,
        *,
        key: str | None = None,
        may_be: tuple[str, ...] = (),
    ) -> Reply:
        reply = await who.insist(method, path, body, key=key)
        if not reply.is_done and reply.code not in may_be:
            self.diary.bugs.append(f"{reply.status} from {method} {path}: {str(reply.body)[:400]}")
        return reply
