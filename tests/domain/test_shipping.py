"""What parcels cost the card: together exactly what the order costs."""

from hypothesis import given
from hypothesis import strategies as st

from domain.money import Money
from domain.shipping import amount_to_capture

prices = st.integers(0, 10**7)


@st.composite
def splits(draw: st.DrawFn) -> tuple[list[int], list[list[int]]]:
    """The units' prices, and how the units are dealt out to parcels."""
    units = draw(st.lists(prices, min_size=1, max_size=12))
    owners = draw(st.lists(st.integers(0, 3), min_size=len(units), max_size=len(units)))
    parcels = [[price for price, owner in zip(units, owners, strict=True) if owner == number] for number in range(4)]
    return units, [parcel for parcel in parcels if parcel]


def usd(minor: int) -> Money:
    return Money(minor, "USD")


def captures_of(parcels: list[list[int]], *, shipping: int, total: int) -> list[int]:
    captures: list[int] = []
    for number, parcel in enumerate(parcels, start=1):
        due = amount_to_capture(
            goods=usd(sum(parcel)),
            shipping_costs=usd(shipping),
            total=usd(total),
            captured=usd(sum(captures)),
            is_last=number == len(parcels),
        )
        captures.append(due.minor)
    return captures


@given(splits(), st.integers(0, 10**5))
def test_what_parcels_capture_adds_up_to_the_total_however_the_order_is_split(
    split: tuple[list[int], list[list[int]]], shipping: int
) -> None:
    units, parcels = split
    total = sum(units) + shipping

    captures = captures_of(parcels, shipping=shipping, total=total)

    assert sum(captures) == total
    assert min(captures) >= 0


@given(splits(), st.integers(0, 10**5))
def test_no_parcel_captures_more_than_its_goods_and_the_costs_of_shipping(
    split: tuple[list[int], list[list[int]]], shipping: int
) -> None:
    units, parcels = split

    captures = captures_of(parcels, shipping=shipping, total=sum(units) + shipping)

    assert all(capture <= sum(parcel) + shipping for capture, parcel in zip(captures, parcels, strict=True))


def test_the_only_parcel_captures_everything() -> None:
    assert captures_of([[1000, 1000]], shipping=499, total=2499) == [2499]


def test_shipping_is_paid_with_the_first_parcel() -> None:
    assert captures_of([[1000], [1000], [500]], shipping=499, total=2999) == [1499, 1000, 500]


def test_what_a_discount_leaves_is_never_exceeded() -> None:
    captured = amount_to_capture(
        goods=usd(5000), shipping_costs=usd(0), total=usd(4000), captured=usd(1000), is_last=False
    )

    assert captured == usd(3000)


def test_the_last_parcel_takes_all_that_is_left_also_what_no_goods_explain() -> None:
    captured = amount_to_capture(
        goods=usd(1000), shipping_costs=usd(0), total=usd(3000), captured=usd(500), is_last=True
    )

    assert captured == usd(2500)
