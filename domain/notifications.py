"""What the shop writes to people."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class Occasion(StrEnum):
    """Why a mail is written; each has its own letter."""

    VERIFICATION = "verification"
    REMINDER = "reminder"
    PASSWORD_RESET = "password_reset"  # noqa: S105 (an occasion, no secret)
    PASSWORD_CHANGED = "password_changed"  # noqa: S105
    EMAIL_CHANGE_OLD = "email_change_old"
    """To the address that an account has, when somebody wants it to have another one."""
    EMAIL_CHANGE_NEW = "email_change_new"
    INVITATION = "invitation"
    SECOND_FACTOR_CHANGED = "second_factor_changed"
    ORDER_CONFIRMED = "order_confirmed"
    ORDER_DELIVERED = "order_delivered"
    ORDER_CANCELLED = "order_cancelled"
    """After it was confirmed; whoever has not paid is told by the checkout."""
    ORDER_REFUNDED = "order_refunded"
    PARCEL_SHIPPED = "parcel_shipped"
    TRANSFER_AWAITED = "transfer_awaited"
    TRANSFER_REMINDER = "transfer_reminder"
    TRANSFER_EXPIRED = "transfer_expired"
    CART_REMINDER = "cart_reminder"
    LATE_MONEY = "late_money"
    """A payment came for an order that was cancelled before, and went back."""


def mail_key(occasion: Occasion, subject: UUID | str) -> str:
    """Names one mail for ever: it is sent under this key, or it was sent already."""
    return f"{occasion}:{subject}"


class MailOutcome(StrEnum):
    SENT = "sent"
    SENT_BEFORE = "sent_before"
    NOBODY_TO_SEND_TO = "nobody_to_send_to"
    """The account is gone, or no longer waits for this mail."""
    REFUSED = "refused"
    """The other side says that there is no such mailbox. Trying again would not help."""
    GIVEN_UP = "given_up"
    """It could not be sent for a day."""


class MailTls(StrEnum):
    """How the way to the mail server is encrypted."""

    OFFERED = "offered"
    """Where the server offers it (STARTTLS); mails go in the clear where it does not."""
    STARTTLS = "starttls"
    IMPLICIT = "implicit"
    """From the first byte on, as on port 465."""


@dataclass(frozen=True, kw_only=True)
class Shift:
    """How long one turn of carrying letters to the mail server lasts."""

    seconds: float


@dataclass(frozen=True, kw_only=True)
class Carried:
    letters: int


@dataclass(frozen=True, kw_only=True)
class Mail:
    key: str
    """Names the occasion; a repetition carries the same key, and so the same Message-ID."""
    to: str
    subject: str
    text: str
    html: str
    unsubscribe: str | None = None
    """Where one request is enough to get no more mails of its kind."""
