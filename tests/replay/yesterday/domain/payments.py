"""What the shop asks of a payment provider, and what a provider can answer."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from tests.replay.yesterday.domain.money import Money


class PaymentStatus(StrEnum):
    PENDING = "pending"
    REQUIRES_ACTION = "requires_action"
    AUTHORIZED = "authorized"
    CAPTURED = "captured"
    PARTIALLY_REFUNDED = "partially_refunded"
    REFUNDED = "refunded"
    VOIDED = "voided"
    FAILED = "failed"


ALLOWED_MOVES: dict[PaymentStatus, frozenset[PaymentStatus]] = {
    PaymentStatus.PENDING: frozenset(
        {PaymentStatus.REQUIRES_ACTION, PaymentStatus.AUTHORIZED, PaymentStatus.FAILED, PaymentStatus.VOIDED}
    ),
    PaymentStatus.REQUIRES_ACTION: frozenset(
        {PaymentStatus.AUTHORIZED, PaymentStatus.FAILED, PaymentStatus.VOIDED, PaymentStatus.REFUNDED}
    ),
    PaymentStatus.AUTHORIZED: frozenset({PaymentStatus.CAPTURED, PaymentStatus.VOIDED, PaymentStatus.REFUNDED}),
    PaymentStatus.CAPTURED: frozenset({PaymentStatus.PARTIALLY_REFUNDED, PaymentStatus.REFUNDED}),
    PaymentStatus.PARTIALLY_REFUNDED: frozenset({PaymentStatus.REFUNDED}),
    PaymentStatus.REFUNDED: frozenset(),
    PaymentStatus.VOIDED: frozenset(),
    PaymentStatus.FAILED: frozenset(),
}


class Answer(StrEnum):
    """How a provider answered the wish to have an amount authorised."""

    AUTHORIZED = "authorized"
    REQUIRES_ACTION = "requires_action"
    DECLINED = "declined"


@dataclass(frozen=True, kw_only=True)
class AuthorizePayment:
    payment_id: UUID
    order_id: UUID
    order_number: str
    method: str
    """The provider's token for the customer's card; never card data."""
    total: Money
    key: str
    """The provider's idempotency key: the same for every repetition of this wish."""


@dataclass(frozen=True, kw_only=True)
class PaymentAuthorization:
    answer: Answer
    reference: str | None
    """The provider's own id of the payment; ``None`` when it refused to make one."""
    amount_minor: int = 0
    decline_code: str | None = None
    redirect_url: str | None = None
    """Where the customer must go when the answer is ``requires_action``."""


@dataclass(frozen=True, kw_only=True)
class LookUpPayment:
    payment_id: UUID


@dataclass(frozen=True, kw_only=True)
class FollowPayment:
    """Follow a payment that one call did not settle: the customer must act, until a deadline."""

    payment_id: UUID
    order_id: UUID
    order_number: str
    authorization: PaymentAuthorization


@dataclass(frozen=True, kw_only=True)
class CapturePayment:
    payment_id: UUID
    amount: Money
    is_final: bool
    """Nothing more will be captured; the provider frees the rest."""
    key: str


@dataclass(frozen=True, kw_only=True)
class PaymentCapture:
    is_captured: bool
    refusal: str | None = None
    """Why the provider refuses for good, in its own code."""


@dataclass(frozen=True, kw_only=True)
class ReleasePayment:
    """Nothing more will be captured: the provider frees what the card still holds."""

    payment_id: UUID
    order_id: UUID
    key: str


@dataclass(frozen=True, kw_only=True)
class PaymentReleased:
    payment_status: PaymentStatus


@dataclass(frozen=True, kw_only=True)
class GiveMoneyBack:
    """Undo an authorisation whatever became of it: asked for and unanswered, held, or already captured."""

    payment_id: UUID
    order_id: UUID
    total: Money
    authorize_key: str
    """The key that the authorisation was asked for with, so that a late one can be found or prevented."""
    reference: str | None = None


class MoneyBack(StrEnum):
    NOTHING_TAKEN = "nothing_taken"
    VOIDED = "voided"
    REFUNDED = "refunded"


@dataclass(frozen=True, kw_only=True)
class PaymentGivenBack:
    how: MoneyBack


@dataclass(frozen=True, kw_only=True)
class ProviderEvent:
    """What a provider's webhook says, as far as the shop acts on it."""

    event_id: str
    type: str
    payment_id: UUID | None
    """Our id, which the provider carries in its metadata; ``None`` when the event is not about a payment of ours."""
    reference: str | None
