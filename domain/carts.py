"""Carts: how much fits into one, how two become one, and what a checkout that owns one waits for."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from domain.deadlines import PATIENCE, Waiting
from domain.errors import Refusal
from domain.orders import PendingStep
from domain.payments import PaymentStatus

LARGEST_QUANTITY = 999
"""Units of one variant in one cart."""
MOST_LINES = 1000
MOST_UNITS = 100_000
"""No shop can allow more in one cart; the database holds every cart to these."""


@dataclass(frozen=True, kw_only=True)
class CartCaps:
    """What the shop allows in one cart."""

    lines: int = 200
    units: int = 10_000

    def check(self, *, lines: int, units: int) -> None:
        """Refuses ``cart_full`` and names the cap."""
        for cap, counted, most in (("lines", lines, self.lines), ("units", units, self.units)):
            if counted > most:
                raise Refusal(
                    "cart_full", f"A cart has at most {most} {cap}; this would make it {counted}.", cap=cap, limit=most
                )


USUAL_CAPS = CartCaps()


class CheckoutWait(StrEnum):
    """What the checkout that owns a cart waits for."""

    DECISION = "decision"
    """The shop is at work; usually for less than a second."""
    REQUIRES_ACTION = "requires_action"
    TRANSFER_AWAITED = "transfer_awaited"
    PAYMENT_UNKNOWN = "payment_unknown"


@dataclass(frozen=True, kw_only=True)
class RunningCheckout:
    """The checkout that owns a cart, as its order tells it."""

    payment_status: str
    pending_step: str | None
    approval_asked_at: datetime | None
    transfer_due_at: datetime | None

    @property
    def waits_for(self) -> CheckoutWait:
        if self.payment_status == PaymentStatus.REQUIRES_ACTION:
            return CheckoutWait.REQUIRES_ACTION
        if self.pending_step is not None:
            return {
                PendingStep.TRANSFER_AWAITED: CheckoutWait.TRANSFER_AWAITED,
                PendingStep.PAYMENT_UNKNOWN: CheckoutWait.PAYMENT_UNKNOWN,
            }[PendingStep(self.pending_step)]
        return CheckoutWait.DECISION

    @property
    def until(self) -> datetime | None:
        """When it ends by itself; ``None`` where the shop ends it as soon as it can."""
        match self.waits_for:
            case CheckoutWait.REQUIRES_ACTION if self.approval_asked_at is not None:
                return self.approval_asked_at + PATIENCE[Waiting.TO_BE_APPROVED]
            case CheckoutWait.TRANSFER_AWAITED:
                return self.transfer_due_at
        return None

    @property
    def words(self) -> str:
        by = f" by {self.until:%d %B, %H:%M} UTC" if self.until else ""
        match self.waits_for:
            case CheckoutWait.REQUIRES_ACTION:
                return f"its payment has to be approved on the bank's page{by}, or the order cancelled"
            case CheckoutWait.TRANSFER_AWAITED:
                return f"its bank transfer has to come{by}, or the order be cancelled"
            case CheckoutWait.PAYMENT_UNKNOWN:
                return "the payment provider has not said yet what became of the payment"
        return "the shop is deciding, which takes a moment"


class MergeStrategy(StrEnum):
    """What becomes of a guest's cart and a customer's when they are one person's."""

    SUM = "sum"
    """Quantities add up."""
    GUEST = "guest"
    """What is in both carts counts as the guest chose it."""
    CUSTOMER = "customer"
    """What is in both carts counts as it was in the customer's."""


@dataclass(frozen=True, kw_only=True)
class Merge:
    """What the customer's cart holds afterwards, and what of the guest's did not fit."""

    quantities: dict[UUID, int]
    left_out: dict[UUID, int]


def merge(existing: Mapping[UUID, int], guest: Mapping[UUID, int], strategy: MergeStrategy, caps: CartCaps) -> Merge:
    """Quantities by variant. What was in the customer's cart never has to leave it for what comes."""
    quantities, left_out = dict(existing), {}
    for variant, wanted in _wanted(existing, guest, strategy).items():
        before = quantities.get(variant, 0)
        room = max(caps.units - sum(quantities.values()), 0)
        if variant not in quantities and len(quantities) >= caps.lines:
            room = 0
        now = min(wanted, LARGEST_QUANTITY, before + room)
        if now > 0:
            quantities[variant] = now
        if now < wanted:
            left_out[variant] = wanted - now
    return Merge(quantities=quantities, left_out=left_out)


def _wanted(existing: Mapping[UUID, int], guest: Mapping[UUID, int], strategy: MergeStrategy) -> dict[UUID, int]:
    match strategy:
        case MergeStrategy.SUM:
            return {variant: existing.get(variant, 0) + quantity for variant, quantity in guest.items()}
        case MergeStrategy.GUEST:
            return dict(guest)
        case MergeStrategy.CUSTOMER:
            return {variant: existing.get(variant, quantity) for variant, quantity in guest.items()}


class Warned(StrEnum):
    """What a customer should know of something in their cart before they order it."""

    PRICE_CHANGED = "price_changed"
    NOT_SOLD = "not_sold"
    SHORT_STOCK = "short_stock"


@dataclass(frozen=True, kw_only=True)
class ItemNow:
    """Something in a cart as it stands in the shop at this moment."""

    id: UUID
    quantity: int
    noted_price: int | None
    """``None`` when nobody has noted what it cost; then nothing can have changed."""
    is_sold: bool
    available: int
    """On hand, less what others have reserved."""

    def warnings(self, price: int) -> list[Warned]:
        """``price`` is what one unit costs now."""
        if not self.is_sold:
            return [Warned.NOT_SOLD]
        found = []
        if self.noted_price is not None and self.noted_price != price:
            found.append(Warned.PRICE_CHANGED)
        if self.available < self.quantity:
            found.append(Warned.SHORT_STOCK)
        return found
