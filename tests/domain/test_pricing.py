"""What an order costs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.money import Money
from domain.pricing import price
from tests.support.baskets import a_basket, a_line

lines = st.lists(st.tuples(st.integers(0, 10**9), st.integers(1, 999)), max_size=30)


def usd(minor: int) -> Money:
    return Money(minor, "USD")


def test_a_total_is_its_lines_and_the_costs_of_shipping() -> None:
    totals = price(a_basket(a_line(1999, 2), a_line(25000), shipping=499)).totals

    assert (totals.subtotal, totals.discount, totals.shipping, totals.tax) == (usd(28998), usd(0), usd(499), usd(0))
    assert totals.total == usd(29497)


def test_nothing_costs_its_shipping() -> None:
    assert price(a_basket(shipping=499)).totals.total == usd(499)


@given(lines, st.integers(0, 10**6))
def test_a_total_is_exact_to_the_minor_unit(contents: list[tuple[int, int]], shipping: int) -> None:
    priced = price(a_basket(*(a_line(unit_price, quantity) for unit_price, quantity in contents), shipping=shipping))

    totals = priced.totals
    assert totals.total.minor == sum(unit_price * quantity for unit_price, quantity in contents) + shipping
    assert totals.total == totals.subtotal - totals.discount + totals.shipping + totals.tax
    assert totals.total == sum((line.total for line in priced.lines), start=priced.shipping.total)


def test_lines_of_two_currencies_have_no_total() -> None:
    with pytest.raises(ValueError, match="cannot mix"):
        _ = price(a_basket(a_line(1000, currency="EUR"), shipping=499)).totals
