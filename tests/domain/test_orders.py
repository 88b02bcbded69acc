"""Which changes of an order are allowed, and how its number is read."""

import itertools

import pytest

from domain.errors import Refusal
from domain.orders import ALLOWED_MOVES, OrderStatus, Refused, check_move, number_of, sequence_of

ALLOWED = {
    ("pending", "confirmed"),
    ("pending", "cancelled"),
    ("confirmed", "shipped"),
    ("confirmed", "cancelled"),
    ("shipped", "delivered"),
    ("shipped", "cancelled"),
}


@pytest.mark.parametrize(("current", "wanted"), list(itertools.product(OrderStatus, OrderStatus)))
def test_only_these_moves_are_allowed(current: OrderStatus, wanted: OrderStatus) -> None:
    if (current, wanted) in ALLOWED:
        check_move(current, wanted)
        return
    with pytest.raises(Refusal) as refused:
        check_move(current, wanted)
    assert refused.value.code == "order_transition_not_allowed"
    assert refused.value.facts == {
        "current_status": current,
        "allowed": sorted(wanted for status, wanted in ALLOWED if status == current),
    }


def test_every_status_is_in_the_table() -> None:
    assert set(ALLOWED_MOVES) == set(OrderStatus)


def test_a_delivered_and_a_cancelled_order_stay_what_they_are() -> None:
    assert ALLOWED_MOVES[OrderStatus.DELIVERED] == ALLOWED_MOVES[OrderStatus.CANCELLED] == frozenset()


@pytest.mark.parametrize("sequence", [1, 1001, 10**12])
def test_an_order_number_leads_back_to_its_sequence(sequence: int) -> None:
    assert sequence_of(number_of(sequence)) == sequence


@pytest.mark.parametrize("number", ["", "S-", "1001", "X-1001", "S-10a1", "S--1", "S-1.5", "s-1001"])
def test_what_is_no_order_number_is_told(number: str) -> None:
    with pytest.raises(ValueError, match="is not an order number"):
        sequence_of(number)


def test_a_refusal_passes_through_an_outcome_unchanged() -> None:
    refusal = Refusal("out_of_stock", "Not enough.", items=[{"sku": "A", "available": 1}])

    back = Refused.because(refusal).as_refusal()

    assert (back.code, back.detail, back.facts) == (refusal.code, refusal.detail, refusal.facts)
