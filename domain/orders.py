"""Orders: their lines, their status, and which change of status is allowed."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from domain.attention import Concern, Decision
from domain.errors import Refusal
from domain.money import Money
from domain.payments import MoneyBack, PaymentAuthorization, PaymentStatus
from domain.refunds import RefundMoney


class OrderStatus(StrEnum):
    PENDING = "pending"
    CONFIRMED = "confirmed"
    SHIPPED = "shipped"
    DELIVERED = "delivered"
    CANCELLED = "cancelled"


class PendingStep(StrEnum):
    """What a pending order waits for, where its status and its payment's do not say."""

    PAYMENT_UNKNOWN = "payment_unknown"
    """Nobody knows what the provider made of our wish; it is asked until it says."""
    TRANSFER_AWAITED = "transfer_awaited"
    """The customer was asked for a bank transfer, and a person will say when it has come."""


ALLOWED_MOVES: dict[OrderStatus, frozenset[OrderStatus]] = {
    OrderStatus.PENDING: frozenset({OrderStatus.CONFIRMED, OrderStatus.CANCELLED}),
    OrderStatus.CONFIRMED: frozenset({OrderStatus.SHIPPED, OrderStatus.CANCELLED}),
    OrderStatus.SHIPPED: frozenset({OrderStatus.DELIVERED, OrderStatus.CANCELLED}),
    OrderStatus.DELIVERED: frozenset(),
    OrderStatus.CANCELLED: frozenset(),
}


def is_final(status: OrderStatus) -> bool:
    """Nothing moves it on any more; money and goods may still go back."""
    return not ALLOWED_MOVES[status]


def allowed_moves(current: OrderStatus, *, but: OrderStatus | None = None) -> list[str]:
    """What a refusal names as possible; ``but`` is the move that it refuses."""
    return sorted(str(move) for move in ALLOWED_MOVES[current] if move is not but)


def check_move(current: OrderStatus, wanted: OrderStatus) -> None:
    """Refuses ``order_transition_not_allowed``, naming the moves that are, unless the table allows the move."""
    if wanted not in ALLOWED_MOVES[current]:
        raise Refusal(
            "order_transition_not_allowed",
            f"An order that is {current} cannot become {wanted}.",
            current_status=str(current),
            allowed=allowed_moves(current),
        )


def number_of(sequence: int) -> str:
    """The number people read on the phone. Numbers rise; a checkout that was refused leaves a gap."""
    return f"S-{sequence}"


def sequence_of(number: str) -> int:
    """The other way round; ``ValueError`` for what is no order number."""
    prefix, _, sequence = number.partition("-")
    if prefix != "S" or not sequence.isdecimal():
        raise ValueError(f"{number!r} is not an order number")
    return int(sequence)


class CancelReason(StrEnum):
    CUSTOMER = "customer"
    OPERATOR = "operator"
    PAYMENT_DECLINED = "payment_declined"
    PAYMENT_UNAVAILABLE = "payment_unavailable"
    PAYMENT_EXPIRED = "payment_expired"
    PAYMENT_MISMATCH = "payment_mismatch"
    """The provider held another amount than was asked for."""
    UNDELIVERABLE = "undeliverable"
    """Nothing of what was sent has arrived, and the money is given back."""
    NOT_STARTED = "not_started"
    """The workflow engine was away for as long as the goods could be held."""

    @classmethod
    def of(cls, actor: str) -> "CancelReason":
        """Why an order is cancelled by somebody whose own words stand elsewhere."""
        return cls.OPERATOR if actor.partition(":")[0] in ("operator", "admin") else cls.CUSTOMER


@dataclass(frozen=True, kw_only=True)
class Refused:
    """Why something was not done; the same words that the API answers with."""

    code: str
    detail: str
    facts: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def because(cls, refusal: Refusal) -> "Refused":
        return cls(code=refusal.code, detail=refusal.detail, facts=refusal.facts)

    def as_refusal(self) -> Refusal:
        return Refusal(self.code, self.detail, **self.facts)


@dataclass(frozen=True, kw_only=True)
class StartCheckout:
    """Turn a cart into a paid order. All ids were given out before, so every repetition means the same order."""

    order_id: UUID
    order_number: str
    cart_id: UUID
    payment_id: UUID
    payment_method: str
    customer: str
    """Whose order it is, for operators who search: a user id, or ``guest``."""
    expected_total_minor: int | None = None
    transfer_window: timedelta | None = None
    """How long a bank transfer is waited for; ``None`` when a card pays."""
    transfer_until: datetime | None = None
    """That instant exactly, where it is known: the end of a day."""
    is_resumed: bool = False
    """Its first workflow is gone; what that one did is looked for before anything is done."""


@dataclass(frozen=True, kw_only=True)
class PlaceOrder:
    order_id: UUID
    order_number: str
    cart_id: UUID
    payment_id: UUID
    expected_total_minor: int | None
    hold_seconds: int
    """How long the stock stays reserved for a customer who has not paid."""
    is_manual: bool = False
    """It is paid by bank transfer."""
    is_tax_provider_silent: bool = False
    """It was asked in vain; what that means is the shop's setting."""


@dataclass(frozen=True, kw_only=True)
class PlacedOrder:
    order_id: UUID
    total: Money
    units: int


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Either the order that was placed, or why it was not; then nothing was written."""

    order: PlacedOrder | None = None
    refused: Refused | None = None
    asks_for_taxes: bool = False
    """Neither yet: the tax provider has not been asked about what is in the cart."""


@dataclass(frozen=True, kw_only=True)
class AwaitCustomer:
    """Note on the order that its payer must act, and where."""

    order_id: UUID
    payment_id: UUID
    authorization: PaymentAuthorization


@dataclass(frozen=True, kw_only=True)
class AwaitProvider:
    """Note on the order that nobody knows about its payment, and keep its goods a while longer."""

    order_id: UUID
    hold_seconds: int


@dataclass(frozen=True, kw_only=True)
class ConfirmOrder:
    order_id: UUID
    payment_id: UUID
    authorization: PaymentAuthorization
    actor: str = "system"
    note_id: UUID | None = None
    """Where the shop keeps the reference of the transfer that paid it."""


@dataclass(frozen=True, kw_only=True)
class ChangeAddress:
    """Have the order sent to the address that was written down under this id."""

    order_id: UUID
    change_id: UUID
    actor: str
    expected: list[int] | None = None
    """The versions of the order that it may be based on; ``None`` when any will do."""


@dataclass(frozen=True, kw_only=True)
class CancelOrder:
    order_id: UUID
    reason: str
    actor: str = "system"
    note_id: UUID | None = None
    money: MoneyBack = MoneyBack.NOTHING_TAKEN
    """What became of the customer's money before the order is cancelled."""
    declined: PaymentAuthorization | None = None


@dataclass(frozen=True, kw_only=True)
class OrderAttention:
    """What a person has to look at."""

    order_id: UUID
    concern: Concern
    detail: str | None
    """In words; ``None`` when nobody has to look any more."""


@dataclass(frozen=True, kw_only=True)
class OrderState:
    order_id: UUID
    status: OrderStatus
    payment_status: PaymentStatus
    refund: RefundMoney | None = None
    """What a person has to send back now; ``None`` for nothing."""


class CheckoutStatus(StrEnum):
    CONFIRMED = "confirmed"
    REQUIRES_ACTION = "requires_action"
    UNDECIDED = "undecided"
    REFUSED = "refused"


@dataclass(frozen=True, kw_only=True)
class CheckoutOutcome:
    """What the customer is told: confirmed, must act, not decided yet, or refused and why."""

    status: CheckoutStatus
    refused: Refused | None = None


@dataclass(frozen=True, kw_only=True)
class AskToCancel:
    reason: str
    actor: str
    """``customer:<id>`` or ``operator:<id>``: who is responsible, in the order's timeline."""
    note_id: UUID | None = None
    """Where the shop keeps the words in which it was asked."""


@dataclass(frozen=True, kw_only=True)
class Resolve:
    """A person's answer to an order that waits for one."""

    decision: Decision
    actor: str
    note_id: UUID | None = None


@dataclass(frozen=True, kw_only=True)
class OrderAftercare:
    """What the story of a delivered order begins with."""

    order_id: UUID
    order_number: str


@dataclass(frozen=True, kw_only=True)
class CloseOrder:
    order_id: UUID
    now: datetime


@dataclass(frozen=True, kw_only=True)
class Closing:
    """When the order was closed, or when to look at it again."""

    closed_at: datetime | None = None
    look_again_at: datetime | None = None
