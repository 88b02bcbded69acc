"""Refunds: money that was taken goes back, in part or all of it, as often as it takes and never more than was taken."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from tests.replay.yesterday.domain.money import Money
from tests.replay.yesterday.domain.payments import PaymentStatus


class RefundStatus(StrEnum):
    REQUESTED = "requested"
    """The amount is set aside; the provider has not said yet that it is on its way."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """The provider refuses for good; the amount can be refunded in another way."""


ALLOWED_MOVES: dict[RefundStatus, frozenset[RefundStatus]] = {
    RefundStatus.REQUESTED: frozenset({RefundStatus.SUCCEEDED, RefundStatus.FAILED}),
    RefundStatus.SUCCEEDED: frozenset(),
    RefundStatus.FAILED: frozenset(),
}


@dataclass(frozen=True, kw_only=True)
class RefundMoney:
    """What the story of one refund begins with."""

    refund_id: UUID
    order_id: UUID
    order_number: str
    payment_id: UUID
    amount: Money

    @property
    def key(self) -> str:
        """The provider's idempotency key: the same for every repetition of this refund."""
        return f"refund/{self.refund_id}"


@dataclass(frozen=True, kw_only=True)
class PaymentRefund:
    """How the provider answered the wish for a refund."""

    is_refunded: bool
    reference: str | None = None
    """The provider's own id of the refund."""
    refusal: str | None = None
    """Why it refuses for good, in its own code."""


@dataclass(frozen=True, kw_only=True)
class SettleRefund:
    refund_id: UUID
    order_id: UUID
    outcome: PaymentRefund


@dataclass(frozen=True, kw_only=True)
class RefundState:
    refund_id: UUID
    status: RefundStatus
    payment_status: PaymentStatus


def worth_of_units(
    *, wanted: Mapping[UUID, int], refunded: Mapping[UUID, int], prices: Mapping[UUID, int], subtotal: int, paid: int
) -> int:
    """What units are worth to a customer who gives them back, in minor units.

    ``paid`` is what the customer paid for all goods: the subtotal, less discounts, plus tax; the price of shipping is
    not part of it. Each unit has its share of that by its price. Shares are rounded down on the running sum over
    everything refunded so far, so that giving all units back one by one gives back exactly what was paid for them.
    """
    before = sum(prices[line] * quantity for line, quantity in refunded.items())
    after = before + sum(prices[line] * quantity for line, quantity in wanted.items())
    if subtotal == 0:
        return 0
    return after * paid // subtotal - before * paid // subtotal
