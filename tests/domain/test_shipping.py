"""What parcels cost the card: together exactly what the order costs, less what was cancelled."""

from dataclasses import dataclass
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from domain.money import Money
from domain.pricing import Totals
from domain.shipping import amount_to_capture

prices = st.integers(0, 10**7)


def usd(minor: int) -> Money:
    return Money(minor, "USD")


def totals(*, goods: int, shipping: int = 0, discount: int = 0, tax: int = 0) -> Totals:
    return Totals(subtotal=usd(goods), discount=usd(discount), shipping=usd(shipping), tax=usd(tax))


@dataclass(frozen=True)
class Story:
    """How the units of an order went: each group is a parcel, or was cancelled."""

    totals: Totals
    groups: list[tuple[int, bool]]
    """The price of each group, and whether it was cancelled."""

    @property
    def cancelled(self) -> int:
        return sum(price for price, is_cancelled in self.groups if is_cancelled)

    def captures(self) -> list[int]:
        taken: list[int] = []
        unsent = self.totals.subtotal.minor
        for price, is_cancelled in self.groups:
            if not is_cancelled:
                unsent -= price
                due = amount_to_capture(totals=self.totals, unsent=usd(unsent), captured=usd(sum(taken)))
                taken.append(due.minor)
        return taken


@st.composite
def stories(draw: st.DrawFn) -> Story:
    groups = draw(st.lists(st.tuples(prices, st.booleans()), min_size=1, max_size=8))
    goods, shipping, tax = sum(price for price, _ in groups), draw(st.integers(0, 10**5)), draw(st.integers(0, 10**6))
    discount = draw(st.integers(0, goods + shipping + tax))
    return Story(totals(goods=goods, shipping=shipping, discount=discount, tax=tax), groups)


@given(stories())
def test_what_parcels_capture_adds_up_to_the_total_less_what_the_cancelled_units_were_worth(story: Story) -> None:
    captures = story.captures()

    assert min(captures, default=0) >= 0
    if captures:
        worth = story.totals.paid_for(usd(story.cancelled))
        assert sum(captures) == (story.totals.total - worth).minor


@given(stories())
def test_no_parcel_captures_more_than_its_share_and_the_costs_of_shipping(story: Story) -> None:
    sent = [price for price, is_cancelled in story.groups if not is_cancelled]
    shipping = (story.totals.total - story.totals.paid_for(story.totals.subtotal)).minor
    for price, capture in zip(sent, story.captures(), strict=True):
        assert capture <= story.totals.paid_for(usd(price)).minor + 1 + shipping
        shipping = 0


@given(stories())
def test_what_is_sent_again_costs_nothing_again(story: Story) -> None:
    captures = story.captures()
    if captures:
        again = amount_to_capture(totals=story.totals, unsent=usd(story.cancelled), captured=usd(sum(captures)))
        assert again == usd(0)


@given(stories())
def test_goods_and_shipping_are_the_total_and_neither_is_negative(story: Story) -> None:
    goods, shipping = story.totals.for_goods, story.totals.for_shipping

    assert goods + shipping == story.totals.total
    assert min(goods.minor, shipping.minor) >= 0


@given(stories(), st.lists(prices, min_size=2, max_size=5))
def test_more_goods_are_never_worth_less(story: Story, some: list[int]) -> None:
    for less, more in pairwise(sorted(some)):
        assert story.totals.paid_for(usd(less)) <= story.totals.paid_for(usd(more))


def test_the_only_parcel_captures_everything() -> None:
    assert Story(totals(goods=2000, shipping=499), [(2000, False)]).captures() == [2499]


def test_shipping_is_paid_with_the_first_parcel() -> None:
    groups = [(1000, False), (1000, False), (500, False)]
    assert Story(totals(goods=2500, shipping=499), groups).captures() == [1499, 1000, 500]


def test_each_parcel_has_its_share_of_a_discount_and_of_the_tax() -> None:
    groups = [(3000, False), (1000, False)]
    assert Story(totals(goods=4000, discount=1000, tax=200, shipping=500), groups).captures() == [2900, 800]


def test_a_discount_that_is_larger_than_the_goods_lowers_what_shipping_costs() -> None:
    groups = [(1000, False), (1000, False)]
    assert Story(totals(goods=2000, discount=2300, shipping=500), groups).captures() == [200, 0]


def test_cancelled_units_are_not_captured() -> None:
    groups = [(1000, False), (1000, True), (500, False)]
    assert Story(totals(goods=2500, shipping=499), groups).captures() == [1499, 500]


def test_goods_without_a_price_may_be_taxed_and_shipped() -> None:
    assert Story(totals(goods=0, shipping=500, tax=7), [(0, False), (0, False)]).captures() == [507, 0]
