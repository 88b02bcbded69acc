"""What becomes of confirmed orders: one fate each, by the dice."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

from chaos.desk import Desk, Purchase, units
from chaos.wishes import Json

TOO_LATE = ("order_not_cancellable", "order_transition_not_allowed", "units_not_cancellable")
"""Of two deeds that exclude each other, one is told that the other was first."""
ALL_PACKED = ("units_not_available", "order_transition_not_allowed")
"""What a second parcel is told when the first one took everything."""


class Fates:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.done: Counter[str] = Counter()

    async def decide(self, purchase: Purchase) -> None:
        fates: dict[Callable[[Purchase], Awaitable[None]], int] = {
            self._leave_it: 2,
            self._deliver_it: 3,
            self._send_it_in_two: 2,
            self._cancel_it: 3,
            self._repack_and_cancel: 1,
            self._cancel_while_it_ships: 2,
            self._cancel_units_and_send_the_rest: 2,
            self._send_some_and_cancel_the_rest: 2,
            self._cancel_units_while_it_ships: 2,
            self._refund_an_amount: 2,
            self._refund_units: 2,
            self._refund_everything_twice: 1,
            self._return_it: 4,
            self._return_it_in_two: 2,
            self._refuse_its_return: 1,
            self._lose_it_and_send_it_again: 2,
            self._lose_it_and_refund_it: 2,
            self._think_better_of_sending_it_again: 1,
            self._take_it_back_from_the_carrier: 2,
            self._lose_one_of_two: 2,
            self._have_its_capture_refused: 2,
        }
        if purchase.order["payment"]["status"] == "pending":
            fates = {self._send_it_before_it_is_paid: 1}
        elif purchase.captures_nothing:
            del fates[self._have_its_capture_refused]
        [fate] = purchase.dice.choices(list(fates), weights=list(fates.values()))
        self.done[fate.__name__.strip("_").replace("_", " ")] += 1
        await fate(purchase)
        if purchase.is_paid_by_transfer and purchase.dice.random() < 0.8:
            await self._desk.send_what_is_owed(purchase)

    # --- sent, or called off ----------------------------------------------------------------------------------------

    async def _leave_it(self, purchase: Purchase) -> None:
        """A confirmed order that waits for its parcel is an end state, too."""

    async def _deliver_it(self, purchase: Purchase) -> None:
        parcel = await self._sent(purchase)
        if parcel and purchase.dice.random() < 0.7:
            await self._desk.deliver(purchase, parcel)

    async def _send_it_before_it_is_paid(self, purchase: Purchase) -> None:
        """A bank transfer that nobody waited for, and that comes after all."""
        await self._deliver_it(purchase)
        await self._desk.note_transfer(purchase)

    async def _send_it_in_two(self, purchase: Purchase) -> None:
        for items in (purchase.some_units(), None):
            parcel = await self._sent(purchase, items, may_be=ALL_PACKED)
            if parcel and purchase.dice.random() < 0.8:
                await self._desk.deliver(purchase, parcel)

    async def _cancel_it(self, purchase: Purchase) -> None:
        await self._desk.cancel(purchase)

    async def _repack_and_cancel(self, purchase: Purchase) -> None:
        if parcel := await self._desk.pack(purchase):
            await self._desk.unpack(purchase, parcel)
            await self._desk.pack(purchase)
        await self._desk.cancel(purchase)

    async def _cancel_while_it_ships(self, purchase: Purchase) -> None:
        if parcel := await self._desk.pack(purchase):
            await asyncio.gather(
                self._desk.ship(purchase, parcel, may_be=TOO_LATE), self._desk.cancel(purchase, may_be=TOO_LATE)
            )

    async def _cancel_units_and_send_the_rest(self, purchase: Purchase) -> None:
        some = purchase.some_units()
        await self._desk.cancel_units(purchase, some)
        if sum(item["quantity"] for item in some) < sum(line["quantity"] for line in purchase.lines):
            parcel = await self._sent(purchase)
            if parcel and purchase.dice.random() < 0.5:
                await self._desk.deliver(purchase, parcel)

    async def _send_some_and_cancel_the_rest(self, purchase: Purchase) -> None:
        if await self._sent(purchase, purchase.some_units()):
            rest = await self._what_is_still_here(purchase)
            if rest:
                await self._desk.cancel_units(purchase, rest)

    async def _cancel_units_while_it_ships(self, purchase: Purchase) -> None:
        if parcel := await self._desk.pack(purchase):
            await asyncio.gather(
                self._desk.ship(purchase, parcel, may_be=TOO_LATE),
                self._desk.cancel_units(purchase, purchase.some_units(), may_be=TOO_LATE),
            )

    # --- money back -------------------------------------------------------------------------------------------------

    async def _refund_an_amount(self, purchase: Purchase) -> None:
        if await self._sent(purchase):
            currency = purchase.order["totals"]["total"]["currency"]
            for cents in (purchase.dice.randrange(1, 100), purchase.dice.randrange(1, 100)):
                amount = {"amount": f"0.{cents:02}", "currency": currency}
                await self._desk.refund(purchase, {"amount": amount, **purchase.way_back()})

    async def _refund_units(self, purchase: Purchase) -> None:
        if await self._sent(purchase):
            await self._desk.refund(purchase, {"items": purchase.some_units(), **purchase.way_back()})
            more = {"items": purchase.some_units(), **purchase.way_back()}
            await self._desk.refund(purchase, more, may_be=("units_not_refundable",))

    async def _refund_everything_twice(self, purchase: Purchase) -> None:
        """Two operators, each with a key of their own: one of them is too late."""
        if parcel := await self._sent(purchase):
            too_late = ("refund_exceeds_captured",)
            told = await asyncio.gather(
                self._desk.refund(purchase, purchase.way_back(), may_be=too_late),
                self._desk.refund(purchase, purchase.way_back(), may_be=too_late),
                self._desk.deliver(purchase, parcel),
            )
            self._desk.expect(that=any(told[:2]), otherwise=f"nobody could refund order {purchase.id}")

    # --- goods back -------------------------------------------------------------------------------------------------

    async def _return_it(self, purchase: Purchase) -> None:
        if await self._delivered(purchase):
            await self._sent_back(purchase, purchase.some_units())

    async def _return_it_in_two(self, purchase: Purchase) -> None:
        if await self._delivered(purchase):
            every = [units(line, line["quantity"]) for line in purchase.lines]
            await self._sent_back(purchase, every[:1])
            if every[1:]:
                await self._sent_back(purchase, every[1:])
            await self._desk.refund(purchase, {}, may_be=("refund_exceeds_captured",))

    async def _refuse_its_return(self, purchase: Purchase) -> None:
        if await self._delivered(purchase):
            goods = await self._desk.announce(purchase, purchase.some_units())
            if goods and purchase.dice.random() < 0.8:
                if purchase.dice.random() < 0.3:
                    await self._desk.decide(purchase, goods, "approve")
                await self._desk.decide(purchase, goods, "reject")

    async def _sent_back(self, purchase: Purchase, items: list[Json]) -> None:
        goods = await self._desk.announce(purchase, items)
        if goods is None or not await self._desk.decide(purchase, goods, "approve"):
            return
        match purchase.dice.random():
            case luck if luck < 0.15:
                return  # it never arrives
            case luck if luck < 0.5:
                await self._desk.receive(purchase, goods)
            case luck:
                came = [{**item, "quantity": purchase.dice.randint(1, item["quantity"])} for item in items]
                await self._desk.receive(purchase, goods, [{**item, "is_resellable": luck < 0.8} for item in came])

    # --- parcels that do not arrive ---------------------------------------------------------------------------------

    async def _lose_it_and_send_it_again(self, purchase: Purchase) -> None:
        parcel = await self._sent(purchase)
        if parcel and await self._desk.lose(purchase, parcel, "reship", may_be=("out_of_stock",)):
            replacement = await self._desk.replacement_of(purchase, parcel)
            if replacement and purchase.dice.random() < 0.8 and await self._desk.ship(purchase, replacement):
                await self._desk.deliver(purchase, replacement)

    async def _lose_it_and_refund_it(self, purchase: Purchase) -> None:
        if parcel := await self._sent(purchase):
            await self._desk.lose(purchase, parcel, "refund")

    async def _think_better_of_sending_it_again(self, purchase: Purchase) -> None:
        parcel = await self._sent(purchase)
        if parcel and await self._desk.lose(purchase, parcel, "reship", may_be=("out_of_stock",)):
            await self._desk.lose(purchase, parcel, "refund")

    async def _take_it_back_from_the_carrier(self, purchase: Purchase) -> None:
        if parcel := await self._sent(purchase):
            remedy = purchase.dice.choice(("reship", "refund"))
            if not await self._desk.take_back(purchase, parcel, remedy, may_be=("out_of_stock",)):
                return
            replacement = await self._desk.replacement_of(purchase, parcel)
            if replacement and await self._desk.ship(purchase, replacement):
                await self._desk.lose(purchase, replacement, "refund")

    async def _lose_one_of_two(self, purchase: Purchase) -> None:
        first = await self._sent(purchase, purchase.some_units())
        second = await self._sent(purchase, may_be=ALL_PACKED)
        if first and second:
            await asyncio.gather(
                self._desk.lose(purchase, first, "refund", may_be=("refund_not_possible_yet",)),
                self._desk.deliver(purchase, second),
            )

    async def _have_its_capture_refused(self, purchase: Purchase) -> None:
        """The bank has let go of the money: the parcel must stay until a person has it authorised anew, or cancels."""
        parcel = await self._desk.pack(purchase)
        if parcel is None:
            return
        await self._desk.have_the_bank_let_go(purchase)
        refused = ("capture_refused",)
        self._desk.expect(
            that=not await self._desk.ship(purchase, parcel, may_be=refused),
            otherwise=f"parcel {parcel} left without its money",
        )
        if purchase.dice.random() < 0.5 and await self._desk.resolve(purchase, "retry", may_be=refused):
            return
        await self._desk.resolve(purchase, "cancel")
        order = await self._desk.look(purchase)
        self._desk.expect(that=order["status"] == "cancelled", otherwise=f"order {purchase.id} was not cancelled")

    # --- on the way there -------------------------------------------------------------------------------------------

    async def _sent(
        self, purchase: Purchase, items: list[Json] | None = None, *, may_be: Sequence[str] = ()
    ) -> str | None:
        parcel = await self._desk.pack(purchase, items, may_be=may_be)
        return parcel if parcel and await self._desk.ship(purchase, parcel) else None

    async def _delivered(self, purchase: Purchase) -> str | None:
        parcel = await self._sent(purchase)
        return parcel if parcel and await self._desk.deliver(purchase, parcel) else None

    async def _what_is_still_here(self, purchase: Purchase) -> list[Json]:
        order = await self._desk.look(purchase)
        sent: Counter[str] = Counter()
        for parcel in order["fulfillments"]:
            if parcel["shipped_at"]:
                sent.update({item["order_item_id"]: item["quantity"] for item in parcel["items"]})
        here = [(line, line["quantity"] - line["cancelled_quantity"] - sent[line["id"]]) for line in order["items"]]
        return [units(line, quantity) for line, quantity in here if quantity]
