"""What an order costs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.money import Money
from domain.pricing import totals_of

lines = st.lists(st.tuples(st.integers(0, 10**9), st.integers(1, 999)), max_size=30)


def usd(minor: int) -> Money:
    return Money(minor, "USD")


def test_a_total_is_its_lines_and_the_costs_of_shipping() -> None:
    totals = totals_of([(usd(1999), 2), (usd(25000), 1)], shipping=usd(499))

    assert (totals.subtotal, totals.discount, totals.shipping, totals.tax) == (usd(28998), usd(0), usd(499), usd(0))
    assert totals.total == usd(29497)


def test_nothing_costs_its_shipping() -> None:
    assert totals_of([], shipping=usd(499)).total == usd(499)


@given(lines, st.integers(0, 10**6))
def test_a_total_is_exact_to_the_minor_unit(priced: list[tuple[int, int]], shipping: int) -> None:
    totals = totals_of([(usd(price), quantity) for price, quantity in priced], shipping=usd(shipping))

    assert totals.total.minor == sum(price * quantity for price, quantity in priced) + shipping
    assert totals.total == totals.subtotal - totals.discount + totals.shipping + totals.tax


def test_lines_of_two_currencies_have_no_total() -> None:
    with pytest.raises(ValueError, match="cannot mix"):
        totals_of([(Money(1000, "EUR"), 1)], shipping=usd(499))
