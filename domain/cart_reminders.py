"""Reminders of carts that were left: when the next one is due, and when there is none any more."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

MOST_EVER = 9
"""The database lets no shop send more about one cart."""
A_WHILE = timedelta(days=7)
"""In this time an address gets no more than one cart alone would bring it."""


@dataclass(frozen=True, kw_only=True)
class RemindOfCart:
    cart_id: UUID


@dataclass(frozen=True, kw_only=True)
class LookAtCart:
    cart_id: UUID
    now: datetime


@dataclass(frozen=True, kw_only=True)
class CartStanding:
    look_again_at: datetime | None
    """``None`` when there is nothing to remind of any more."""
    sent: int


@dataclass(frozen=True, kw_only=True)
class ReminderRules:
    idle: timedelta
    """How long nobody has touched the cart, nor was reminded of it."""
    most: int


@dataclass(frozen=True, kw_only=True)
class LeftCart:
    """What decides about the reminders of a cart."""

    changed_at: datetime
    is_wanted: bool
    """There is something in it and somebody to remind, who agreed and has not taken that back."""
    is_in_checkout: bool
    sent: int
    last_sent_at: datetime | None
    sent_to_address: int
    """In the last while, about whatever cart."""

    def due_at(self, rules: ReminderRules, now: datetime) -> datetime | None:
        """When to remind, or to look again; ``None`` when never."""
        if not self.is_wanted or self.sent >= rules.most or self.sent_to_address >= rules.most:
            return None
        if self.is_in_checkout:
            return now + rules.idle
        return max(self.changed_at, self.last_sent_at or self.changed_at) + rules.idle
