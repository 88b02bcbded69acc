"""What a person is called for: orders that nobody but a person can help on."""

from enum import StrEnum


class Decision(StrEnum):
    """How a person can answer an order that waits for one."""

    RETRY = "retry"
    """Try once more what failed."""
    SKIP = "skip"
    """Go on without it."""
    CANCEL = "cancel"


class Concern(StrEnum):
    """Why an order is on the list of those that need a person. An order can have several concerns at once."""

    PAYMENT_UNKNOWN = "payment_unknown"
    """The provider has not said for too long what became of a payment."""
    PAYMENT_OVERDUE = "payment_overdue"
    """A bank transfer that was announced has not come."""
    PAYMENT_MISMATCH = "payment_mismatch"
    """The provider's books and ours differ."""
    PAYMENT_DISPUTED = "payment_disputed"
    """The customer's bank takes the money back."""
    AUTHORIZATION_EXPIRING = "authorization_expiring"
    """The provider is about to let go of money that no parcel has captured yet."""
    CAPTURE_REFUSED = "capture_refused"
    REFUND_FAILED = "refund_failed"
    UNDO_FAILING = "undo_failing"
    """Money or goods should be back already, and the step that brings them back keeps failing."""
    LATE_PARCEL = "late_parcel"
    """A parcel was not packed, sent or delivered in time."""
    LATE_RETURN = "late_return"
    BOOKS_BROKEN = "books_broken"
    """The audit found goods, money or workflows that do not add up."""
