"""How much fits into a cart, and what its checkout waits for."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from domain.carts import CartCaps, ItemNow, MergeStrategy, RunningCheckout, merge
from domain.errors import Refusal

ASKED = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
DUE = datetime(2026, 3, 8, 12, 0, tzinfo=UTC)


def test_a_cart_may_be_full_to_the_brim() -> None:
    CartCaps(lines=2, units=10).check(lines=2, units=10)


@pytest.mark.parametrize(("lines", "units", "cap", "limit"), [(3, 10, "lines", 2), (2, 11, "units", 10)])
def test_what_does_not_fit_is_refused_with_the_name_of_the_cap(lines: int, units: int, cap: str, limit: int) -> None:
    with pytest.raises(Refusal) as refused:
        CartCaps(lines=2, units=10).check(lines=lines, units=units)

    assert (refused.value.code, refused.value.facts) == ("cart_full", {"cap": cap, "limit": limit})
    assert refused.value.detail == f"A cart has at most {limit} {cap}; this would make it {limit + 1}."


@pytest.mark.parametrize(
    ("payment", "step", "waits_for", "until"),
    [
        ("pending", None, "decision", None),
        ("requires_action", None, "requires_action", datetime(2026, 3, 1, 12, 30, tzinfo=UTC)),
        ("pending", "transfer_awaited", "transfer_awaited", DUE),
        ("pending", "payment_unknown", "payment_unknown", None),
    ],
)
def test_a_checkout_says_what_it_waits_for_and_until_when(
    payment: str, step: str | None, waits_for: str, until: datetime | None
) -> None:
    running = RunningCheckout(
        payment_status=payment,
        pending_step=step,
        approval_asked_at=ASKED if payment == "requires_action" else None,
        transfer_due_at=DUE if step == "transfer_awaited" else None,
    )

    assert (running.waits_for, running.until) == (waits_for, until)


def test_a_checkout_at_the_bank_says_so_in_words() -> None:
    running = RunningCheckout(
        payment_status="requires_action", pending_step=None, approval_asked_at=ASKED, transfer_due_at=None
    )

    assert running.words == (
        "its payment has to be approved on the bank's page by 01 March, 12:30 UTC, or the order cancelled"
    )


A, B, C = (UUID(int=number) for number in (1, 2, 3))
WIDE = CartCaps(lines=10, units=5000)


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        (MergeStrategy.SUM, {A: 5, B: 4, C: 7}),
        (MergeStrategy.GUEST, {A: 3, B: 4, C: 7}),
        (MergeStrategy.CUSTOMER, {A: 2, B: 4, C: 7}),
    ],
)
def test_each_strategy_says_what_counts_of_things_that_are_in_both_carts(
    strategy: MergeStrategy, expected: dict[UUID, int]
) -> None:
    merged = merge({A: 2, B: 4}, {A: 3, C: 7}, strategy, WIDE)

    assert (merged.quantities, merged.left_out) == (expected, {})


@pytest.mark.parametrize(
    ("existing", "guest", "caps", "quantities", "left_out"),
    [
        ({A: 998}, {A: 3}, WIDE, {A: 999}, {A: 2}),
        ({A: 1}, {B: 2, C: 3}, CartCaps(lines=2, units=50), {A: 1, B: 2}, {C: 3}),
        ({A: 6}, {A: 3, B: 4}, CartCaps(lines=9, units=10), {A: 9, B: 1}, {B: 3}),
        ({A: 9}, {B: 1, A: 1}, CartCaps(lines=1, units=5), {A: 9}, {B: 1, A: 1}),
        ({A: 2}, {}, WIDE, {A: 2}, {}),
    ],
    ids=["a line is full", "there is no line left", "there are no units left", "over lowered caps", "empty"],
)
def test_what_finds_no_room_is_named_and_nothing_of_the_customers_goes(
    existing: dict[UUID, int],
    guest: dict[UUID, int],
    caps: CartCaps,
    quantities: dict[UUID, int],
    left_out: dict[UUID, int],
) -> None:
    merged = merge(existing, guest, MergeStrategy.SUM, caps)

    assert (merged.quantities, merged.left_out) == (quantities, left_out)


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({}, []),
        ({"noted_price": 900}, ["price_changed"]),
        ({"noted_price": None}, []),
        ({"available": 2}, []),
        ({"available": 1}, ["short_stock"]),
        ({"noted_price": 900, "available": 0}, ["price_changed", "short_stock"]),
        ({"is_sold": False, "noted_price": 900, "available": 0}, ["not_sold"]),
    ],
)
def test_a_cart_warns_of_what_changed_since_something_was_put_in(item: dict[str, Any], expected: list[str]) -> None:
    facts = {"id": A, "quantity": 2, "noted_price": 1000, "is_sold": True, "available": 9, **item}

    assert ItemNow(**facts).warnings(1000) == expected
