from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iso4217 import Currency

from domain.money import LARGEST_AMOUNT_MINOR, Money, Rounding, apportioned, minor_digits, rounded, split

CURRENCIES = st.sampled_from(["USD", "EUR", "JPY", "KWD"])
MINOR = st.integers(-LARGEST_AMOUNT_MINOR, LARGEST_AMOUNT_MINOR)


@pytest.mark.parametrize(
    ("minor", "currency", "amount"),
    [(1999, "USD", "19.99"), (5, "USD", "0.05"), (-5, "USD", "-0.05"), (1999, "JPY", "1999"), (1999, "KWD", "1.999")],
)
def test_has_the_digits_of_its_currency(minor: int, currency: str, amount: str) -> None:
    assert Money(minor, currency).amount == amount
    assert Money.parse(amount, currency) == Money(minor, currency)


@pytest.mark.parametrize(
    "amount",
    [
        *("", "5", "5.0", "5.000", ".50", "5.", "1,00", "1_000.00", "+5.00", " 5.00", "5.00 ", "5.00\n", "\u0665.00"),
        *("1e3", "0x10", "NaN", "Infinity", "-Infinity", "--1.00", "1.0e0", "10000000000000.01", f"{'9' * 5000}.00"),
    ],
)
def test_is_only_read_from_plain_decimals(amount: str) -> None:
    with pytest.raises(ValueError, match=r"plain decimal|decimal places|too large"):
        Money.parse(amount, "USD")


@pytest.mark.parametrize("currency", ["", "usd", "US", "XXQ", "XAU"])
def test_needs_a_currency_that_can_be_charged(currency: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        minor_digits(currency)


def test_counts_whole_minor_units_only() -> None:
    for not_whole in (19.99, Decimal("19"), True):
        with pytest.raises(TypeError):
            Money(not_whole, "USD")  # type: ignore[arg-type]


def test_does_not_mix_currencies() -> None:
    with pytest.raises(ValueError, match="cannot mix USD and EUR"):
        Money(1, "USD") + Money(1, "EUR")
    with pytest.raises(ValueError, match="cannot mix"):
        assert Money(1, "USD") < Money(1, "EUR")


@given(MINOR, CURRENCIES)
def test_survives_being_written_and_read(minor: int, currency: str) -> None:
    assert Money.parse(Money(minor, currency).amount, currency) == Money(minor, currency)


CHARGEABLE = sorted(currency.code for currency in Currency if currency.exponent is not None)


@pytest.mark.parametrize("currency", CHARGEABLE)
def test_every_currency_of_the_world_is_written_with_its_own_digits_and_read_back(currency: str) -> None:
    digits = minor_digits(currency)

    for minor in (0, 1, -1, 7, 10, 99, 100, 12_345, LARGEST_AMOUNT_MINOR, -LARGEST_AMOUNT_MINOR):
        written = Money(minor, currency).amount
        assert Money.parse(written, currency) == Money(minor, currency)
        assert Decimal(written) * 10**digits == minor
        assert len(written.partition(".")[2]) == digits


def test_the_world_has_currencies_without_and_with_up_to_four_digits() -> None:
    assert len(CHARGEABLE) > 150
    assert {minor_digits(currency) for currency in CHARGEABLE} == {0, 2, 3, 4}


@given(st.text(), CURRENCIES)
def test_reads_nothing_that_it_would_not_write(text: str, currency: str) -> None:
    try:
        money = Money.parse(text, currency)
    except ValueError:
        return
    assert Decimal(money.amount) == Decimal(text)


@given(MINOR, MINOR, st.integers(-1000, 1000))
def test_adds_up_exactly(a: int, b: int, factor: int) -> None:
    total = Money(a, "USD") + Money(b, "USD")

    assert total - Money(b, "USD") == Money(a, "USD")
    assert (Money(a, "USD") * factor).minor == a * factor


@given(st.integers(-(10**12), 10**12), st.lists(st.integers(0, 10**6), min_size=1, max_size=20).filter(any))
def test_is_split_without_losing_a_cent(total: int, weights: list[int]) -> None:
    shares = split(total, weights)

    assert sum(shares) == total
    for share, weight in zip(shares, weights, strict=True):
        assert abs(share * sum(weights) - total * weight) < sum(weights)


def test_gives_the_cents_that_are_left_over_to_the_largest_remainders() -> None:
    assert split(100, [1, 1, 1]) == [34, 33, 33]
    assert split(10, [3, 3, 4]) == [3, 3, 4]
    assert split(1, [1, 3]) == [0, 1]


@pytest.mark.parametrize("weights", [[0, 0], [2, -1]])
def test_cannot_be_split_by_nothing(weights: list[int]) -> None:
    with pytest.raises(ValueError, match="weights"):
        split(100, weights)


@pytest.mark.parametrize(
    ("exact", "half_up", "half_even"),
    [
        ("0.5", 1, 0),
        ("1.5", 2, 2),
        ("2.5", 3, 2),
        ("2.4999999", 2, 2),
        ("2.5000001", 3, 3),
        ("-0.5", -1, 0),
        ("7", 7, 7),
    ],
)
def test_is_rounded_to_the_nearest_and_halves_as_the_shop_says(exact: str, half_up: int, half_even: int) -> None:
    assert rounded(Fraction(exact), Rounding.HALF_UP) == half_up
    assert rounded(Fraction(exact), Rounding.HALF_EVEN) == half_even


@given(st.decimals(-(10**9), 10**9, places=6))
def test_is_rounded_as_decimals_are(exact: Decimal) -> None:
    assert rounded(Fraction(exact), Rounding.HALF_UP) == int(exact.to_integral_value(ROUND_HALF_UP))
    assert rounded(Fraction(exact), Rounding.HALF_EVEN) == int(exact.to_integral_value(ROUND_HALF_EVEN))


@given(st.lists(st.fractions(0, 10**6), min_size=1, max_size=20), st.sampled_from(Rounding))
def test_exact_amounts_are_apportioned_to_a_neighbour_each(exact: list[Fraction], rounding: Rounding) -> None:
    whole = rounded(sum(exact, start=Fraction(0)), rounding)

    shares = apportioned(whole, exact)

    assert sum(shares) == whole
    assert all(abs(share - amount) < 1 for share, amount in zip(shares, exact, strict=True))
