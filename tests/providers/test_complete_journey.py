"""Real shopping trips, as the chaos run uses them."""

from providers.complete_journey import MOST_OF_A_KIND, baskets

BANANAS, MILK = "CJ-1082185", "CJ-1029743"


def test_trips_hold_only_the_goods_that_the_shop_sells_in_quantities_that_one_carries_home() -> None:
    trips = baskets({BANANAS, MILK, "SHIRT-XL"}, 200, seed=1)

    assert len(trips) == 200
    assert {sku for trip in trips for sku in trip} == {BANANAS, MILK}
    assert any(len(trip) == 2 for trip in trips)
    assert all(1 <= quantity <= MOST_OF_A_KIND for trip in trips for quantity in trip.values())


def test_the_same_seed_gives_the_same_trips() -> None:
    assert baskets({BANANAS, MILK}, 50, seed=7) == baskets({MILK, BANANAS}, 50, seed=7)
    assert baskets({BANANAS, MILK}, 50, seed=7) != baskets({BANANAS, MILK}, 50, seed=8)
