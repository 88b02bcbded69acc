"""How much fits into a cart, and what its checkout waits for."""

from datetime import UTC, datetime

import pytest

from domain.carts import CartCaps, RunningCheckout
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
