"""What units are worth when they come back."""

from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st

from domain.refunds import worth_of_units

TEA, MUG = UUID(int=1), UUID(int=2)


def test_a_unit_is_worth_what_was_paid_for_it() -> None:
    prices = {TEA: 500, MUG: 1000}
    worth = worth_of_units(wanted={TEA: 2}, refunded={}, prices=prices, subtotal=2000, paid=2000)
    assert worth == 1000


def test_a_discount_is_shared_by_price_and_tax_as_well() -> None:
    prices = {TEA: 500, MUG: 1000}
    # 20.00 of goods, 5.00 discount, 1.50 tax: 16.50 was paid
    assert worth_of_units(wanted={MUG: 1}, refunded={}, prices=prices, subtotal=2000, paid=1650) == 825


def test_goods_that_cost_nothing_are_worth_nothing() -> None:
    assert worth_of_units(wanted={TEA: 1}, refunded={}, prices={TEA: 0}, subtotal=0, paid=0) == 0


@given(
    lines=st.lists(st.tuples(st.integers(0, 99_999), st.integers(1, 9)), min_size=1, max_size=5),
    paid_share=st.integers(0, 130),
    order=st.randoms(use_true_random=False),
)
def test_all_units_one_by_one_are_worth_exactly_what_was_paid(
    lines: list[tuple[int, int]], paid_share: int, order: object
) -> None:
    ids = [uuid4() for _ in lines]
    prices = dict(zip(ids, (price for price, _ in lines), strict=True))
    subtotal = sum(price * quantity for price, quantity in lines)
    paid = subtotal * paid_share // 100
    units = [line for line, (_, quantity) in zip(ids, lines, strict=True) for _ in range(quantity)]
    order.shuffle(units)  # type: ignore[attr-defined]
    refunded: dict[UUID, int] = {}
    worths = []
    for unit in units:
        worths.append(worth_of_units(wanted={unit: 1}, refunded=refunded, prices=prices, subtotal=subtotal, paid=paid))
        refunded[unit] = refunded.get(unit, 0) + 1

    assert min(worths) >= 0
    assert sum(worths) == paid
