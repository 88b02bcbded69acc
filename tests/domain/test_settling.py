"""What parcels capture and what refunds give back: together exactly what the lines and their shipping cost."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from random import Random
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.baskets import Destination, Shopper
from domain.money import Money
from domain.pricing import price
from domain.promotions import AmountOff, Benefit, BuyAndGet, On, PercentOff, Promotion
from domain.settling import LineCost, amount_to_capture, worth_of_staying, worth_of_units
from domain.taxes import Rate, Region, RoundedBy, TaxMode, TaxPolicy, TaxRules
from tests.support.baskets import a_basket
from tests.support.baskets import a_line as a_line_of

CURRENCIES = ("USD", "JPY", "KWD")


def a_line(*, units: int, price: int, discount: int = 0, tax: int = 0) -> LineCost:
    return LineCost(quantity=units, cost=units * price - discount + tax)


@dataclass
class Sale:
    """An order whose units leave, are given up and come back one by one."""

    lines: Sequence[LineCost]
    shipping: int = 0
    currency: str = "USD"
    captures: list[int] = field(default_factory=list)
    worths: list[int] = field(default_factory=list)
    given_up: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sent, self.cancelled, self.refunded = ([0] * len(self.lines) for _ in range(3))

    @property
    def total(self) -> int:
        return sum(line.cost for line in self.lines) + self.shipping

    def staying(self, units: Sequence[int]) -> int:
        return worth_of_staying(zip(self.lines, units, strict=True))

    @property
    def unsent(self) -> int:
        return self.staying([line.quantity - sent for line, sent in zip(self.lines, self.sent, strict=True)])

    def send(self, *units: int) -> None:
        for index in units:
            self.sent[index] += 1
        due = amount_to_capture(
            due=Money(self.total, self.currency),
            unsent=self.unsent,
            captured=Money(sum(self.captures), self.currency),
        )
        self.captures.append(due.minor)

    def cancel(self, index: int) -> None:
        before = self.staying(self.cancelled)
        self.cancelled[index] += 1
        self.given_up.append(self.staying(self.cancelled) - before)

    def refund(self, *units: int) -> None:
        wanted = {UUID(int=index): units.count(index) for index in units}
        so_far = {UUID(int=index): quantity for index, quantity in enumerate(self.refunded)}
        lines = {UUID(int=index): line for index, line in enumerate(self.lines)}
        self.worths.append(worth_of_units(wanted=wanted, refunded=so_far, lines=lines))
        for index in units:
            self.refunded[index] += 1


@st.composite
def lines(draw: st.DrawFn) -> LineCost:
    units, price = draw(st.integers(1, 9)), draw(st.integers(0, 99_999))
    discount = draw(st.integers(0, units * price))
    return a_line(units=units, price=price, discount=discount, tax=draw(st.integers(0, 9_999)))


sales = st.builds(
    Sale,
    lines=st.lists(lines(), min_size=1, max_size=5),
    shipping=st.integers(0, 9_999),
    currency=st.sampled_from(CURRENCIES),
)
randoms = st.randoms(use_true_random=False)


def all_units(sale: Sale, random: Random) -> list[int]:
    units = [index for index, line in enumerate(sale.lines) for _ in range(line.quantity)]
    random.shuffle(units)
    return units


@given(sales, randoms)
def test_whatever_leaves_stays_or_comes_back_in_any_order_the_money_is_what_was_paid_for_it(
    sale: Sale, random: Random
) -> None:
    """Also where everything was paid ahead, and units are given up between refunds of others."""
    for index in all_units(sale, random):
        if random.random() < 0.3:
            sale.cancel(index)
        else:
            sale.send(index)
        if random.random() < 0.4 and sale.refunded[index] < sale.sent[index]:
            sale.refund(index)
        assert sum(sale.worths) <= sum(sale.captures)
    for index, sent in enumerate(sale.sent):
        for _ in range(sent - sale.refunded[index]):
            sale.refund(index)

    assert min([0, *sale.captures, *sale.worths, *sale.given_up]) == 0
    if sale.captures:
        assert sum(sale.captures) == sale.total - sum(sale.given_up)
        assert sum(sale.worths) == sum(sale.captures) - sale.shipping


@given(sales, randoms)
def test_units_cost_the_same_in_one_parcel_as_in_many(sale: Sale, random: Random) -> None:
    units = all_units(sale, random)
    sale.send(*units)

    assert sale.captures == [sale.total]
    sale.refund(*units)
    assert sale.worths == [sale.total - sale.shipping]


@given(sales, randoms)
def test_no_unit_is_worth_more_than_a_minor_unit_beyond_its_share(sale: Sale, random: Random) -> None:
    for index in all_units(sale, random):
        sale.refund(index)
        line = sale.lines[index]
        assert abs(sale.worths[-1] * line.quantity - line.cost) < line.quantity


@given(sales, randoms)
def test_what_is_sent_again_costs_nothing_again(sale: Sale, random: Random) -> None:
    sale.send(*all_units(sale, random))
    sale.send()

    assert sale.captures[-1] == 0


@given(lines())
def test_more_units_are_never_worth_less(line: LineCost) -> None:
    units = range(line.quantity + 1)

    for fewer, more in pairwise(units):
        assert line.of_staying(fewer) <= line.of_staying(more)
        assert line.of_leaving(fewer) <= line.of_leaving(more)
    for staying in units:
        assert line.of_staying(staying) + line.of_leaving(line.quantity - staying) == line.cost


def test_shipping_is_paid_with_the_first_parcel() -> None:
    sale = Sale([a_line(units=2, price=1000), a_line(units=1, price=500)], shipping=499)
    sale.send(0)
    sale.send(0)
    sale.send(1)

    assert sale.captures == [1499, 1000, 500]


def test_a_discount_and_a_tax_stay_with_their_own_line() -> None:
    """Tea is 10.00 off and taxed with 1.40, the mug neither: a tea is worth 10.70, the mug all of its price."""
    sale = Sale([a_line(units=2, price=1500, discount=1000, tax=140), a_line(units=1, price=1000)], shipping=500)
    sale.send(1)
    sale.send(0)
    sale.send(0)
    sale.refund(0)
    sale.refund(1)

    assert sale.captures == [1500, 1070, 1070]
    assert sale.worths == [1070, 1000]


def test_cancelled_units_are_not_captured() -> None:
    sale = Sale([a_line(units=3, price=333, tax=1)], shipping=499)
    sale.cancel(0)
    sale.send(0)
    sale.send(0)

    assert (sale.given_up, sale.captures) == ([333], [499 + 334, 333])


def test_a_minor_unit_that_cannot_be_shared_goes_and_comes_back_with_what_leaves_first() -> None:
    sale = Sale([a_line(units=3, price=334, discount=2)])
    for _ in range(3):
        sale.send(0)
        sale.refund(0)

    assert sale.captures == sale.worths == [334, 333, 333]


@pytest.mark.parametrize("tax", [0, 7])
def test_goods_without_a_price_may_be_taxed_and_shipped(tax: int) -> None:
    sale = Sale([a_line(units=2, price=0, tax=tax)], shipping=500)
    sale.send(0, 0)
    sale.refund(0, 0)

    assert (sale.captures, sale.worths) == ([500 + tax], [tax])


VAT, CITY = Rate(name="VAT", percent=Decimal("8.375")), Rate(name="City", percent=Decimal("1.1"))
FOOD = Rate(name="VAT", percent=Decimal("2.1"), tax_class="food")
somethings = st.lists(
    st.tuples(st.integers(0, 9_999), st.integers(1, 6), st.sampled_from(["standard", "food"])), min_size=1, max_size=4
)


BENEFITS: tuple[Benefit, ...] = (
    *(PercentOff(percent=Decimal("33.3"), on=on) for on in (On.LINE, On.ORDER, On.SHIPPING)),
    *(AmountOff(amounts=dict.fromkeys(CURRENCIES, 1234), on=on) for on in On),
    BuyAndGet(buy=2, get=1),
    PercentOff(percent=Decimal(100), on=On.SHIPPING),
)


def offered(benefits: Sequence[Benefit]) -> list[Promotion]:
    return [Promotion(id=UUID(int=number), name="off", benefit=benefit) for number, benefit in enumerate(benefits)]


@given(
    bought=somethings,
    currency=st.sampled_from(CURRENCIES),
    benefits=st.lists(st.sampled_from(BENEFITS), max_size=4),
    is_inclusive=st.booleans(),
    rounded_by=st.sampled_from(RoundedBy),
    is_exempt=st.booleans(),
    random=randoms,
)
def test_a_basket_with_promotions_and_taxes_is_captured_and_given_back_to_the_minor_unit_of_its_currency(
    *,
    bought: list[tuple[int, int, str]],
    currency: str,
    benefits: list[Benefit],
    is_inclusive: bool,
    rounded_by: RoundedBy,
    is_exempt: bool,
    random: Random,
) -> None:
    region = Region(country="DE", is_inclusive=is_inclusive, rates=(VAT, CITY, FOOD))
    basket = a_basket(
        *(a_line_of(price, units, currency=currency, tax_class=tax_class) for price, units, tax_class in bought),
        currency=currency,
        shipping=499,
        destination=Destination(country="DE"),
        shopper=Shopper(is_tax_exempt=is_exempt),
    )

    taxes = TaxRules(policy=TaxPolicy(mode=TaxMode.TABLE, rounded_by=rounded_by), regions=(region,))
    priced = price(basket, offered(benefits), taxes)

    of_lines = sum(one.line.total.minor - one.discount.minor + one.tax.minor for one in priced.lines)
    shipping = priced.shipping
    of_shipping = shipping.price.minor - shipping.discount.minor + shipping.tax.minor
    assert of_lines + of_shipping == priced.totals.total.minor
    assert all(0 <= one.discount.minor <= one.line.total.minor for one in priced.lines)
    due = sum(tax.amount for tax in priced.taxes.taxes)
    assert due == (priced.included_tax.minor if is_inclusive else priced.totals.tax.minor)
    costs = [LineCost(quantity=one.line.quantity, cost=one.total.minor) for one in priced.lines]
    sale = Sale(costs, shipping=priced.shipping.total.minor, currency=currency)
    assert sale.total == priced.totals.total.minor
    units = all_units(sale, random)
    for index in units:
        sale.send(index)
    for index in reversed(units):
        sale.refund(index)
    assert sum(sale.captures) == priced.totals.total.minor
    assert sum(sale.worths) == (priced.totals.total - priced.shipping.total).minor
