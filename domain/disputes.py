"""Disputes: the customer's bank takes money back that was captured, until it is decided whose it is."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.money import Money


class DisputeStatus(StrEnum):
    OPEN = "open"
    """The money is with the bank; the shop can bring evidence."""
    WON = "won"
    """The money is here again."""
    LOST = "lost"
    """The money has gone back to the customer for good."""


ALLOWED_MOVES: dict[DisputeStatus, frozenset[DisputeStatus]] = {
    DisputeStatus.OPEN: frozenset({DisputeStatus.WON, DisputeStatus.LOST}),
    DisputeStatus.WON: frozenset(),
    DisputeStatus.LOST: frozenset(),
}


@dataclass(frozen=True, kw_only=True)
class DisputeNews:
    """What a provider says of a dispute at some moment."""

    reference: str
    payment_reference: str
    """The provider's id of the payment whose money is taken back."""
    amount: Money
    reason: str
    """The bank's reason, in the provider's own code."""
    status: DisputeStatus
    evidence_due_at: datetime | None
    opened_at: datetime
    told_at: datetime
    """When the provider said so. What it said earlier changes nothing that it said later."""
