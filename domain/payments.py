"""What the shop asks of a payment provider, and what a provider can answer."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from domain.deadlines import Wait
from domain.disputes import DisputeNews
from domain.money import Money

MANUAL = "manual"
"""The provider of payments by bank transfer: money that a person sees come and sends back."""
NOTHING = "nothing"
"""The provider of orders that cost nothing, for which nobody is asked for money."""


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
        {
            PaymentStatus.REQUIRES_ACTION,
            PaymentStatus.AUTHORIZED,
            PaymentStatus.CAPTURED,
            PaymentStatus.FAILED,
            PaymentStatus.VOIDED,
        }
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
    EXPECTED = "expected"
    """The payer sends the money, and a person will say when it has come."""
    DECLINED = "declined"


@dataclass(frozen=True, kw_only=True)
class AuthorizePayment:
    payment_id: UUID
    order_id: UUID
    order_number: str
    method: str
    """The provider's token for the customer's card, never card data; or ``manual``."""
    total: Money
    key: str
    """The provider's idempotency key: the same for every repetition of this wish."""
    is_resumed: bool = False
    """Asked for before by a workflow that is gone, maybe so long ago that the provider has forgotten the key."""
    is_payer_away: bool = False
    """Nobody is there to approve it with the bank, so a bank that wants that declines."""


def authorize_key(order: UUID, nth: int = 1) -> str:
    """An order's payment is asked for once, under this key; and once more each time that it lapsed."""
    return f"order/{order}/authorize/{nth}"


@dataclass(frozen=True, kw_only=True)
class PaymentAuthorization:
    answer: Answer
    reference: str | None
    """The provider's own id of the payment; ``None`` when it refused to make one."""
    amount_minor: int = 0
    decline_code: str | None = None
    redirect_url: str | None = None
    """Where the customer must go when the answer is ``requires_action``."""
    is_captured: bool = False
    """All of it is ours already; no parcel has to capture it."""


@dataclass(frozen=True, kw_only=True)
class AwaitTransfer:
    """Ask the customer for a bank transfer, and note until when it is waited for."""

    order_id: UUID
    payment_id: UUID
    due_at: datetime


@dataclass(frozen=True, kw_only=True)
class RemindOfTransfer:
    order_id: UUID


@dataclass(frozen=True, kw_only=True)
class TransferReceived:
    """A person's word that the money of a bank transfer has come."""

    order_id: UUID
    actor: str
    note_id: UUID
    """Where the shop keeps the transfer's reference."""


@dataclass(frozen=True, kw_only=True)
class LookUpPayment:
    payment_id: UUID


@dataclass(frozen=True, kw_only=True)
class PaymentFound:
    payment: PaymentAuthorization | None
    """``None`` when the provider has never heard of it."""


@dataclass(frozen=True, kw_only=True)
class FollowPayment:
    """Follow a payment that one call did not settle: the customer must act, until a deadline."""

    payment_id: UUID
    order_id: UUID
    order_number: str
    authorization: PaymentAuthorization


@dataclass(frozen=True, kw_only=True)
class ProviderPayment:
    """A payment as the provider knows it, whatever our books say."""

    payment_id: UUID | None
    order_id: UUID | None
    amount: Money
    """What it still holds or keeps for the shop."""


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
    has_lapsed: bool = False
    """The provider has let go of the money; nothing can be captured unless it is authorised anew."""


@dataclass(frozen=True, kw_only=True)
class RenewAuthorization:
    """The provider has let go of all the money: have it authorised anew, with the method that the customer chose."""

    payment_id: UUID
    order_id: UUID
    order_number: str
    total: Money
    key: str


@dataclass(frozen=True, kw_only=True)
class AuthorizationRenewed:
    refusal: str | None = None
    """Why the money is not held again, in the provider's own code; ``None``: it is."""
    waits: list[Wait] = field(default_factory=list)
    """What the order waits for now."""


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
    BY_HAND = "by_hand"
    """What has come, if anything has, a person must send back."""


@dataclass(frozen=True, kw_only=True)
class PaymentGivenBack:
    how: MoneyBack


class Listener(StrEnum):
    """Which story has to hear of a provider's event."""

    PAYMENT = "payment"
    """The one that waits for the customer at the bank."""
    ORDER = "order"
    """The order's own."""
    STRAY = "stray"
    """The one that gives back money which no order wants."""


@dataclass(frozen=True, kw_only=True)
class BookedPayment:
    """A payment as the provider's own books have it, in minor units."""

    reference: str
    payment_id: UUID | None
    """Our id; ``None`` when the payment is not one that the shop asked for."""
    currency: str
    held: int
    """What the card still holds for the shop."""
    captured: int
    refunded: int
    created_at: datetime

    @property
    def kept(self) -> int:
        return self.captured - self.refunded


@dataclass(frozen=True, kw_only=True)
class ProviderEvent:
    """What a provider's webhook says, as far as the shop acts on it."""

    event_id: str
    type: str
    payment_id: UUID | None
    """Our id, which the provider carries in its metadata; ``None`` when the event is not about a payment of ours."""
    reference: str | None
    brings_money: bool = False
    """It says that money is held or taken."""
    is_ours: bool = False
    """The payment was asked for by this very shop, whatever its books say."""
    dispute: DisputeNews | None = None
    """It says how a dispute about a payment stands."""


@dataclass(frozen=True, kw_only=True)
class Notice:
    """An event of the inbox that a story has to hear of."""

    event_id: str
    listener: Listener
    payment_id: UUID | None
    order_id: UUID | None
    reference: str | None


@dataclass(frozen=True, kw_only=True)
class LookIntoStray:
    """Money may have arrived that no order wants."""

    reference: str


@dataclass(frozen=True, kw_only=True)
class StrayFound:
    """What the provider holds or took under a reference, and whose it is."""

    is_wanted: bool
    """An order is paid with it, or its story still sees to it."""
    amount: Money | None = None
    """What could be given back; ``None`` for nothing."""
    order_id: UUID | None = None
    """``None`` when our books know no such order."""
    payment_id: UUID | None = None


@dataclass(frozen=True, kw_only=True)
class NoteLateMoney:
    """Money that arrived for nothing has been given back."""

    reference: str
    amount: Money
    how: MoneyBack
    order_id: UUID | None


@dataclass(frozen=True, kw_only=True)
class LateMoneyNoted:
    is_news: bool
