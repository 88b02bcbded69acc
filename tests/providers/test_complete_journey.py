"""Real shopping trips, as the chaos run uses them, and real coupons."""

from collections import Counter
from datetime import date

from db.base import new_id
from domain.baskets import Code
from domain.pricing import price
from domain.promotions import Reason
from providers.complete_journey import MOST_OF_A_KIND, baskets, best_sellers, coupons
from runtime.promotions import promotion_of
from tests.support.baskets import a_basket, a_line

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


# --- coupons


def test_a_coupon_tells_what_it_was_worth_on_which_goods_and_when() -> None:
    [most, second, *_] = found = coupons(40)

    assert (most.upc, most.campaign, most.first_day, most.last_day) == (
        10000085477,
        18,
        date(2017, 10, 30),
        date(2017, 12, 24),
    )
    assert (second.upc, second.campaign, second.cents) == (54180010033, 13, 100)
    assert len({coupon.code for coupon in found}) == len(found) == 40
    assert all(coupon.cents > 0 and coupon.skus and coupon.first_day < coupon.last_day for coupon in found)


def test_real_trips_with_real_coupons_cost_what_is_left_of_their_goods() -> None:
    prices = {variant.sku: variant.price for product in best_sellers(1500, "USD") for variant in product.variants}
    ids = {sku: new_id() for sku in prices}
    known = [coupon for coupon in coupons(40) if coupon.skus & prices.keys()]
    promotions = [promotion_of(coupon, [ids[sku] for sku in coupon.skus & ids.keys()], "USD") for coupon in known]
    tried = Counter[bool]()

    for trip in baskets(prices.keys(), 150, seed=3):
        lines = [
            a_line(prices[sku].minor, quantity, variant_id=ids[sku], product_id=ids[sku])
            for sku, quantity in trip.items()
        ]
        for coupon, promotion in zip(known, promotions, strict=True):
            priced = price(a_basket(*lines, codes=(Code(coupon.code, promotion.id),)), [promotion])

            goods = sum(prices[sku].minor * quantity for sku, quantity in trip.items() if sku in coupon.skus)
            whole = sum(prices[sku].minor * quantity for sku, quantity in trip.items())
            assert priced.totals.total.minor == whole - min(coupon.cents, goods)
            assert [no.reason for no in priced.not_applied] == ([] if goods else [Reason.NO_ELIGIBLE_ITEM])
            tried[goods > 0] += 1

    assert tried[True] > 50
    assert tried[False] > 50
