import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.catalog import LONGEST_SKU, derived_sku, is_slug, parse_price, search_words, slug_of
from domain.money import Money


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Coffee Mug", "coffee-mug"),
        ("  Crème brûlée!  ", "creme-brulee"),
        ("5 % Bier / Ale", "5-bier-ale"),
        ("日本", "item"),
        ("", "item"),
        ("x" * 200, "x" * 80),
    ],
)
def test_a_slug_is_made_of_the_words_of_a_name(name: str, slug: str) -> None:
    assert slug_of(name) == slug


@given(st.text())
def test_every_name_has_a_slug_that_can_stand_in_an_address(name: str) -> None:
    assert is_slug(slug_of(name))


@pytest.mark.parametrize(
    "text", ["", "two words", "a/b", "a?b", "a#b", "a\0b", "a\n", "x" * 256, "01900000-0000-7000-8000-00000000000F"]
)
def test_a_slug_is_one_word_that_is_no_id(text: str) -> None:
    assert not is_slug(text)


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("5", "USD", 500),
        ("5.5", "USD", 550),
        (" 5.50 ", "USD", 550),
        ("5", "JPY", 5),
        ("5.1", "KWD", 5100),
        ("0", "USD", 0),
    ],
)
def test_a_price_may_leave_out_zeros(text: str, currency: str, minor: int) -> None:
    assert parse_price(text, currency) == Money(minor, currency)


@pytest.mark.parametrize("text", ["5.555", "-1", "-1.00", "", "$5", "1,000.00", "5.", ".5", "free", "1_0", "\u0665"])
def test_a_price_is_never_rounded_or_guessed(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_price(text, "USD")


def test_a_derived_sku_is_the_same_every_time() -> None:
    assert derived_sku("tee", ["S", "Light Blue"]) == "tee-s-light-blue"
    assert derived_sku("tee", []) == "tee"


def test_long_derived_skus_stay_short_and_different() -> None:
    skus = {derived_sku("x" * 200, [size]) for size in "SML"}

    assert len(skus) == 3
    assert {len(sku) for sku in skus} == {LONGEST_SKU}


def test_a_search_is_its_words() -> None:
    assert search_words("  Coca-Cola_Zero, 12 OZ! & (':*") == ["coca", "cola", "zero", "12", "oz"]
    assert search_words("\0 ' | ! <->") == []
    assert len(search_words("a " * 50)) == 10
