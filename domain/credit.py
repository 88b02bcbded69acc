"""Credit: money that the shop owes somebody already, on a gift card or in a customer's account."""

import re
import secrets
from enum import StrEnum

ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
"""Nothing in it can be taken for something else."""
CODE_LENGTH = 16
"""Eighty random bits."""
GROUP_LENGTH = 4
SHOWN_LENGTH = 4
"""By so many of its last characters people know a card again."""
LONGEST_CODE = 40


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
