"""What operators and customers can do with a confirmed order, each deed insisted on until it is answered."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp

from chaos.client import Client, Reply
from chaos.wishes import Diary, Json, Promise, key_of

SANDBOX_KEY = "sk_test_sutler"


@dataclass(frozen=True)
class Purchase:
    """A confirmed order, and who bought it."""

    customer: Client
    order: Json
    cart_id: str
    dice: random.Random

    @property
    def id(self) -> str:
        return str(self.order["id"])

    @property
    def lines(self) -> list[Json]:
        return list(self.order["items"])

    @property
    def is_paid_by_transfer(self) -> bool:
        return bool(self.order["payment"]["provider"] == "manual")

    @property
    def captures_nothing(self) -> bool:
        """It was paid ahead, or credit has paid all of it."""
        return self.order["payment"]["provider"] in ("manual", "nothing")

    def way_back(self) -> Json:
        """Where a refund goes; only whoever has an account can have store credit."""
        return {"to": "store_credit"} if self.customer.has_account and self.dice.random() < 0.3 else {}

    def some_units(self) -> list[Json]:
        """A few units of one or two lines, never nothing."""
        lines = self.dice.sample(self.lines, min(len(self.lines), self.dice.choice((1, 1, 2))))
        return [units(line, self.dice.randint(1, line["quantity"])) for line in lines]


def units(line: Json, quantity: int) -> Json:
    return {"order_item_id": line["id"], "quantity": quantity}


class Desk:
    """A refusal is noted as a bug, unless the deed is told which ones are to be expected there."""

    def __init__(self, operator: Client, diary: Diary, bank: aiohttp.ClientSession, sandbox_url: str) -> None:
        self._operator = operator
        self._diary = diary
        self._bank = bank
        self._sandbox_url = sandbox_url

    def expect(self, *, that: bool, otherwise: str) -> None:
        if not that:
            self._diary.bugs.append(otherwise)

    async def look(self, purchase: Purchase) -> Json:
        return (await self._operator.insist("GET", f"/v1/orders/{purchase.id}")).body

    # --- parcels ----------------------------------------------------------------------------------------------------

    async def pack(
        self, purchase: Purchase, items: list[Json] | None = None, *, may_be: Sequence[str] = ()
    ) -> str | None:
        """The parcel's id."""
        path = f"/v1/admin/orders/{purchase.id}/fulfillments"
        replies = await self._ask(purchase, path, {"items": items} if items else {}, may_be=may_be)
        done = [reply.body for reply in replies if reply.is_done]
        self._note_made("parcels", done)
        return str(done[0]["id"]) if done else None

    async def ship(self, purchase: Purchase, parcel: str, *, may_be: Sequence[str] = ()) -> bool:
        label = {"carrier": "UPS", "tracking_number": f"1Z{purchase.dice.randrange(10**12):012}"}
        return await self._move(purchase, parcel, "ship", "shipped", label, may_be=may_be)

    async def deliver(self, purchase: Purchase, parcel: str) -> bool:
        return await self._move(purchase, parcel, "deliver", "delivered")

    async def unpack(self, purchase: Purchase, parcel: str, *, may_be: Sequence[str] = ()) -> bool:
        return await self._move(purchase, parcel, "cancel", "cancelled", may_be=may_be)

    async def lose(self, purchase: Purchase, parcel: str, remedy: str, *, may_be: Sequence[str] = ()) -> bool:
        return await self._move(purchase, parcel, "lost", "lost", {"remedy": remedy}, may_be=may_be)

    async def take_back(self, purchase: Purchase, parcel: str, remedy: str, *, may_be: Sequence[str] = ()) -> bool:
        body = {"remedy": remedy, "is_resellable": purchase.dice.random() < 0.7}
        return await self._move(purchase, parcel, "returned-to-sender", "returned_to_sender", body, may_be=may_be)

    async def replacement_of(self, purchase: Purchase, parcel: str) -> str | None:
        parcels = (await self.look(purchase))["fulfillments"]
        return next((str(other["id"]) for other in parcels if other["replaces_id"] == parcel), None)

    async def _move(
        self,
        purchase: Purchase,
        parcel: str,
        verb: str,
        done: str,
        body: Json = None,
        *,
        may_be: Sequence[str] = (),
    ) -> bool:
        replies = await self._ask(purchase, f"/v1/admin/fulfillments/{parcel}/{verb}", body, may_be=may_be)
        if is_done := any(reply.is_done for reply in replies):
            self._diary.promises.add(Promise("parcels", parcel, done))
        return is_done

    # --- calling it off ---------------------------------------------------------------------------------------------

    async def cancel(self, purchase: Purchase, *, may_be: Sequence[str] = ()) -> bool:
        replies = await self._ask(
            purchase,
            f"/v1/orders/{purchase.id}/cancel?cart={purchase.cart_id}",
            {"reason": "changed my mind"},
            who=purchase.customer,
            may_be=may_be,
        )
        return any(reply.is_done for reply in replies)

    async def cancel_units(self, purchase: Purchase, items: list[Json], *, may_be: Sequence[str] = ()) -> bool:
        replies = await self._ask(
            purchase,
            f"/v1/orders/{purchase.id}/cancel?cart={purchase.cart_id}",
            {"reason": "too many", "items": items},
            who=purchase.customer,
            may_be=may_be,
        )
        return any(reply.is_done for reply in replies)

    async def resolve(self, purchase: Purchase, decision: str, *, may_be: Sequence[str] = ()) -> bool:
        body = {"decision": decision, "note": "the customer was called"}
        path = f"/v1/admin/orders/{purchase.id}/resolve"
        replies = await self._ask(purchase, path, body, may_be=may_be)
        return any(reply.is_done for reply in replies)

    async def have_the_bank_let_go(self, purchase: Purchase) -> None:
        """The authorisation is gone, behind the shop's back."""
        intent = purchase.order["payment"]["provider_reference"]
        while True:
            try:
                async with self._bank.post(
                    f"{self._sandbox_url}/v1/payment_intents/{intent}/cancel",
                    headers={"Authorization": f"Bearer {SANDBOX_KEY}"},
                ) as answer:
                    if answer.status < 500:
                        return
            except (aiohttp.ClientError, TimeoutError):
                pass
            await asyncio.sleep(0.2)

    # --- bank transfers ---------------------------------------------------------------------------------------------

    async def note_transfer(self, purchase: Purchase) -> bool:
        """The customer's money has come."""
        path = f"/v1/admin/orders/{purchase.id}/payment-received"
        replies = await self._ask(purchase, path, {"reference": f"transfer {purchase.id}"})
        return any(reply.is_done for reply in replies)

    async def send_what_is_owed(self, purchase: Purchase) -> None:
        """Refunds of orders that were paid by bank transfer are sent by people."""
        for refund in (await self.look(purchase))["refunds"]:
            if refund["status"] == "requested":
                path = f"/v1/admin/refunds/{refund['id']}/paid"
                replies = await self._ask(purchase, path, {"reference": f"refund {refund['id']}"})
                if any(reply.is_done for reply in replies):
                    self._diary.promises.add(Promise("refunds", refund["id"], "succeeded"))

    # --- money and goods back ---------------------------------------------------------------------------------------

    async def refund(self, purchase: Purchase, what: Json, *, may_be: Sequence[str] = ()) -> bool:
        replies = await self._ask(
            purchase, f"/v1/admin/orders/{purchase.id}/refunds", {"reason": "a complaint", **what}, may_be=may_be
        )
        done = [reply.body for reply in replies if reply.is_done]
        self._note_made("refunds", done)
        self._diary.promises |= {
            Promise("refunds", told["id"], told["status"]) for told in done if told["status"] != "requested"
        }
        return bool(done)

    async def announce(self, purchase: Purchase, items: list[Json], *, may_be: Sequence[str] = ()) -> str | None:
        """The return's id."""
        replies = await self._ask(
            purchase,
            f"/v1/orders/{purchase.id}/returns?cart={purchase.cart_id}",
            {"items": [{**item, "reason": "too small"} for item in items]},
            who=purchase.customer,
            may_be=may_be,
        )
        done = [reply.body for reply in replies if reply.is_done]
        self._note_made("returns", done)
        return str(done[0]["id"]) if done else None

    async def decide(self, purchase: Purchase, goods: str, decision: str) -> bool:
        done = {"approve": "approved", "reject": "rejected"}[decision]
        return await self._move_return(purchase, goods, decision, done, None)

    async def receive(self, purchase: Purchase, goods: str, items: list[Json] | None = None) -> bool:
        return await self._move_return(purchase, goods, "receive", "received", {"items": items} if items else {})

    async def _move_return(self, purchase: Purchase, goods: str, verb: str, done: str, body: Json) -> bool:
        replies = await self._ask(purchase, f"/v1/admin/returns/{goods}/{verb}", body)
        if is_done := any(reply.is_done for reply in replies):
            self._diary.promises.add(Promise("returns", goods, done))
        return is_done

    # --- asking -----------------------------------------------------------------------------------------------------

    async def _ask(
        self,
        purchase: Purchase,
        path: str,
        body: Json,
        *,
        who: Client | None = None,
        may_be: Sequence[str] = (),
    ) -> list[Reply]:
        """All answers to a wish that is sent once, or twice at the same time, always under the same key."""
        key, client = key_of(purchase.dice), who or self._operator
        times = purchase.dice.choice((1, 1, 1, 2))
        replies = await asyncio.gather(*(client.insist("POST", path, body, key=key) for _ in range(times)))
        for reply in replies:
            if not reply.is_done and reply.code not in may_be:
                self._diary.bugs.append(f"{reply.status} from POST {path}: {str(reply.body)[:400]}")
        return list(replies)

    def _note_made(self, table: str, told: Sequence[Json]) -> None:
        made = {row["id"] for row in told}
        self._diary.promises |= {Promise(table, row, "made") for row in made}
        if len(made) > 1:
            self._diary.bugs.append(f"one key made {sorted(made)} in {table}")
