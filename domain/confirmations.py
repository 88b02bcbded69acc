"""What takes a click in a mail to come true: a link that works once, and not for long."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from domain.notifications import Occasion


class Purpose(StrEnum):
    """What is done when the link is followed."""

    PASSWORD_RESET = "password_reset"  # noqa: S105 (a purpose, no secret)
    EMAIL_CHANGE = "email_change"
    INVITATION = "invitation"


class ConfirmationStatus(StrEnum):
    OPEN = "open"
    CONFIRMED = "confirmed"
    REFUSED = "refused"
    EXPIRED = "expired"


class ConfirmationOutcome(StrEnum):
    CONFIRMED = "confirmed"
    REFUSED = "refused"
    EXPIRED = "expired"
    NOBODY_ASKED = "nobody_asked"
    """It was asked for in the name of somebody who is not there; whoever asked was not told."""


@dataclass(frozen=True, kw_only=True)
class AskForConfirmation:
    """Mail these letters, each with a link of its own, and wait for one of them to be followed."""

    confirmation_id: UUID
    letters: list[Occasion]
    expires_after_seconds: int


@dataclass(frozen=True, kw_only=True)
class MailLink:
    confirmation_id: UUID
    occasion: Occasion


@dataclass(frozen=True, kw_only=True)
class CloseConfirmation:
    confirmation_id: UUID
