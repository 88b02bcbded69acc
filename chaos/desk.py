"""Operators, and customers who come back: what happens to an order after it was confirmed."""

import asyncio
import random
from collections import Counter
from uuid import UUID

from chaos.client import Client, Reply
from chaos.wishes import Json


class Desk:
    """What is done here is meant to succeed or to be refused for a reason; anything else is tried again."""

    def __init__(self, operator: Client) -> None:
        self._operator = operator
        self.done: Counter[str] = Counter()

    async def decide_its_fate(self, customer: Client, order: Json, cart_id: str, dice: random.Random) -> None:
        fates = {
            self._leave_it: 2,
            self._deliver_it: 4,
            self._send_it_in_two: 2,
            self._cancel_it: 3,
            self._repack_and_cancel: 1,
            self._cancel_while_it_ships: 2,
        }
        [fate] = dice.choices(list(fates), weights=list(fates.values()))
        self.done[fate.__name__.strip("_").replace("_", " ")] += 1
        await fate(customer, order, cart_id, dice)

    async def _leave_it(self, customer: Client, order: Json, cart_id: str, dice: random.Random) -> None:
        """A confirmed order that waits for its parcel is an end state, too."""

    async def _deliver_it(self, customer: Client, order: Json, cart_id: str, dice: random.Random) -> None:
        parcel = await self._pack(order, None, dice)
        if parcel and await self._ship(parcel, dice) and dice.random() < 0.7:
            await self._deliver(parcel)

    async def _send_it_in_two(self, customer: Client, order: Json, cart_id: str, dice: random.Random) -> None:
        first = order["items"][0]
        wanted = [{"order_item_id": first["id"], "quantity": dice.randint(1, first["quantity"])}]
        for items in (wanted, None):
            parcel = await self._pack(order, items, dice)
            if parcel and await self._ship(parcel, dice) and dice.random() < 0.8:
                await self._deliver(parcel)

    async def _cancel_it(self, customer: Client, order: Json, cart_id: str, dice: random.Random) -> None:
        await self._cancel(customer, order, cart_id)
        if dice.random() < 0.3:
            await self._cancel(customer, order, cart_id)

    async def _repack_and_cancel(self, customer: Client, order: Json, cart_id: str, dice: random.Random) -> None:
        if parcel := await self._pack(order, None, dice):
            await self._operator.insist("POST", f"/v1/admin/fulfillments/{parcel}/cancel")
            await self._pack(order, None, dice)
        await self._cancel(customer, order, cart_id)

    async def _cancel_while_it_ships(self, customer: Client, order: Json, cart_id: str, dice: random.Random) -> None:
        if parcel := await self._pack(order, None, dice):
            await asyncio.gather(self._ship(parcel, dice), self._cancel(customer, order, cart_id))

    async def _pack(self, order: Json, items: Json, dice: random.Random) -> str | None:
        path = f"/v1/admin/orders/{order['id']}/fulfillments"
        key = str(UUID(int=dice.getrandbits(128), version=4))
        reply = await self._operator.insist("POST", path, {"items": items} if items else {}, key=key)
        if reply.is_done:
            return str(reply.body["id"])
        return await self._parcel_of_a_lost_answer(order)

    async def _parcel_of_a_lost_answer(self, order: Json) -> str | None:
        """The units may be in a parcel already, of which only the answer was lost."""
        seen = await self._operator.insist("GET", f"/v1/orders/{order['id']}")
        waiting = [parcel["id"] for parcel in seen.body.get("fulfillments", []) if parcel["status"] == "pending"]
        return waiting[0] if waiting else None

    async def _ship(self, parcel: str, dice: random.Random) -> bool:
        label = {"carrier": "UPS", "tracking_number": f"1Z{dice.randrange(10**12):012}"}
        path = f"/v1/admin/fulfillments/{parcel}/ship"
        replies = await self._once_or_twice(path, label, dice)
        return any(reply.is_done for reply in replies)

    async def _once_or_twice(self, path: str, body: Json, dice: random.Random) -> list[Reply]:
        times = dice.choice((1, 1, 1, 2))
        return list(await asyncio.gather(*(self._operator.insist("POST", path, body) for _ in range(times))))

    async def _deliver(self, parcel: str) -> None:
        await self._operator.insist("POST", f"/v1/admin/fulfillments/{parcel}/deliver")

    async def _cancel(self, customer: Client, order: Json, cart_id: str) -> None:
        await customer.insist("POST", f"/v1/orders/{order['id']}/cancel?cart={cart_id}", {"reason": "changed my mind"})
