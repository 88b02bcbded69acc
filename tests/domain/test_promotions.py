"""What promotions say of themselves, and what holds of every cart whatever they are."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.baskets import Basket, Code, Line, Shopper
from domain.money import Money, Rounding
from domain.pricing import Priced, price
from domain.promotions import (
    AmountOff,
    Benefit,
    BuyAndGet,
    Combination,
    Items,
    On,
    PercentOff,
    Promotion,
    PromotionIndex,
    Reason,
    normalised,
    reduction,
)
from tests.support.baskets import AT, a_basket, a_line

TEN_PERCENT = PercentOff(percent=Decimal(10), on=On.ORDER)
FREE_SHIPPING = PercentOff(percent=Decimal(100), on=On.SHIPPING)


def a_promotion(number: int = 1, benefit: Benefit = TEN_PERCENT, **rule: Any) -> Promotion:
    return Promotion(**{"id": UUID(int=number), "name": f"Promotion {number}", "benefit": benefit, **rule})


def why(priced: Priced) -> list[tuple[Reason, str]]:
    return [(no.reason, no.detail) for no in priced.not_applied]


BOOTS = a_line(4000, brand="Acme")

NOT_APPLIED = {
    "not yet": (
        a_promotion(starts_at=AT + timedelta(hours=1)),
        Reason.NOT_YET,
        "It begins at 2026-03-15 13:00 UTC.",
    ),
    "over": (a_promotion(ends_at=AT), Reason.OVER, "It was over at 2026-03-15 12:00 UTC."),
    "a group": (
        a_promotion(groups=frozenset({"trade"})),
        Reason.NOT_FOR_THIS_CUSTOMER,
        "It is for certain customers only.",
    ),
    "first order": (
        a_promotion(is_for_first_order=True),
        Reason.NOT_FOR_THIS_CUSTOMER,
        "It is for a customer's first order.",
    ),
    "items": (
        a_promotion(items=Items(brands=frozenset({"Bolt"}))),
        Reason.NO_ELIGIBLE_ITEM,
        "Nothing in the cart is part of it.",
    ),
    "too few": (
        a_promotion(benefit=BuyAndGet(buy=1, get=1)),
        Reason.NO_ELIGIBLE_ITEM,
        "There must be 1 to buy and 1 to get for it in the cart.",
    ),
    "minimum": (
        a_promotion(minimums={"USD": 5000}),
        Reason.MINIMUM_NOT_REACHED,
        "What counts for it costs USD 40.00; it begins at USD 50.00.",
    ),
    "currency": (
        a_promotion(benefit=AmountOff(amounts={"EUR": 500}, on=On.ORDER)),
        Reason.NOT_IN_THIS_CURRENCY,
        "It does not apply to orders in USD.",
    ),
    "shipping": (
        a_promotion(benefit=FREE_SHIPPING),
        Reason.NOTHING_TO_REDUCE,
        "Nothing that it could lower costs anything.",
    ),
}


@pytest.mark.parametrize("case", NOT_APPLIED.values(), ids=NOT_APPLIED.keys())
def test_a_promotion_that_takes_nothing_off_says_why(case: tuple[Promotion, Reason, str]) -> None:
    promotion, reason, detail = case

    priced = price(a_basket(BOOTS, shopper=Shopper(orders_before=1)), [promotion])

    assert (priced.totals.discount.minor, priced.applied) == (0, ())
    assert why(priced) == [(reason, detail)]


def test_used_up_is_told_of_the_promotion_of_the_code_and_of_the_customer() -> None:
    by_all, by_code, by_you = (a_promotion(number, needs_code=True) for number in (1, 2, 3))
    basket = a_basket(
        BOOTS,
        codes=(
            Code("ALL", by_all.id),
            Code("CODE", by_code.id, is_used_up=True),
            Code("YOU", by_you.id),
        ),
        used_up=frozenset({by_all.id}),
        used_up_by_shopper=frozenset({by_you.id}),
    )

    priced = price(basket, [by_all, by_code, by_you])

    assert [(no.code, no.reason) for no in priced.not_applied] == [
        ("ALL", Reason.USED_UP),
        ("CODE", Reason.USED_UP),
        ("YOU", Reason.USED_UP_BY_YOU),
    ]


def test_codes_that_nothing_stands_behind_and_codes_for_the_same_are_told_apart() -> None:
    promotion = a_promotion(needs_code=True)
    basket = a_basket(
        BOOTS,
        codes=(
            Code("NOSUCH"),
            Code("GONE", UUID(int=9)),
            Code("FIRST", promotion.id),
            Code("SECOND", promotion.id),
        ),
    )

    priced = price(basket, [promotion])

    assert [(no.code, no.reason) for no in priced.not_applied] == [
        ("NOSUCH", Reason.UNKNOWN),
        ("GONE", Reason.OVER),
        ("SECOND", Reason.NOT_COMBINABLE),
    ]
    assert [(applied.code, applied.amount.minor) for applied in priced.applied] == [("FIRST", 400)]


def test_what_is_left_out_beside_others_names_the_winner() -> None:
    rivals = [
        a_promotion(1, combination=Combination.BEST_OF),
        a_promotion(2, AmountOff(amounts={"USD": 1000}, on=On.ORDER), combination=Combination.BEST_OF),
    ]
    alone = a_promotion(3, combination=Combination.EXCLUSIVE)

    assert why(price(a_basket(BOOTS), rivals)) == [
        (Reason.NOT_COMBINABLE, "It is not combined with Promotion 2, which gives more.")
    ]
    assert why(price(a_basket(BOOTS), [rivals[0], alone])) == [
        (Reason.NOT_COMBINABLE, "Promotion 3 is not combined with others.")
    ]
    assert why(price(a_basket(BOOTS), [replace(rivals[0], priority=1), alone])) == [
        (Reason.NOT_COMBINABLE, "It is not combined with others, and others come first.")
    ]


def test_the_trace_tells_what_came_off_which_line() -> None:
    shoes, socks = a_line(3000), a_line(1000)
    promotion = a_promotion(benefit=AmountOff(amounts={"USD": 400}, on=On.ORDER))

    [applied] = price(a_basket(shoes, socks, shipping=499), [promotion]).applied

    assert dict(applied.lines) == {shoes.id: Money(300, "USD"), socks.id: Money(100, "USD")}
    assert (applied.shipping.minor, applied.amount.minor, applied.code) == (0, 400, None)


@pytest.mark.parametrize("typed", ["spring10", " Spring10 ", "SPRING10"])
def test_a_code_is_the_same_however_it_is_typed(typed: str) -> None:
    assert normalised(typed) == "SPRING10"


# --- whatever the cart, whatever the promotions

numbers = st.integers(1, 3)
some_items = st.sampled_from(
    [Items(), Items(brands=frozenset({"Acme"})), Items(products=frozenset({UUID(int=1), UUID(int=2)}))]
)
percents = st.sampled_from([Decimal("0.01"), Decimal("12.5"), Decimal("33.33"), Decimal(100)])


@st.composite
def carts(draw: st.DrawFn) -> tuple[Basket, list[Promotion]]:
    currency = draw(st.sampled_from(["USD", "JPY", "KWD"]))
    lines = draw(st.lists(st.builds(line_in(currency), numbers, st.integers(0, 10**6), st.integers(1, 9)), max_size=6))
    amounts = st.integers(1, 2 * 10**6).map(lambda amount: {currency: amount})
    benefits = st.one_of(
        st.builds(PercentOff, percent=percents, on=st.sampled_from([On.LINE, On.ORDER, On.SHIPPING])),
        st.builds(AmountOff, amounts=amounts, on=st.sampled_from(On)),
        st.builds(BuyAndGet, buy=numbers, get=numbers, percent=percents, gets=st.none() | some_items),
    )
    promotions = draw(st.lists(benefits, max_size=6))
    return (
        a_basket(*lines, shipping=draw(st.integers(0, 5000)), currency=currency),
        [
            a_promotion(
                number,
                benefit,
                items=draw(some_items),
                priority=draw(st.integers(0, 2)),
                combination=draw(st.sampled_from(Combination)),
            )
            for number, benefit in enumerate(promotions, 1)
        ],
    )


def line_in(currency: str) -> Any:
    def line(product: int, unit_price: int, quantity: int) -> Line:
        brand = "Acme" if product == 1 else None
        return a_line(unit_price, quantity, currency=currency, product_id=UUID(int=product), brand=brand)

    return line


@given(carts(), st.randoms(use_true_random=False))
def test_every_cart_adds_up_and_does_not_care_for_the_order_of_its_lines(
    drawn: tuple[Basket, list[Promotion]], dice: Any
) -> None:
    basket, promotions = drawn

    priced = price(basket, promotions)

    totals = priced.totals
    parts = [*(line.total.minor for line in priced.lines), priced.shipping.total.minor]
    assert sum(parts) == totals.total.minor
    assert totals.subtotal.minor + totals.shipping.minor + totals.tax.minor - totals.discount.minor == (
        totals.total.minor
    )
    assert min(parts) >= 0
    assert all(0 <= line.discount.minor <= line.line.total.minor for line in priced.lines)
    assert 0 <= priced.shipping.discount.minor <= priced.shipping.price.minor
    assert sum(applied.amount.minor for applied in priced.applied) == totals.discount.minor
    assert price(basket, PromotionIndex(promotions).for_lines(basket.lines)).totals == totals
    shuffled = list(basket.lines)
    dice.shuffle(shuffled)
    again = price(replace(basket, lines=tuple(shuffled)), promotions)
    assert again.totals == totals
    assert {line.line.id: line.discount for line in again.lines} == {
        line.line.id: line.discount for line in priced.lines
    }


HALVES: dict[str, tuple[Benefit, list[int], list[int]]] = {
    "of each line": (PercentOff(percent=Decimal(10), on=On.LINE), [1, 2, 0], [0, 2, 0]),
    "of the order": (PercentOff(percent=Decimal("2.5"), on=On.ORDER), [0, 1, 0], [0, 0, 0]),
    "of shipping": (PercentOff(percent=Decimal(10), on=On.SHIPPING), [0, 0, 3], [0, 0, 2]),
    "of units": (BuyAndGet(percent=Decimal(10), buy=1, get=1), [1, 0, 0], [0, 0, 0]),
}
"""What is taken off two lines and shipping, with halves up and with halves to the even neighbour."""


@pytest.mark.parametrize(("benefit", "half_up", "half_even"), HALVES.values(), ids=HALVES)
def test_half_a_minor_unit_goes_where_the_shop_says(benefit: Benefit, half_up: list[int], half_even: list[int]) -> None:
    basket = a_basket(a_line(5), a_line(15), shipping=25)

    def taken_off(rounding: Rounding) -> list[int]:
        found = reduction(replace(basket, rounding=rounding), [a_promotion(benefit=benefit)])
        return [*(found.lines.get(line.id, 0) for line in basket.lines), found.shipping]

    assert taken_off(Rounding.HALF_UP) == half_up
    assert taken_off(Rounding.HALF_EVEN) == half_even
