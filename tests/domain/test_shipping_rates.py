"""What it costs to send a cart somewhere."""

import pytest

from domain.shipping_rates import Band, PricedBy, Tariff, options, plain_postal_code, plain_region

BY_WEIGHT = Tariff(
    code="parcel",
    name="Parcel",
    zone="home",
    priced_by=PricedBy.WEIGHT,
    bands=(Band(0, 499), Band(2_000, 899), Band(30_000, None)),
    free_from=10_000,
)
BY_GOODS = Tariff(
    code="letter", name="Letter", zone="home", priced_by=PricedBy.GOODS, bands=(Band(0, 300), Band(5_000, 150))
)


@pytest.mark.parametrize(
    ("tariff", "weight_grams", "goods", "price"),
    [
        pytest.param(BY_WEIGHT, 0, 0, 499, id="nothing weighs nothing"),
        pytest.param(BY_WEIGHT, 1_999, 9_999, 499, id="the last gram of a band"),
        pytest.param(BY_WEIGHT, 2_000, 9_999, 899, id="the first gram of the next"),
        pytest.param(BY_WEIGHT, 29_999, 10_000, 0, id="free from an amount"),
        pytest.param(BY_WEIGHT, 30_000, 9_999, None, id="too heavy"),
        pytest.param(BY_WEIGHT, 30_000, 10_000, None, id="too heavy, however much it costs"),
        pytest.param(BY_GOODS, 99_999, 4_999, 300, id="goods below a band"),
        pytest.param(BY_GOODS, 0, 5_000, 150, id="goods in it"),
    ],
)
def test_a_method_costs_what_the_band_says_that_the_cart_is_in(
    tariff: Tariff, weight_grams: int, goods: int, price: int | None
) -> None:
    assert tariff.price(weight_grams=weight_grams, goods=goods) == price


def test_a_cart_may_choose_what_carries_it_in_the_order_of_the_tariffs() -> None:
    def offered(weight_grams: int) -> list[tuple[str, int]]:
        found = options([BY_WEIGHT, BY_GOODS], weight_grams=weight_grams, goods=100)
        return [(option.tariff.code, option.price) for option in found]

    assert offered(10) == [("parcel", 499), ("letter", 300)]
    assert offered(30_000) == [("letter", 300)]


def test_places_are_compared_however_people_write_them() -> None:
    assert plain_postal_code(" sw1a 1aa ") == "SW1A1AA"
    assert plain_postal_code(None) == ""
    assert plain_region(" ca ") == "CA"
