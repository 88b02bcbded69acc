"""When somebody is reminded of a cart, and when nobody is."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain.cart_reminders import LeftCart, ReminderRules

RULES = ReminderRules(idle=timedelta(hours=24), most=2)
LEFT_AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
NOW = LEFT_AT + timedelta(hours=30)
DAY = timedelta(hours=24)


@pytest.mark.parametrize(
    ("facts", "due_at"),
    [
        ({}, LEFT_AT + DAY),
        ({"sent": 1, "last_sent_at": NOW}, NOW + DAY),
        ({"sent": 1, "last_sent_at": LEFT_AT - DAY}, LEFT_AT + DAY),
        ({"sent": 2, "last_sent_at": NOW}, None),
        ({"sent_to_address": 2}, None),
        ({"is_wanted": False}, None),
        ({"is_in_checkout": True}, NOW + DAY),
    ],
    ids=["left", "reminded once", "changed since", "often enough", "of other carts", "not wanted", "at the bank"],
)
def test_a_cart_is_reminded_of_when_it_was_left_and_seldom(facts: dict[str, Any], due_at: datetime | None) -> None:
    left: dict[str, Any] = {
        "changed_at": LEFT_AT,
        "is_wanted": True,
        "is_in_checkout": False,
        "sent": 0,
        "last_sent_at": None,
        "sent_to_address": 0,
    }

    assert LeftCart(**{**left, **facts}).due_at(RULES, NOW) == due_at


def test_a_shop_can_do_without_reminders() -> None:
    left = LeftCart(
        changed_at=LEFT_AT, is_wanted=True, is_in_checkout=False, sent=0, last_sent_at=None, sent_to_address=0
    )

    assert left.due_at(ReminderRules(idle=DAY, most=0), NOW) is None
