"""Orders that gift cards and store credit pay: what is taken, what goes back, and that it adds up."""

import asyncio
from collections import Counter
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from db import baskets, cancellations, carts, credit, orders, parcels, refunds
from db.base import new_id
from db.cancellations import CancellationWish
from db.placement import place_or_refuse
from db.refunds import RefundWish
from domain.errors import Refusal
from domain.money import Money
from domain.orders import PlaceOrder
from domain.payments import MoneyBack
from domain.refunds import PaymentRefund, RefundTo, SettleRefund
from domain.shipping import CancelUnits, Units
from runtime.resources import Resources
from tests.support.catalog import a_product, stock_of
from tests.support.credit import a_customer, a_gift_card, balance_of, expire, store_credit
from tests.support.orders import (
    AnOrder,
    a_cart,
    lines_of,
    place,
    to_cancel,
    to_confirm,
    to_place,
    to_plan,
    to_ship,
)

SHIPPING = 499


async def pays_with(resources: Resources, cart_id: UUID, *cards: UUID, uses_store_credit: bool = False) -> None:
    async with resources.sessions.begin() as session:
        cart = await carts.editable(session, cart_id)
        for card in cards:
            carts.enter_gift_card(cart, card)
        carts.use_store_credit(cart, wanted=uses_store_credit)


async def a_placed(resources: Resources, request: PlaceOrder) -> AnOrder:
    placed = await place(resources.sessions, request)
    return AnOrder(
        order_id=request.order_id,
        order_number=request.order_number,
        payment_id=request.payment_id,
        cart_id=request.cart_id,
        total=placed.total,
        reference=f"pi_{uuid4().hex}",
    )


async def a_paid_order(
    resources: Resources,
    *cards: UUID,
    units: int = 5,
    user_id: UUID | None = None,
    uses_store_credit: bool = False,
) -> AnOrder:
    """Of units at 10.00 each, confirmed; its ``total`` is what was due."""
    product = await a_product(resources.sessions, price="10.00", stock=20)
    cart = await a_cart(resources.sessions, (product.variant_id, units), user_id=user_id)
    await pays_with(resources, cart, *cards, uses_store_credit=uses_store_credit)
    order = await a_placed(resources, await to_place(resources.sessions, cart))
    async with resources.sessions.begin() as session:
        await orders.confirm(session, to_confirm(order))
    return order


async def ship(resources: Resources, order: AnOrder, units: int | None = None) -> int:
    """What the parcel captures."""
    [line] = (await lines_of(resources.sessions, order)).values()
    plan = to_plan(order, *([(line, units)] if units else []))
    async with resources.sessions.begin() as session:
        await parcels.plan(session, plan)
        charge = await parcels.charge(session, to_ship(order, plan.fulfillment_id))
        await parcels.ship(session, to_ship(order, plan.fulfillment_id))
    return charge.amount.minor


async def cancel_units(resources: Resources, order: AnOrder, units: int) -> None:
    [line] = (await lines_of(resources.sessions, order)).values()
    wish = CancellationWish(cancellation_id=new_id(), order_id=order.order_id, reason="a test", actor="customer:1")
    for _ in range(2):
        async with resources.sessions.begin() as session:
            await cancellations.take_in(session, wish)
            await cancellations.cancel_units(
                session,
                CancelUnits(
                    cancellation_id=wish.cancellation_id,
                    order_id=order.order_id,
                    items=[Units(order_line_id=line, quantity=units)],
                    actor="customer:1",
                ),
            )


async def refund(resources: Resources, order: AnOrder, amount: int | None, *, to: RefundTo = RefundTo.ORIGIN) -> Any:
    """The refund as it is once the provider, if it was asked, has agreed."""
    wish = RefundWish(
        refund_id=new_id(),
        order_id=order.order_id,
        reason="a test",
        actor="operator:1",
        amount=Money(amount, "USD") if amount else None,
        goes_to=to,
    )
    for _ in range(2):
        async with resources.sessions.begin() as session:
            made = await refunds.request(session, wish)
            asked = made.asks_somebody
    outcome = PaymentRefund(is_refunded=True, reference=f"re_{uuid4().hex}")
    if asked:
        for _ in range(2):
            async with resources.sessions.begin() as session:
                await refunds.settle(
                    session, SettleRefund(refund_id=wish.refund_id, order_id=order.order_id, outcome=outcome)
                )
    async with resources.sessions() as session:
        return await refunds.by_id(session, wish.refund_id)


async def books_of(resources: Resources, order: AnOrder) -> Any:
    async with resources.sessions() as session:
        found = await session.execute(BOOKS, {"order_id": order.order_id})
        return found.one()


BOOKS = text(
    """
    SELECT orders.total, orders.credit, payments.provider, payments.amount, payments.captured, payments.refunded,
           payments.credited, payments.status
    FROM orders JOIN payments ON payments.order_id = orders.id WHERE orders.id = :order_id
    """
)


async def test_twenty_checkouts_at_once_spend_of_a_card_what_is_on_it(resources: Resources) -> None:
    card, _ = await a_gift_card(resources.sessions, "10.00")
    product = await a_product(resources.sessions, price="1.01", stock=100)  # with shipping 6.00
    requests = []
    for number in range(20):
        cart = await a_cart(resources.sessions, (product.variant_id, 1), email=f"shopper.{number}@example.com")
        await pays_with(resources, cart, card)
        requests.append(await to_place(resources.sessions, cart))

    answers = await asyncio.gather(
        *(place_or_refuse(resources.sessions, request, provider="stripe") for request in requests)
    )

    assert sorted(answer.order.total.minor for answer in answers if answer.order) == [0, 200]
    refusals = Counter((each.refused.code, each.refused.facts["reason"]) for each in answers if each.refused)
    assert refusals == {("gift_card_not_usable", "empty"): 18}
    assert await balance_of(resources.sessions, card) == (0, 0)
    assert (await stock_of(resources.sessions, product.variant_id)).reserved == 2


async def test_two_cards_in_two_carts_in_other_order_do_not_wait_for_each_other(resources: Resources) -> None:
    one, other = [(await a_gift_card(resources.sessions, "100.00"))[0] for _ in range(2)]
    product = await a_product(resources.sessions, price="10.00", stock=100)
    requests = []
    for cards in [(one, other), (other, one)] * 4:
        cart = await a_cart(resources.sessions, (product.variant_id, 1))
        await pays_with(resources, cart, *cards)
        requests.append(await to_place(resources.sessions, cart))

    placed = await asyncio.gather(*(place(resources.sessions, request) for request in requests))

    assert {each.total.minor for each in placed} == {0}
    left = [await balance_of(resources.sessions, card) for card in (one, other)]
    assert sum(balance for balance, _ in left) == 20_000 - 8 * 1499
    assert all(balance == entries for balance, entries in left)


async def test_the_provider_is_asked_for_what_credit_leaves_and_a_decline_gives_it_back_once(
    resources: Resources,
) -> None:
    user = await a_customer(resources.sessions)
    card, _ = await a_gift_card(resources.sessions, "10.00")
    mine = await store_credit(resources.sessions, user, "5.00")
    product = await a_product(resources.sessions, price="10.00", stock=20)
    cart = await a_cart(resources.sessions, (product.variant_id, 2), user_id=user)
    await pays_with(resources, cart, card, uses_store_credit=True)

    order = await a_placed(resources, await to_place(resources.sessions, cart))

    assert order.total.minor == 2499 - 1500
    assert (await books_of(resources, order))[:4] == (2499, 1500, "stripe", 999)
    assert await balance_of(resources.sessions, card) == (0, 0)
    assert await balance_of(resources.sessions, mine) == (0, 0)
    for _ in range(2):
        async with resources.sessions.begin() as session:
            await orders.cancel(session, to_cancel(order, money=MoneyBack.NOTHING_TAKEN))
    assert await balance_of(resources.sessions, card) == (1000, 1000)
    assert await balance_of(resources.sessions, mine) == (500, 500)
    again = await a_placed(resources, await to_place(resources.sessions, cart))
    assert again.total.minor == 999


async def test_where_credit_pays_all_nobody_is_asked(resources: Resources) -> None:
    card, _ = await a_gift_card(resources.sessions, "100.00")

    order = await a_paid_order(resources, card)

    assert order.total.minor == 0
    assert (await books_of(resources, order))[:4] == (5499, 5499, "nothing", 0)
    assert await balance_of(resources.sessions, card) == (4501, 4501)


async def test_a_look_into_the_cart_takes_nothing(resources: Resources) -> None:
    card, _ = await a_gift_card(resources.sessions, "10.00")
    product = await a_product(resources.sessions, price="10.00", stock=20)
    cart = await a_cart(resources.sessions, (product.variant_id, 1))
    await pays_with(resources, cart, card)

    async with resources.sessions.begin() as session:
        found = await baskets.priced(session, cart)

    assert found is not None
    assert (found.tender.credit, found.tender.due.minor) == (1000, 499)
    assert await balance_of(resources.sessions, card) == (1000, 1000)


@pytest.mark.parametrize("reason", ["expired", "disabled", "other_currency", "empty"])
async def test_a_card_that_cannot_pay_keeps_the_order_from_being_placed(resources: Resources, reason: str) -> None:
    currency = "EUR" if reason == "other_currency" else "USD"
    card, _ = await a_gift_card(resources.sessions, "10.00", currency=currency)
    product = await a_product(resources.sessions, price="10.00", stock=20)
    cart = await a_cart(resources.sessions, (product.variant_id, 1))
    await pays_with(resources, cart, card)
    match reason:
        case "expired":
            await expire(resources.sessions, card)
        case "disabled":
            async with resources.sessions.begin() as session:
                await credit.disable(session, card, actor="operator:1", words="stolen")
        case "empty":
            await a_paid_order(resources, card)
    before = await balance_of(resources.sessions, card)

    with pytest.raises(Refusal) as refusal:
        await place(resources.sessions, await to_place(resources.sessions, cart))

    assert (refusal.value.code, refusal.value.facts["reason"]) == ("gift_card_not_usable", reason)
    assert await balance_of(resources.sessions, card) == before
    assert (await stock_of(resources.sessions, product.variant_id)).reserved == 0


async def test_the_first_parcels_are_paid_with_credit_and_all_adds_up(resources: Resources) -> None:
    card, _ = await a_gift_card(resources.sessions, "25.00")
    order = await a_paid_order(resources, card)

    captures = [await ship(resources, order, 1), await ship(resources, order, 2), await ship(resources, order)]

    assert captures == [0, 3499 - 2500, 2000]
    books = await books_of(resources, order)
    assert books.captured + books.credit == books.total
    assert books.status == "captured"


async def test_units_that_are_given_up_lower_what_is_captured_first_and_then_give_credit_back(
    resources: Resources,
) -> None:
    card, _ = await a_gift_card(resources.sessions, "25.00")
    order = await a_paid_order(resources, card)

    await cancel_units(resources, order, 2)
    assert await balance_of(resources.sessions, card) == (0, 0)
    await cancel_units(resources, order, 2)  # 14.99 are left to pay

    assert await balance_of(resources.sessions, card) == (2500 - 1499, 2500 - 1499)
    assert await ship(resources, order) == 0


async def test_a_cancelled_order_gives_back_what_units_before_have_not(resources: Resources) -> None:
    card, _ = await a_gift_card(resources.sessions, "100.00")
    order = await a_paid_order(resources, card)
    await cancel_units(resources, order, 2)
    assert await balance_of(resources.sessions, card) == (6501, 6501)

    for _ in range(2):
        async with resources.sessions.begin() as session:
            await orders.cancel(session, to_cancel(order, money=MoneyBack.NOTHING_TAKEN))

    assert await balance_of(resources.sessions, card) == (10_000, 10_000)


async def test_refunds_give_back_what_the_provider_took_and_then_credit_the_last_first(resources: Resources) -> None:
    user = await a_customer(resources.sessions)
    card, _ = await a_gift_card(resources.sessions, "10.00")
    mine = await store_credit(resources.sessions, user, "5.00")
    order = await a_paid_order(resources, card, user_id=user, uses_store_credit=True)  # 39.99 by card
    await ship(resources, order)

    first = await refund(resources, order, 3000)
    assert (first.of_payment, first.of_credit) == (3000, 0)
    second = await refund(resources, order, 1500)  # 9.99 by card, 5.00 to store credit, 0.01 to the gift card
    assert (second.of_payment, second.of_credit, second.status) == (999, 501, "succeeded")
    assert await balance_of(resources.sessions, mine) == (500, 500)
    assert await balance_of(resources.sessions, card) == (1, 1)
    assert (await books_of(resources, order)).status == "partially_refunded"
    with pytest.raises(Refusal, match="At most USD 9"):
        await refund(resources, order, 1000)
    rest = await refund(resources, order, None)

    assert (rest.amount, rest.of_credit, rest.status) == (999, 999, "succeeded")
    assert await balance_of(resources.sessions, card) == (1000, 1000)
    books = await books_of(resources, order)
    assert (books.refunded, books.status) == (3999, "refunded")


async def test_a_refund_that_the_provider_refuses_leaves_credit_to_be_refunded_in_another_way(
    resources: Resources,
) -> None:
    card, _ = await a_gift_card(resources.sessions, "10.00")
    order = await a_paid_order(resources, card)
    await ship(resources, order)
    wish = RefundWish(refund_id=new_id(), order_id=order.order_id, reason="a test", actor="operator:1")
    async with resources.sessions.begin() as session:
        asked = await refunds.request(session, wish)
    assert (asked.of_payment, asked.of_credit, asked.status) == (4499, 1000, "requested")
    with pytest.raises(Refusal, match="At most USD 0"):
        await refund(resources, order, 1)

    async with resources.sessions.begin() as session:
        await refunds.settle(
            session,
            SettleRefund(
                refund_id=wish.refund_id,
                order_id=order.order_id,
                outcome=PaymentRefund(is_refunded=False, refusal="expired_card"),
            ),
        )

    assert await balance_of(resources.sessions, card) == (0, 0)
    again = await refund(resources, order, None)
    assert (again.of_payment, again.of_credit) == (4499, 1000)
    assert await balance_of(resources.sessions, card) == (1000, 1000)


async def test_what_the_provider_took_can_be_refunded_as_store_credit(resources: Resources) -> None:
    user = await a_customer(resources.sessions)
    card, _ = await a_gift_card(resources.sessions, "10.00")
    order = await a_paid_order(resources, card, user_id=user)
    await ship(resources, order)

    made = await refund(resources, order, 5000, to=RefundTo.STORE_CREDIT)

    assert (made.of_payment, made.of_credit, made.status) == (4499, 501, "succeeded")
    async with resources.sessions() as session:
        [mine] = await credit.of_customer(session, user)
    assert await balance_of(resources.sessions, mine.id) == (5000, 5000)
    assert await balance_of(resources.sessions, card) == (0, 0)
    books = await books_of(resources, order)
    assert (books.refunded, books.credited, books.status) == (0, 4499, "partially_refunded")
    with pytest.raises(Refusal, match="At most USD 4"):
        await refund(resources, order, 500)
    assert (await refund(resources, order, 499)).of_credit == 499
    assert await balance_of(resources.sessions, card) == (499, 499)


async def test_a_guest_gets_no_store_credit(resources: Resources) -> None:
    order = await a_paid_order(resources)
    await ship(resources, order)

    with pytest.raises(Refusal) as refusal:
        await refund(resources, order, 100, to=RefundTo.STORE_CREDIT)

    assert refusal.value.code == "store_credit_needs_account"


async def test_nobody_is_charged_what_they_were_not_told(resources: Resources) -> None:
    card, _ = await a_gift_card(resources.sessions, "10.00")
    product = await a_product(resources.sessions, price="10.00", stock=20)
    cart = await a_cart(resources.sessions, (product.variant_id, 1))
    await pays_with(resources, cart, card)
    request = await to_place(resources.sessions, cart)
    async with resources.sessions.begin() as session:
        await session.execute(
            text("UPDATE checkouts SET expected_due = 498 WHERE order_id = :id"), {"id": request.order_id}
        )

    with pytest.raises(Refusal) as refusal:
        await place(resources.sessions, request)

    assert refusal.value.code == "price_changed"
    assert refusal.value.facts["amount_due"] == {"amount": "4.99", "currency": "USD"}
    assert await balance_of(resources.sessions, card) == (1000, 1000)


async def test_events_say_what_credit_has_paid_and_what_of_a_refund_goes_where(resources: Resources) -> None:
    user = await a_customer(resources.sessions)
    card, _ = await a_gift_card(resources.sessions, "10.00")
    order = await a_paid_order(resources, card, user_id=user)  # 44.99 are left to pay
    await ship(resources, order)
    await refund(resources, order, 1500, to=RefundTo.STORE_CREDIT)
    await refund(resources, order, None)

    assert await told_of_money(resources, order, "order.placed", "refund.requested", "refund.succeeded") == [
        ("order.placed", usd("54.99"), usd("10.00"), None),
        ("refund.requested", usd("15.00"), usd("0.00"), "store_credit"),
        ("refund.succeeded", usd("15.00"), usd("0.00"), "store_credit"),
        ("refund.requested", usd("39.99"), usd("10.00"), "origin"),
        ("refund.succeeded", usd("39.99"), usd("10.00"), "origin"),
    ]


async def test_events_of_cancellations_say_what_has_gone_back_to_credit(resources: Resources) -> None:
    card, _ = await a_gift_card(resources.sessions, "50.00")
    order = await a_paid_order(resources, card)  # 4.99 are left to pay
    await cancel_units(resources, order, 1)
    assert await balance_of(resources.sessions, card) == (501, 501)
    async with resources.sessions.begin() as session:
        await orders.cancel(session, to_cancel(order, money=MoneyBack.NOTHING_TAKEN))

    query = """
        SELECT type, payload -> 'credit_back' FROM outbox
        WHERE key = :order_id AND type IN ('order.units_cancelled', 'order.cancelled') ORDER BY id
    """
    async with resources.sessions() as session:
        found = await session.execute(text(query), {"order_id": str(order.order_id)})
        assert [tuple(row) for row in found] == [
            ("order.units_cancelled", usd("5.01")),
            ("order.cancelled", usd("44.99")),
        ]
    assert await balance_of(resources.sessions, card) == (5000, 5000)


async def test_of_units_that_were_paid_ahead_the_refund_says_what_goes_back_to_credit(resources: Resources) -> None:
    card, _ = await a_gift_card(resources.sessions, "50.00")
    product = await a_product(resources.sessions, price="10.00", stock=20)
    cart = await a_cart(resources.sessions, (product.variant_id, 5))
    await pays_with(resources, cart, card)
    order = await a_placed(resources, await to_place(resources.sessions, cart, is_manual=True))  # 4.99 by transfer
    async with resources.sessions.begin() as session:
        await orders.confirm(session, to_confirm(order, is_captured=True))

    await cancel_units(resources, order, 1)

    query = """
        SELECT type, payload -> 'amount', payload -> 'credit_back', payload -> 'of_credit' FROM outbox
        WHERE key = :order_id AND type IN ('order.units_cancelled', 'refund.requested') ORDER BY id
    """
    async with resources.sessions() as session:
        found = await session.execute(text(query), {"order_id": str(order.order_id)})
        assert [tuple(row) for row in found] == [
            ("order.units_cancelled", usd("10.00"), usd("0.00"), None),
            ("refund.requested", usd("10.00"), None, usd("5.01")),
        ]


def usd(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "USD"}


async def told_of_money(resources: Resources, order: AnOrder, *types: str) -> list[tuple[Any, ...]]:
    """Each of these events with its amount, what of it is credit, and where it goes."""
    query = """
        SELECT type, coalesce(payload -> 'total', payload -> 'amount'),
               coalesce(payload -> 'credit', payload -> 'of_credit'), payload ->> 'to'
        FROM outbox WHERE key = :order_id AND type = ANY(:types) ORDER BY id
    """
    async with resources.sessions() as session:
        found = await session.execute(text(query), {"order_id": str(order.order_id), "types": list(types)})
        return [tuple(row) for row in found]
