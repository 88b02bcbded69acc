"""Which price wins: the table of docs/prices.md."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from domain.money import Money
from domain.price_lists import ListPrice, PriceList, UnitPrice, steps, unit_price

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
A_MINUTE = timedelta(minutes=1)
NOBODY: frozenset[str] = frozenset()
SHOPS = frozenset({"shops"})


def usd(minor: int) -> Money:
    return Money(minor, "USD")


BASE = usd(1000)
SALE = PriceList(code="sale")
WHOLESALE = PriceList(code="wholesale", groups=SHOPS)


def entry(of: PriceList, minor: int, min_quantity: int = 1) -> ListPrice:
    return ListPrice(of=of, min_quantity=min_quantity, price=usd(minor))


def costs(*prices: ListPrice, quantity: int = 1, groups: frozenset[str] = NOBODY, at: datetime = NOW) -> object:
    """The price, and the list that made it."""
    unit = unit_price(BASE, quantity, prices, groups=groups, at=at)
    assert unit.base == BASE
    return unit.price.minor, unit.price_list


def test_the_base_price_holds_where_no_list_has_a_say() -> None:
    assert costs() == (1000, None)


def test_a_list_for_everybody_is_for_guests_as_well() -> None:
    assert costs(entry(SALE, 900)) == (900, "sale")


@pytest.mark.parametrize(
    ("groups", "found"),
    [
        (NOBODY, (1000, None)),
        (frozenset({"press"}), (1000, None)),
        (SHOPS, (800, "wholesale")),
        (frozenset({"press", "shops"}), (800, "wholesale")),
    ],
    ids=["guest", "another group", "its group", "several groups"],
)
def test_a_list_of_a_group_is_for_who_is_in_it(groups: frozenset[str], found: object) -> None:
    assert costs(entry(WHOLESALE, 800), groups=groups) == found


@pytest.mark.parametrize(
    ("at", "found"),
    [
        (NOW - A_MINUTE - A_MINUTE, (1000, None)),
        (NOW - A_MINUTE, (900, "sale")),
        (NOW, (900, "sale")),
        (NOW + A_MINUTE, (1000, None)),
    ],
    ids=["before", "its first instant", "between", "its last instant"],
)
def test_a_list_holds_from_its_first_instant_until_its_last(at: datetime, found: object) -> None:
    weekend = replace(SALE, valid_from=NOW - A_MINUTE, valid_until=NOW + A_MINUTE)

    assert costs(entry(weekend, 900), at=at) == found


def test_a_list_that_is_switched_off_says_nothing() -> None:
    assert costs(entry(replace(SALE, is_active=False), 900)) == (1000, None)


def test_the_highest_priority_decides_also_where_another_list_is_cheaper() -> None:
    agreed = replace(WHOLESALE, priority=10)

    assert costs(entry(SALE, 700), entry(agreed, 800), groups=SHOPS) == (800, "wholesale")
    assert costs(entry(SALE, 700), entry(agreed, 800)) == (700, "sale")


def test_among_equal_priorities_the_lowest_price_decides_and_then_the_code() -> None:
    other = PriceList(code="another")

    assert costs(entry(SALE, 900), entry(WHOLESALE, 800), groups=SHOPS) == (800, "wholesale")
    assert costs(entry(SALE, 900), entry(other, 900)) == (900, "another")


@pytest.mark.parametrize(
    ("quantity", "found"),
    [(1, (1000, None)), (9, (1000, None)), (10, (900, "sale")), (99, (900, "sale")), (100, (750, "sale"))],
)
def test_a_step_counts_from_its_quantity_on(quantity: int, found: object) -> None:
    assert costs(entry(SALE, 750, 100), entry(SALE, 900, 10), quantity=quantity) == found


def test_a_step_that_is_dearer_than_the_one_before_counts_once_it_is_reached() -> None:
    assert costs(entry(SALE, 700, 1), entry(SALE, 800, 10), quantity=10) == (800, "sale")


def test_a_list_whose_first_step_is_not_reached_leaves_the_decision_to_others() -> None:
    bulk = PriceList(code="bulk", priority=10)

    assert costs(entry(bulk, 500, 50), entry(SALE, 900), quantity=49) == (900, "sale")
    assert costs(entry(bulk, 500, 50), entry(SALE, 900), quantity=50) == (500, "bulk")


def test_a_list_makes_nothing_dearer_unless_it_overrides_the_base_price() -> None:
    assert costs(entry(SALE, 1200)) == (1000, None)
    assert costs(entry(replace(SALE, overrides=True), 1200)) == (1200, "sale")


def test_the_list_that_decides_is_not_undercut_by_those_below_it_where_the_base_price_holds() -> None:
    assert costs(entry(replace(WHOLESALE, priority=10), 1200), entry(SALE, 700), groups=SHOPS) == (1000, None)


def test_a_price_of_nothing_is_a_price() -> None:
    assert costs(entry(SALE, 0)) == (0, "sale")


def test_steps_are_the_quantities_at_which_the_price_changes() -> None:
    prices = [entry(SALE, 900, 5), entry(SALE, 800, 10), entry(SALE, 800, 20), entry(WHOLESALE, 850, 2)]

    assert [(step.min_quantity, step.unit) for step in steps(BASE, prices, groups=NOBODY, at=NOW)] == [
        (1, UnitPrice(price=BASE, base=BASE)),
        (5, UnitPrice(price=usd(900), base=BASE, price_list="sale")),
        (10, UnitPrice(price=usd(800), base=BASE, price_list="sale")),
    ]
    assert [(step.min_quantity, step.unit.price.minor) for step in steps(BASE, prices, groups=SHOPS, at=NOW)] == [
        (1, 1000),
        (2, 850),
        (10, 800),
    ]
