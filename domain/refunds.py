"""Refunds: money that was taken goes back, in part or all of it, as often as it takes and never more than was taken."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from domain.money import Money
from domain.payments import PaymentStatus


class RefundStatus(StrEnum):
    REQUESTED = "requested"
    """The amount is set aside; the provider has not said yet that it is on its way."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """The provider refuses for good; the amount can be refunded in another way."""


class RefundTo(StrEnum):
    ORIGIN = "origin"
    """To where the money came from."""
    STORE_CREDIT = "store_credit"


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
    is_by_hand: bool = False
    """A person sends it back, as its money has come by bank transfer."""
    is_resumed: bool = False
    """Asked for before by a workflow that is gone; the provider is asked whether it has made it."""

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
    actor: str | None = None
    """The person who has sent it back; ``None`` for the provider."""
    note_id: UUID | None = None
    """Where the shop keeps the reference of that person's transfer."""


@dataclass(frozen=True, kw_only=True)
class PaidByHand:
    """A person's word that the money of a refund has been sent."""

    refund_id: UUID
    order_id: UUID
    actor: str
    note_id: UUID
    """Where the shop keeps the transfer's reference."""


@dataclass(frozen=True, kw_only=True)
class RefundState:
    refund_id: UUID
    status: RefundStatus
    payment_status: PaymentStatus
