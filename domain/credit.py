"""Credit: money that the shop owes somebody already, on a gift card or in a customer's account."""

import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from domain.money import Money

ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
"""Nothing in it can be taken for something else."""
CODE_LENGTH = 16
"""Eighty random bits."""
GROUP_LENGTH = 4
SHOWN_LENGTH = 4
"""By so many of its last characters people know a card again."""
LONGEST_CODE = 40
MOST_CARDS = 10
"""As many gift cards pay for one order at most."""


class CreditKind(StrEnum):
    GIFT_CARD = "gift_card"
    STORE_CREDIT = "store_credit"


class CreditReason(StrEnum):
    """Why a balance has changed."""

    ISSUED = "issued"
    """A gift card begins with it."""
    ADJUSTED = "adjusted"
    """Staff gave or took it."""
    SPENT = "spent"
    """An order was placed with it."""
    GIVEN_BACK = "given_back"
    """That order, or some of its units, came to nothing."""
    REFUNDED = "refunded"
    """What the order was paid with comes back."""
    CONVERTED = "converted"
    """A refund of other money, which the customer gets as store credit."""


class GiftCardStatus(StrEnum):
    ACTIVE = "active"
    EXPIRED = "expired"
    DISABLED = "disabled"


def new_code() -> str:
    """As it is given away: in groups, which are easier to type."""
    drawn = "".join(secrets.choice(ALPHABET) for _ in range(CODE_LENGTH))
    return "-".join(drawn[at : at + GROUP_LENGTH] for at in range(0, CODE_LENGTH, GROUP_LENGTH))


def normalised(code: str) -> str:
    """A code as it is compared, however somebody has typed it."""
    return re.sub(r"[\s-]", "", code).upper()


class Obstacle(StrEnum):
    """Why a gift card cannot pay for a cart."""

    UNKNOWN = "unknown"
    DISABLED = "disabled"
    EXPIRED = "expired"
    OTHER_CURRENCY = "other_currency"
    EMPTY = "empty"
    TOO_MANY = "too_many"


@dataclass(frozen=True, kw_only=True, slots=True)
class Purse:
    """A balance that somebody wants to pay with; minor units of the cart's currency."""

    account_id: UUID
    kind: CreditKind
    last4: str | None
    balance: int
    obstacle: Obstacle | None = None
    """Of a gift card that cannot pay."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    purse: Purse
    amount: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Tender:
    """How a total is paid: first with the gift cards, in the order in which they were entered, then with store credit,
    and what is still due with what the payment provider takes."""

    total: Money
    shares: tuple[Share, ...] = ()

    @property
    def credit(self) -> int:
        return sum(share.amount for share in self.shares)

    @property
    def due(self) -> Money:
        return self.total - Money(self.credit, self.total.currency)

    @property
    def store_credit(self) -> int:
        return sum(share.amount for share in self.shares if share.purse.kind is CreditKind.STORE_CREDIT)

    @property
    def cards(self) -> list[Share]:
        return [share for share in self.shares if share.purse.kind is CreditKind.GIFT_CARD]

    def obstacle_of(self, share: Share) -> Obstacle | None:
        """Why this gift card cannot pay. One that the others have left nothing to pay for is content."""
        if share.purse.obstacle is None and share.purse.balance == 0 and self.due.minor > 0:
            return Obstacle.EMPTY
        return share.purse.obstacle


def tender(total: Money, purses: Iterable[Purse]) -> Tender:
    """Each purse pays as much as it can of what those before it have left; one with an obstacle pays nothing."""
    shares, left = [], total.minor
    for purse in purses:
        paid = 0 if purse.obstacle else min(purse.balance, left)
        shares.append(Share(purse=purse, amount=paid))
        left -= paid
    return Tender(total=total, shares=tuple(shares))


@dataclass(frozen=True, kw_only=True, slots=True)
class Paid:
    """What an account has paid for an order and not got back."""

    account_id: UUID
    amount: int


def coming_back(amount: int, paid: Sequence[Paid]) -> list[Paid]:
    """Where so much of an order's credit goes back to: what paid last gets its part first."""
    back = []
    for one in reversed(paid):
        part = min(one.amount, amount)
        if part > 0:
            back.append(Paid(account_id=one.account_id, amount=part))
        amount -= part
    return back


@dataclass(frozen=True, kw_only=True, slots=True)
class RefundParts:
    """What of a refund is the payment provider's, and what is credit: credit pays first and comes back last."""

    of_payment: int
    of_credit: int


def refund_parts(amount: int, *, payment_left: int) -> RefundParts:
    of_payment = min(amount, max(payment_left, 0))
    return RefundParts(of_payment=of_payment, of_credit=amount - of_payment)
