"""Holds: who has reserved which goods until when; given back once, however often that is asked for."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from db import cancellations, inventory, orders, parcels, returns, undelivered
from db.base import new_id
from db.returns import ReturnWish, WantedReturn
from domain.deadlines import Term
from domain.errors import Refusal
from domain.orders import CancelReason
from domain.payments import AwaitTransfer, MoneyBack
from domain.returns import DecideReturn, ReceiveReturn, ReturnStatus
from domain.shipping import GiveUpParcel, Remedy, Undelivered
from runtime.resources import Resources
from tests.db.test_cancellations import to_cancel as to_cancel_units
from tests.db.test_parcels import do
from tests.support.catalog import AProduct, a_product
from tests.support.orders import (
    HOLD_SECONDS,
    AnOrder,
    a_cart,
    a_confirmed_order,
    a_placed_order,
    lines_of,
    place,
    to_cancel,
    to_confirm,
    to_move,
    to_place,
    to_plan,
    to_ship,
)

Deed = tuple[Callable[..., Awaitable[Any]], Any]


async def books_of(resources: Resources, variants: list[UUID]) -> list[tuple[int, int, int, int, int]]:
    """Of each variant: what is on hand and reserved, what the ledger says of both, and what open holds add up to."""
    async with resources.autocommit() as session:
        rows = await session.execute(BOOKS, {"variants": variants})
        return [tuple(row) for row in rows]


BOOKS = text(
    """
    SELECT on_hand, reserved,
           (SELECT sum(on_hand_change) FROM stock_movements WHERE variant_id = stock.variant_id)::int,
           (SELECT sum(reserved_change) FROM stock_movements WHERE variant_id = stock.variant_id)::int,
           (SELECT coalesce(sum(quantity - shipped - released), 0)
            FROM stock_holds WHERE variant_id = stock.variant_id)::int
    FROM stock WHERE variant_id = ANY(:variants) ORDER BY variant_id
    """
)


async def deadlines_of(resources: Resources, order: AnOrder) -> list[datetime | None]:
    async with resources.sessions() as session:
        rows = await session.scalars(
            text("SELECT expires_at FROM stock_holds WHERE order_id = :id ORDER BY variant_id"), {"id": order.order_id}
        )
        return list(rows)


@pytest.fixture
async def product(resources: Resources) -> AProduct:
    return await a_product(resources.sessions, price="10.00", stock=9)


async def test_a_hold_belongs_to_an_order_and_has_a_deadline_until_that_is_confirmed(
    resources: Resources, product: AProduct
) -> None:
    other = await a_product(resources.sessions, price="5.00", stock=9)
    before = datetime.now(UTC)
    order = await a_placed_order(resources.sessions, (product.variant_id, 2), (other.variant_id, 1))

    deadlines = await deadlines_of(resources, order)
    assert len(deadlines) == 2
    for deadline in deadlines:
        assert deadline is not None
        assert abs(deadline - before - timedelta(seconds=HOLD_SECONDS)) < timedelta(minutes=1)

    await do(resources, orders.confirm, to_confirm(order))
    assert await deadlines_of(resources, order) == [None, None]


async def test_goods_that_wait_for_a_bank_transfer_are_held_until_it_is_due(
    resources: Resources, product: AProduct
) -> None:
    wish = await to_place(resources.sessions, await a_cart(resources.sessions, (product.variant_id, 2)), is_manual=True)
    await place(resources.sessions, wish)
    due_at = datetime(2026, 12, 24, 18, 0, tzinfo=UTC)

    for _ in range(2):
        asked = AwaitTransfer(order_id=wish.order_id, payment_id=wish.payment_id, due_at=due_at)
        await do(resources, orders.await_transfer, asked)

    async with resources.sessions() as session:
        held = await session.execute(
            text("SELECT expires_at, quantity FROM stock_holds WHERE order_id = :id"), {"id": wish.order_id}
        )
        assert [tuple(row) for row in held] == [(due_at, 2)]


async def test_a_hold_is_one_row_however_often_its_order_is_placed(resources: Resources, product: AProduct) -> None:
    wish = await to_place(resources.sessions, await a_cart(resources.sessions, (product.variant_id, 2)))

    await asyncio.gather(*(place(resources.sessions, wish) for _ in range(10)))

    assert await books_of(resources, [product.variant_id]) == [(9, 2, 9, 2, 2)]


# --- what gives goods back, asked for again and again -----------------------------------------------------------------


async def sent(resources: Resources, order: AnOrder) -> UUID:
    plan = to_plan(order)
    await do(resources, parcels.plan, plan)
    await do(resources, parcels.charge, to_ship(order, plan.fulfillment_id))
    await do(resources, parcels.ship, to_ship(order, plan.fulfillment_id))
    return plan.fulfillment_id


async def cancelling(resources: Resources, order: AnOrder) -> Deed:
    return orders.cancel, to_cancel(order)


async def cancelling_units(resources: Resources, order: AnOrder) -> Deed:
    [line] = (await lines_of(resources.sessions, order)).values()
    return cancellations.cancel_units, await to_cancel_units(resources, order, (line, 2))


async def unpacking(resources: Resources, order: AnOrder) -> Deed:
    plan = to_plan(order)
    await do(resources, parcels.plan, plan)
    return parcels.cancel, to_move(order, plan.fulfillment_id)


def to_give_up(order: AnOrder, parcel: UUID, why: Undelivered, remedy: Remedy) -> GiveUpParcel:
    return GiveUpParcel(
        order_id=order.order_id,
        fulfillment_id=parcel,
        why=why,
        remedy=remedy,
        is_resellable=True,
        replacement_id=new_id(),
        refund_id=new_id(),
        actor="operator:1",
    )


async def sending_again(resources: Resources, order: AnOrder) -> Deed:
    return undelivered.give_up, to_give_up(order, await sent(resources, order), Undelivered.LOST, Remedy.RESHIP)


async def thinking_better_of_sending_again(resources: Resources, order: AnOrder) -> Deed:
    parcel = await sent(resources, order)
    await do(resources, undelivered.give_up, to_give_up(order, parcel, Undelivered.LOST, Remedy.RESHIP))
    return undelivered.give_up, to_give_up(order, parcel, Undelivered.LOST, Remedy.REFUND)


async def coming_back(resources: Resources, order: AnOrder) -> Deed:
    parcel = await sent(resources, order)
    return undelivered.give_up, to_give_up(order, parcel, Undelivered.RETURNED_TO_SENDER, Remedy.REFUND)


async def returning(resources: Resources, order: AnOrder) -> Deed:
    parcel = await sent(resources, order)
    await do(resources, parcels.deliver, to_move(order, parcel))
    [line] = (await lines_of(resources.sessions, order)).values()
    return returns.receive, await an_approved_return(resources, order, line, 3)


async def an_approved_return(resources: Resources, order: AnOrder, line: UUID, quantity: int) -> ReceiveReturn:
    wish = ReturnWish(
        return_id=new_id(),
        order_id=order.order_id,
        items={line: WantedReturn(quantity=quantity, reason="too small")},
        term=Term(days=30, zone=UTC),
        actor="customer:1",
    )
    await do(resources, returns.request, wish)
    decision = DecideReturn(
        return_id=wish.return_id, order_id=order.order_id, decision=ReturnStatus.APPROVED, actor="operator:1"
    )
    await do(resources, returns.decide, decision)
    return ReceiveReturn(return_id=wish.return_id, order_id=order.order_id, refund_id=new_id(), actor="operator:1")


@pytest.mark.parametrize(
    ("prepare", "on_hand", "reserved"),
    [
        (cancelling, 9, 0),
        (cancelling_units, 9, 1),
        (unpacking, 9, 3),
        (sending_again, 6, 3),
        (thinking_better_of_sending_again, 6, 0),
        (coming_back, 9, 0),
        (returning, 9, 0),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
async def test_goods_are_given_back_once_however_often_and_at_whatever_time_that_is_asked_for(
    resources: Resources,
    product: AProduct,
    prepare: Callable[[Resources, AnOrder], Awaitable[Deed]],
    on_hand: int,
    reserved: int,
) -> None:
    order = await a_confirmed_order(resources.sessions, (product.variant_id, 3))
    step, request = await prepare(resources, order)

    await asyncio.gather(*(do(resources, step, request) for _ in range(5)))
    await do(resources, step, request)

    assert await books_of(resources, [product.variant_id]) == [(on_hand, reserved, on_hand, reserved, reserved)]


# --- thousands of them ------------------------------------------------------------------------------------------------


class Depot:
    """Three variants, and all the orders for them; every step is taken once, twice or three times."""

    def __init__(self, resources: Resources, products: list[AProduct], chance: random.Random) -> None:
        self.resources = resources
        self.variants = sorted(product.variant_id for product in products)
        self.chance = chance
        self.done = 0
        self.worked = Counter[str]()
        self.orders: list[AnOrder] = []
        self.parcels: list[tuple[AnOrder, UUID]] = []

    async def take(self, step: Callable[..., Awaitable[Any]], request: Any) -> bool:
        """The step's activity is delivered so often; the books must be right after each delivery."""
        is_done = True
        for _ in range(self.chance.choice((1, 1, 2, 3))):
            try:
                await do(self.resources, step, request)
                self.worked[step.__name__] += 1
            except Refusal:
                is_done = False
            self.done += 1
            for on_hand, reserved, ledger_on_hand, ledger_reserved, held in await books_of(
                self.resources, self.variants
            ):
                assert (on_hand, reserved) == (ledger_on_hand, ledger_reserved)
                assert reserved == held
        return is_done

    def some_order(self) -> AnOrder | None:
        return self.chance.choice(self.orders[-12:]) if self.orders else None

    async def an_order_comes(self) -> None:
        wanted = self.chance.sample(self.variants, self.chance.randint(1, 3))
        cart = await a_cart(self.resources.sessions, *((variant, self.chance.randint(1, 3)) for variant in wanted))
        wish = await to_place(self.resources.sessions, cart)
        try:
            placed = await place(self.resources.sessions, wish)
        except Refusal:
            return
        await place(self.resources.sessions, wish)
        self.done += 2
        order = AnOrder(
            order_id=wish.order_id,
            order_number=wish.order_number,
            payment_id=wish.payment_id,
            cart_id=cart,
            total=placed.total,
            reference=f"pi_{wish.order_id.hex}",
        )
        self.orders.append(order)
        if self.chance.random() < 0.8:
            await self.take(orders.confirm, to_confirm(order))

    async def an_order_is_cancelled(self) -> None:
        if order := self.some_order():
            reason = self.chance.choice((CancelReason.CUSTOMER, CancelReason.PAYMENT_EXPIRED))
            await self.take(orders.cancel, to_cancel(order, reason=reason, money=MoneyBack.VOIDED))

    async def units_are_cancelled(self) -> None:
        if order := self.some_order():
            line = self.chance.choice(list((await lines_of(self.resources.sessions, order)).values()))
            request = await to_cancel_units(self.resources, order, (line, self.chance.randint(1, 2)))
            await self.take(cancellations.cancel_units, request)

    async def a_parcel_is_packed(self) -> None:
        if order := self.some_order():
            lines = list((await lines_of(self.resources.sessions, order)).values())
            units = [(self.chance.choice(lines), self.chance.randint(1, 2))] if self.chance.random() < 0.6 else []
            plan = to_plan(order, *units)
            if await self.take(parcels.plan, plan):
                self.parcels.append((order, plan.fulfillment_id))

    async def a_parcel_is_shipped(self) -> None:
        if self.parcels:
            order, parcel = self.chance.choice(self.parcels[-12:])
            if await self.take(parcels.charge, to_ship(order, parcel)):
                await self.take(parcels.ship, to_ship(order, parcel))

    async def a_parcel_is_unpacked(self) -> None:
        if self.parcels:
            order, parcel = self.chance.choice(self.parcels[-12:])
            await self.take(parcels.cancel, to_move(order, parcel))

    async def a_parcel_is_delivered(self) -> None:
        if self.parcels:
            order, parcel = self.chance.choice(self.parcels[-12:])
            await self.take(parcels.deliver, to_move(order, parcel))

    async def a_parcel_is_given_up(self) -> None:
        if self.parcels:
            order, parcel = self.chance.choice(self.parcels[-12:])
            request = to_give_up(order, parcel, self.chance.choice(list(Undelivered)), self.chance.choice(list(Remedy)))
            if await self.take(undelivered.give_up, request) and request.remedy is Remedy.RESHIP:
                self.parcels.append((order, request.replacement_id))

    async def goods_are_returned(self) -> None:
        if order := self.some_order():
            line = self.chance.choice(list((await lines_of(self.resources.sessions, order)).values()))
            try:
                request = await an_approved_return(self.resources, order, line, self.chance.randint(1, 2))
            except Refusal:
                return
            await self.take(returns.receive, request)

    async def stock_is_counted(self) -> None:
        variant, change = self.chance.choice(self.variants), self.chance.randint(-3, 6)
        if change:
            with suppress(Refusal):
                async with self.resources.sessions.begin() as session:
                    await inventory.adjust(session, variant, change, reason="counted", actor="admin:1")
            self.done += 1


DEEDS = [
    Depot.an_order_comes,
    Depot.an_order_comes,
    Depot.an_order_is_cancelled,
    Depot.units_are_cancelled,
    Depot.a_parcel_is_packed,
    Depot.a_parcel_is_packed,
    Depot.a_parcel_is_shipped,
    Depot.a_parcel_is_shipped,
    Depot.a_parcel_is_unpacked,
    Depot.a_parcel_is_delivered,
    Depot.a_parcel_is_given_up,
    Depot.goods_are_returned,
    Depot.stock_is_counted,
]


@pytest.mark.parametrize(
    ("steps", "seed"),
    [(600, 3), pytest.param(10_000, None, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])],
)
async def test_the_ledger_adds_up_after_each_of_thousands_of_steps_of_which_many_come_twice(
    resources: Resources, steps: int, seed: int | None
) -> None:
    seed = seed or random.randrange(2**32)  # noqa: S311 (no secret)
    print(f"seed {seed}")
    products = [await a_product(resources.sessions, price="3.33", stock=30) for _ in range(3)]
    depot = Depot(resources, products, random.Random(seed))  # noqa: S311 (to be played again)

    while depot.done < steps:
        await depot.chance.choice(DEEDS)(depot)

    deeds = {"confirm", "cancel", "cancel_units", "plan", "charge", "ship", "deliver", "give_up", "receive"}
    assert set(depot.worked) == deeds
