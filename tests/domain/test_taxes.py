"""Which taxes are due, and that none is forgotten, taken twice or rounded away."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.baskets import Destination
from domain.money import Money, Rounding
from domain.taxes import (
    SHIPPING,
    Due,
    Elsewhere,
    NamedTax,
    Rate,
    Region,
    RoundedBy,
    Taxable,
    TaxMode,
    TaxPolicy,
    TaxRules,
    assess,
)

CASES = [
    json.loads(case)
    for case in (Path(__file__).parent / "priced_carts" / "taxes.jsonl").read_text(encoding="utf-8").splitlines()
]
"""Worked out apart from this code, with decimals of whole currency units."""


def a_rate(percent: str, tax_class: str = "standard", *, name: str = "VAT") -> Rate:
    return Rate(name=name, percent=Decimal(percent), tax_class=tax_class)


def rules_of(*regions: Region, **policy: Any) -> TaxRules:
    return TaxRules(policy=TaxPolicy(mode=TaxMode.TABLE, **policy), regions=regions)


GERMANY = Region(country="DE", is_inclusive=True, rates=(a_rate("19"), a_rate("7", "reduced")))
CALIFORNIA = Region(country="US", region="CA", rates=(a_rate("7.25", name="California"),))
SAN_FRANCISCO = Region(
    country="US",
    region="CA",
    postal_prefix="941",
    rates=(a_rate("7.25", name="California"), a_rate("1.375", name="San Francisco")),
)
BERLIN = Destination(country="DE", postal_code="10115")
MISSION = Destination(country="US", region="CA", postal_code="94110")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_what_is_due_is_what_was_worked_out_by_hand(case: dict[str, Any]) -> None:
    def minor(amount: str) -> int:
        return Money.parse(amount, case["currency"]).minor

    told = case["region"]
    region = Region(
        country=told["country"],
        region=told.get("region", ""),
        postal_prefix=told.get("postal_prefix", ""),
        is_inclusive=told.get("is_inclusive", False),
        rates=tuple(a_rate(percent, tax_class, name=name) for name, percent, tax_class in told["rates"]),
    )
    goods = [
        Taxable(
            amount=minor(line["unit_price"]) * line["quantity"] - minor(line["discount"]), tax_class=line["tax_class"]
        )
        for line in case["lines"]
    ]
    shipping = case["shipping"]
    goods.append(Taxable(amount=minor(shipping["price"]) - minor(shipping["discount"]), tax_class=SHIPPING))
    rules = rules_of(region, rounding=Rounding(case["rounding"]), rounded_by=RoundedBy(case["rounded_by"]))
    there = Destination(country=region.country, region=region.region or None, postal_code=f"{region.postal_prefix}01")

    due = assess(goods, rules, there, is_exempt=case["is_exempt"])

    expected = case["expected"]
    assert (sum(d.added for d in due.dues), sum(d.included for d in due.dues)) == (
        minor(expected["tax"]),
        minor(expected["included_tax"]),
    )
    if not case["is_exempt"]:
        assert [d.added + d.included for d in due.dues] == [minor(tax) for tax in expected["taxes"]]
        assert sum(tax.amount for tax in due.taxes) == sum(d.added + d.included for d in due.dues)
    relief = sum(d.relief for d in due.dues)
    subtotal = sum(minor(line["unit_price"]) * line["quantity"] for line in case["lines"]) + minor(shipping["price"])
    discount = sum(minor(line["discount"]) for line in case["lines"]) + minor(shipping["discount"]) + relief
    assert discount == minor(expected["discount"])
    assert subtotal - discount + minor(expected["tax"]) == minor(expected["total"])


# --- where ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("destination", "percent"),
    [
        (Destination(country="US", region="CA", postal_code="94110"), "8.625"),
        (Destination(country="US", region="ca", postal_code="941 10-1234"), "8.625"),
        (Destination(country="US", region="CA", postal_code="90001"), "7.25"),
        (Destination(country="US", region="NV", postal_code="89501"), "1"),
        (Destination(country="US"), "1"),
        (Destination(country="GB", postal_code="sw1a 1aa"), "20"),
    ],
)
def test_the_most_specific_region_wins(destination: Destination, percent: str) -> None:
    rules = rules_of(
        Region(country="US", rates=(a_rate("1"),)),
        SAN_FRANCISCO,
        CALIFORNIA,
        Region(country="GB", postal_prefix="SW1A", rates=(a_rate("20"),)),
    )

    due = assess([Taxable(amount=100_000)], rules, destination)

    assert due.dues == (Due(added=int(Decimal(percent) * 1000)),)


def test_where_the_table_knows_nothing_nothing_is_sold() -> None:
    due = assess([Taxable(amount=1000)], rules_of(GERMANY, home=BERLIN), MISSION)

    assert (due.is_known, due.is_final, due.dues) == (False, False, (Due(),))


def test_where_the_table_knows_nothing_the_tax_of_home_is_taken_if_the_shop_says_so() -> None:
    rules = rules_of(GERMANY, home=BERLIN, elsewhere=Elsewhere.HOME)

    due = assess([Taxable(amount=1190)], rules, MISSION)

    assert (due.is_known, due.is_final, due.dues) == (True, True, (Due(included=190),))


def test_goods_of_a_class_of_which_the_region_says_nothing_are_taxed_as_others_are() -> None:
    due = assess([Taxable(amount=1190, tax_class="toys")], rules_of(GERMANY), BERLIN)

    assert due.dues == (Due(included=190),)


def test_a_region_that_says_nothing_of_goods_at_all_sells_none() -> None:
    books = Region(country="DE", rates=(a_rate("7", "books"),))

    assert assess([Taxable(amount=100, tax_class="books")], rules_of(books), BERLIN).is_known
    assert not assess([Taxable(amount=100), Taxable(amount=1, tax_class="books")], rules_of(books), BERLIN).is_known


def test_before_there_is_an_address_home_is_the_estimate() -> None:
    estimate = assess([Taxable(amount=1190)], rules_of(GERMANY, home=BERLIN), None)
    without = assess([Taxable(amount=1190)], rules_of(GERMANY), None)

    assert (estimate.is_known, estimate.is_final, estimate.dues) == (True, False, (Due(included=190),))
    assert (without.is_known, without.is_final, without.dues) == (False, False, (Due(),))


def test_a_shop_that_takes_no_taxes_knows_that_it_takes_none() -> None:
    due = assess([Taxable(amount=1190)], TaxRules(policy=TaxPolicy(), regions=(GERMANY,)), None)

    assert (due.is_known, due.is_final, due.dues, due.taxes) == (True, True, (Due(),), ())


# --- what an invoice says ---------------------------------------------------------------------------------------------


def test_state_and_city_are_named_with_their_shares() -> None:
    goods = [Taxable(amount=10_000), Taxable(amount=499, tax_class=SHIPPING)]

    due = assess(goods, rules_of(SAN_FRANCISCO), MISSION)

    assert due.dues == (Due(added=863), Due(added=43))
    assert due.taxes == (
        NamedTax(name="California", percent=Decimal("7.25"), base=10_499, amount=762, is_included=False),
        NamedTax(name="San Francisco", percent=Decimal("1.375"), base=10_499, amount=144, is_included=False),
    )


def test_a_contained_tax_is_due_on_what_is_left_without_it() -> None:
    goods = [Taxable(amount=1190), Taxable(amount=1070, tax_class="reduced")]

    due = assess(goods, rules_of(GERMANY), BERLIN)

    assert due.taxes == (
        NamedTax(name="VAT", percent=Decimal("19"), base=1000, amount=190, is_included=True),
        NamedTax(name="VAT", percent=Decimal("7"), base=1000, amount=70, is_included=True),
    )


def test_whoever_is_exempt_pays_no_tax_and_not_what_a_price_contains_of_it() -> None:
    goods = [Taxable(amount=1190)]

    at_home = assess(goods, rules_of(GERMANY), BERLIN, is_exempt=True)
    abroad = assess(goods, rules_of(CALIFORNIA), MISSION, is_exempt=True)

    assert (at_home.dues, at_home.taxes, at_home.is_exempt) == ((Due(relief=190),), (), True)
    assert (abroad.dues, abroad.taxes, abroad.is_exempt) == ((Due(),), (), True)


# --- adding up --------------------------------------------------------------------------------------------------------

percents = st.decimals(0, 100, places=3)
regions = st.builds(
    Region,
    country=st.just("US"),
    is_inclusive=st.booleans(),
    rates=st.lists(
        st.builds(
            Rate, name=st.sampled_from("ABC"), percent=percents, tax_class=st.sampled_from(["standard", "x", "y"])
        ),
        max_size=6,
    ).map(lambda rates: (Rate(name="S", percent=Decimal("8.25")), *rates)),
)
all_goods = st.lists(
    st.builds(Taxable, amount=st.integers(0, 10**9), tax_class=st.sampled_from(["standard", "x", "y", "z", SHIPPING])),
    min_size=1,
    max_size=12,
)


@given(all_goods, regions, st.sampled_from(Rounding), st.sampled_from(RoundedBy))
def test_each_line_has_its_own_tax_to_the_minor_unit_and_all_of_them_are_the_taxes_of_the_order(
    goods: list[Taxable], region: Region, rounding: Rounding, rounded_by: RoundedBy
) -> None:
    rules = rules_of(region, rounding=rounding, rounded_by=rounded_by)

    due = assess(goods, rules, Destination(country="US"))

    for taxable, tax in zip(goods, due.dues, strict=True):
        percent = sum((rate.percent for rate in region.rates_of(taxable.tax_class)), start=Decimal(0))
        exact = taxable.amount * percent / ((100 + percent) if region.is_inclusive else 100)
        assert abs(tax.added + tax.included - exact) < 1
        assert tax.included <= taxable.amount
        assert tax.added == 0 if region.is_inclusive else tax.included == 0
    assert sum(tax.amount for tax in due.taxes) == sum(tax.added + tax.included for tax in due.dues)
    assert all(tax.amount >= 0 for tax in due.taxes)


@given(all_goods, regions, st.sampled_from(Rounding), st.sampled_from(RoundedBy))
def test_an_exempt_customer_pays_the_order_less_all_its_tax(
    goods: list[Taxable], region: Region, rounding: Rounding, rounded_by: RoundedBy
) -> None:
    rules = rules_of(region, rounding=rounding, rounded_by=rounded_by)

    taxed = assess(goods, rules, Destination(country="US"))
    exempt = assess(goods, rules, Destination(country="US"), is_exempt=True)

    assert [tax.relief for tax in exempt.dues] == [tax.included for tax in taxed.dues]
    assert sum(tax.added + tax.included for tax in exempt.dues) == 0
