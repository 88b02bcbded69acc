"""Promotions on orders: what is written, how often they can be used, and that no use is lost or counted twice."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from db import baskets, laws, orders, promotions, repairs
from db.placement import place_or_refuse
from db.promotions import NewCode
from domain.audit import Law
from domain.errors import Refusal
from domain.orders import AwaitCustomer, CancelOrder, CancelReason, OrderStatus, PlacedOrder, PlaceOrder
from domain.payments import Answer, PaymentAuthorization
from domain.promotions import AmountOff, On, Promotion, Reason
from domain.shipping import Remedy
from runtime.resources import Resources
from tests.db.test_undelivered import given_up, sent, to_give_up
from tests.support.catalog import a_product, stock_of
from tests.support.orders import AnOrder, a_cart, place, to_cancel, to_confirm, to_place, written_about
from tests.support.promotions import a_code, a_promotion, counted, enter
from tests.support.statements import counted_statements


async def a_cart_with(resources: Resources, code: str, *, price: str = "50.00", **otherwise: Any) -> UUID:
    product = await a_product(resources.sessions, price=price, stock=100)
    cart = await a_cart(resources.sessions, (product.variant_id, 1), **otherwise)
    await enter(resources.sessions, cart, code)
    return cart


async def an_order_with(resources: Resources, code: str, **otherwise: Any) -> tuple[PlaceOrder, PlacedOrder]:
    request = await to_place(resources.sessions, await a_cart_with(resources, code, **otherwise))
    return request, await place(resources.sessions, request)


async def cancel(resources: Resources, request: PlaceOrder) -> None:
    order: Any = request
    async with resources.sessions.begin() as session:
        await orders.cancel(session, to_cancel(order))


async def reason_of(resources: Resources, cart: UUID, **otherwise: Any) -> str:
    """Why the cart is not placed, of which nothing is written."""
    request = await to_place(resources.sessions, cart, **otherwise)
    before = await written_about(resources.sessions, request.order_id, cart)
    with pytest.raises(Refusal) as refused:
        await place(resources.sessions, request)
    assert await written_about(resources.sessions, request.order_id, cart) == before
    return f"{refused.value.code} {refused.value.facts.get('reason', '')}".strip()


async def test_an_order_keeps_what_was_taken_off_and_why(resources: Resources) -> None:
    code = a_code()
    promotion = await a_promotion(resources.sessions, codes=[NewCode(code=code)])

    request, placed = await an_order_with(resources, code)

    assert placed.total.minor == 5000 - 500 + 499
    async with resources.sessions() as session:
        order = (
            await session.execute(
                text("SELECT subtotal, discount, shipping_discount, total, pricing FROM orders WHERE id = :id"),
                {"id": request.order_id},
            )
        ).one()
        line = (
            await session.execute(
                text("SELECT id, discount FROM order_lines WHERE order_id = :id"), {"id": request.order_id}
            )
        ).one()
    assert order[:4] == (5000, 500, 0, 4999)
    assert line.discount == 500
    assert order.pricing["promotions"] == [
        {
            "id": str(promotion.id),
            "name": promotion.name,
            "code": code,
            "amount": 500,
            "shipping": 0,
            "lines": [{"order_item_id": str(line.id), "amount": 500}],
        }
    ]


async def test_an_order_with_a_promotion_is_placed_in_one_statement_more(resources: Resources) -> None:
    code = a_code()
    await a_promotion(resources.sessions, codes=[NewCode(code=code, usage_limit=5)], usage_limit=5)
    cart = await a_cart_with(resources, code)
    async with resources.sessions() as session:
        await baskets.priced(session, cart)  # from here on the rules are known
    request = await to_place(resources.sessions, cart)

    with counted_statements(resources.engine) as statements:
        await place(resources.sessions, request)

    assert len(statements) <= 7  # one more when somebody has changed the rules in between


async def test_a_code_for_ten_is_used_ten_times_by_fifty_who_come_at_once(resources: Resources) -> None:
    code = a_code()
    promotion = await a_promotion(resources.sessions, codes=[NewCode(code=code, usage_limit=10)], usage_limit=30)
    product = await a_product(resources.sessions, price="50.00", stock=100)
    requests = []
    for number in range(50):
        cart = await a_cart(resources.sessions, (product.variant_id, 1), email=f"shopper.{number}@example.com")
        await enter(resources.sessions, cart, code)
        requests.append(await to_place(resources.sessions, cart))

    answers = await asyncio.gather(
        *(place_or_refuse(resources.sessions, request, provider="stripe") for request in requests)
    )

    refusals = Counter(answer.refused.code for answer in answers if answer.refused)
    assert refusals == {"promotion_used_up": 40}
    assert await counted(resources.sessions, promotion) == (10, 10)
    assert (await stock_of(resources.sessions, product.variant_id)).reserved == 10
    assert {answer.order.total.minor for answer in answers if answer.order} == {4999}


async def test_a_customer_uses_a_promotion_as_often_as_one_may_however_they_write_their_address(
    resources: Resources,
) -> None:
    code = a_code()
    promotion = await a_promotion(resources.sessions, codes=[NewCode(code=code)], usage_limit_per_customer=1)
    mail = f"{uuid4().hex}@example.com"

    request, _ = await an_order_with(resources, code, email=mail)
    again = await a_cart_with(resources, code, email=mail.upper())

    assert await reason_of(resources, again) == "promotion_used_up used_up_by_you"
    await an_order_with(resources, code, email=f"other.{mail}")
    await cancel(resources, request)
    await place(resources.sessions, await to_place(resources.sessions, again))
    assert (await counted(resources.sessions, promotion))[1] == 2


async def test_one_customer_who_comes_twice_at_once_uses_it_once(resources: Resources) -> None:
    code, mail = a_code(), f"{uuid4().hex}@example.com"
    promotion = await a_promotion(resources.sessions, codes=[NewCode(code=code)], usage_limit_per_customer=1)
    requests = [await to_place(resources.sessions, await a_cart_with(resources, code, email=mail)) for _ in range(5)]

    answers = await asyncio.gather(
        *(place_or_refuse(resources.sessions, request, provider="stripe") for request in requests)
    )

    assert Counter(answer.refused.code if answer.refused else "placed" for answer in answers) == {
        "placed": 1,
        "promotion_used_up": 4,
    }
    assert (await counted(resources.sessions, promotion))[1] == 1


async def test_a_use_is_given_back_once_when_its_order_is_cancelled(resources: Resources) -> None:
    code = a_code()
    promotion = await a_promotion(resources.sessions, codes=[NewCode(code=code, usage_limit=1)], usage_limit=1)
    request, _ = await an_order_with(resources, code)
    other = await a_cart_with(resources, code)
    assert await reason_of(resources, other) == "promotion_used_up used_up"

    await asyncio.gather(*(cancel(resources, request) for _ in range(5)))

    assert await counted(resources.sessions, promotion) == (0, 0)
    await place(resources.sessions, await to_place(resources.sessions, other))
    await cancel(resources, request)
    assert await counted(resources.sessions, promotion) == (1, 1)


@pytest.mark.parametrize(
    ("reason", "answer"),
    [
        (CancelReason.PAYMENT_DECLINED, {"answer": Answer.DECLINED, "decline_code": "insufficient_funds"}),
        (CancelReason.PAYMENT_EXPIRED, {"answer": Answer.DECLINED, "decline_code": "expired"}),
    ],
)
async def test_a_use_is_given_back_when_a_payment_is_declined_or_its_customer_does_not_come_back_from_the_bank(
    resources: Resources, reason: CancelReason, answer: dict[str, Any]
) -> None:
    code = a_code()
    promotion = await a_promotion(resources.sessions, codes=[NewCode(code=code, usage_limit=1)], usage_limit=1)
    request, _ = await an_order_with(resources, code)
    asked = PaymentAuthorization(
        answer=Answer.REQUIRES_ACTION, reference=f"pi_{uuid4().hex}", redirect_url="https://bank"
    )
    waiting = AwaitCustomer(order_id=request.order_id, payment_id=request.payment_id, authorization=asked)
    declined = PaymentAuthorization(reference=asked.reference, **answer)
    undone = CancelOrder(order_id=request.order_id, reason=reason, declined=declined)

    async with resources.sessions.begin() as session:
        await orders.await_customer(session, waiting)
    assert await counted(resources.sessions, promotion) == (1, 1)
    for _ in range(2):
        async with resources.sessions.begin() as session:
            await orders.cancel(session, undone)

    assert await counted(resources.sessions, promotion) == (0, 0)
    await place(resources.sessions, await to_place(resources.sessions, await a_cart_with(resources, code)))


async def test_a_use_is_given_back_when_nothing_of_its_order_arrives(resources: Resources) -> None:
    code = a_code()
    promotion = await a_promotion(resources.sessions, codes=[NewCode(code=code, usage_limit=1)], usage_limit=1)
    request, placed = await an_order_with(resources, code)
    order = AnOrder(
        order_id=request.order_id,
        order_number=request.order_number,
        payment_id=request.payment_id,
        cart_id=request.cart_id,
        total=placed.total,
        reference=f"pi_{uuid4().hex}",
    )
    async with resources.sessions.begin() as session:
        await orders.confirm(session, to_confirm(order))
    parcel = await sent(resources, order)
    assert await counted(resources.sessions, promotion) == (1, 1)

    told = await given_up(resources, order, to_give_up(order, parcel, Remedy.REFUND))

    assert told.state.order_status is OrderStatus.CANCELLED
    assert await counted(resources.sessions, promotion) == (0, 0)


async def test_a_placement_that_is_repeated_uses_it_once(resources: Resources) -> None:
    code = a_code()
    promotion = await a_promotion(resources.sessions, codes=[NewCode(code=code, usage_limit=3)], usage_limit=3)
    request, placed = await an_order_with(resources, code)

    assert await place(resources.sessions, request) == placed
    assert await counted(resources.sessions, promotion) == (1, 1)


async def test_who_has_seen_that_a_code_is_used_up_may_order_without_it(resources: Resources) -> None:
    code = a_code()
    await a_promotion(resources.sessions, codes=[NewCode(code=code, usage_limit=1)])
    await an_order_with(resources, code)
    cart = await a_cart_with(resources, code)

    assert await reason_of(resources, cart, expected_total_minor=4999) == "promotion_used_up used_up"
    async with resources.sessions() as session:
        found = await baskets.priced(session, cart)
    assert found is not None
    assert [(no.code, no.reason) for no in found.priced.not_applied if no.code] == [(code, Reason.USED_UP)]
    placed = await place(resources.sessions, await to_place(resources.sessions, cart, expected_total_minor=5499))
    assert placed.total.minor == 5499


async def test_a_promotion_that_ended_since_the_customer_saw_the_total_is_told_as_another_total(
    resources: Resources,
) -> None:
    code = a_code()
    promotion = await a_promotion(resources.sessions, codes=[NewCode(code=code)])
    cart = await a_cart_with(resources, code)
    async with resources.sessions.begin() as session:
        await session.execute(
            text("UPDATE promotions SET ends_at = :at WHERE id = :id"),
            {"at": datetime.now(UTC) - timedelta(minutes=1), "id": promotion.id},
        )

    assert await reason_of(resources, cart, expected_total_minor=4999) == "price_changed"


async def test_a_cart_shows_what_its_own_order_has_used(resources: Resources) -> None:
    code = a_code()
    await a_promotion(resources.sessions, codes=[NewCode(code=code, usage_limit=1)], usage_limit=1)
    request, placed = await an_order_with(resources, code)

    async with resources.sessions() as session:
        found = await baskets.priced(session, request.cart_id)

    assert found is not None
    assert found.priced.totals.total == placed.total


async def test_rules_are_read_again_only_when_they_were_changed(resources: Resources) -> None:
    code = a_code()
    off = AmountOff(amounts={"USD": 100}, on=On.ORDER)
    promotion = await a_promotion(resources.sessions, off, codes=[NewCode(code=code)])
    cart = await a_cart_with(resources, code)

    async def total() -> int:
        async with resources.sessions() as session:
            found = await baskets.priced(session, cart)
        assert found is not None
        return found.priced.totals.total.minor

    assert await total() == 5399
    with counted_statements(resources.engine) as statements:
        await total()
    assert len(statements) == 1
    async with resources.sessions.begin() as session:
        await session.execute(text("UPDATE promotions SET is_active = false WHERE id = :id"), {"id": promotion.id})
    assert await total() == 5499


@pytest.mark.parametrize(
    "too_many",
    [
        "UPDATE promotions SET uses = 3 WHERE id = :id",
        "UPDATE promotion_codes SET uses = 3 WHERE promotion_id = :id",
    ],
    ids=["promotion", "code"],
)
async def test_the_database_itself_refuses_a_use_too_many(resources: Resources, too_many: str) -> None:
    promotion = await a_promotion(resources.sessions, codes=[NewCode(code=a_code(), usage_limit=2)], usage_limit=2)

    with pytest.raises(IntegrityError, match="uses_within_limit"):
        async with resources.sessions.begin() as session:
            await session.execute(text(too_many), {"id": promotion.id})


async def breach_of(resources: Resources, promotion: Promotion) -> str | None:
    async with resources.sessions() as session:
        found = await laws.breaches_of(session, Law.PROMOTIONS_ARE_USED_AS_COUNTED, patience_seconds=0)
    return next((breach.words for breach in found if breach.subject == str(promotion.id)), None)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("UPDATE promotions SET uses = 0 WHERE id = :id", "0 for all customers (there are 1)"),
        ("UPDATE promotion_codes SET uses = 2 WHERE promotion_id = :id", "2 for {code} (there are 1)"),
        ("UPDATE promotion_customers SET uses = 0 WHERE promotion_id = :id", "0 for one customer (there are 1)"),
        ("UPDATE promotion_uses SET given_back_at = now() WHERE promotion_id = :id", "0 for order"),
    ],
    ids=["promotion", "code", "customer", "order"],
)
async def test_the_audit_finds_uses_that_no_order_has_and_counts_them_anew(
    resources: Resources, fault: str, told: str
) -> None:
    code = a_code()
    promotion = await a_promotion(
        resources.sessions,
        codes=[NewCode(code=code, usage_limit=3)],
        usage_limit=3,
        usage_limit_per_customer=2,
    )
    await an_order_with(resources, code)
    assert await breach_of(resources, promotion) is None
    async with resources.sessions.begin() as session:
        await session.execute(text(fault), {"id": promotion.id})

    words = await breach_of(resources, promotion)
    assert words is not None
    assert told.format(code=code) in words
    async with resources.sessions.begin() as session:
        assert await repairs.recount_uses(session, promotion.id) is None

    assert await breach_of(resources, promotion) is None
    assert await counted(resources.sessions, promotion) == (1, 1)


async def test_a_code_stands_for_one_promotion(resources: Resources) -> None:
    code = a_code()
    first = await a_promotion(resources.sessions, codes=[NewCode(code=code)])

    with pytest.raises(Refusal) as refused:
        await a_promotion(resources.sessions, codes=[NewCode(code=code)])

    assert (refused.value.code, refused.value.facts) == ("code_taken", {"codes": [code]})
    async with resources.sessions.begin() as session:
        await promotions.add_codes(session, first.id, [NewCode(code=code), NewCode(code=a_code())])
        assert (await promotions.one(session, first.id))["codes"] == 2
