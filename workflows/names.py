"""Names that operators meet: workflow ids, task queues, search attributes."""

from enum import StrEnum
from uuid import UUID

from temporalio.common import SearchAttributeKey


class Queue(StrEnum):
    """One task queue per kind of work, and one worker file for each."""

    REGISTRATION = "registration"
    CHECKOUT = "checkout"
    PAYMENTS = "payments"
    FULFILLMENT = "fulfillment"
    NOTIFICATIONS = "notifications"
    OPERATIONS = "operations"
    CATALOG = "catalog"
    """Apart from the others, so that a large file delays no order and no repair."""


def registration_id(user_id: UUID) -> str:
    return f"registration:{user_id}"


def confirmation_id(confirmation: UUID) -> str:
    return f"confirmation:{confirmation}"


ORDER = "order:"


def order_id(order: UUID) -> str:
    """One id for the whole life of an order: its first run is a ``Checkout``, the next its ``Fulfillment``.

    The order's id was given out with the cart's one live checkout, so twins of a checkout meet in one workflow.
    """
    return f"{ORDER}{order}"


MAILBOX_ID = "mailbox"


def payment_id(payment: UUID) -> str:
    return f"payment:{payment}"


def stray_id(reference: str) -> str:
    """By the provider's own id: what it is about, nobody knows before it is looked into."""
    return f"stray:{reference}"


def refund_id(refund: UUID) -> str:
    return f"refund:{refund}"


def aftercare_id(order: UUID) -> str:
    return f"aftercare:{order}"


def return_id(goods: UUID) -> str:
    return f"return:{goods}"


def catalog_import_id(made: UUID, attempt: int) -> str:
    """Each pass over an import's rows is a workflow of its own."""
    return f"catalog-import:{made}:{attempt}"


def catalog_export_id(made: UUID) -> str:
    return f"catalog-export:{made}"


CATALOG_TIDYING_ID = "catalog-tidying"
"""Its Schedule's id, and the beginning of the workflow's that it starts."""

AUDIT_ID = "audit"
RECONCILIATION_ID = "reconciliation"
"""Their Schedules' ids, and the beginnings of the workflows' that those start."""


def repair_id(law: str, subject: str) -> str:
    """One repair of a breach at a time, whoever asks for it."""
    return f"repair:{law}:{subject}"


ORDER_ID = SearchAttributeKey.for_keyword("OrderId")
ORDER_NUMBER = SearchAttributeKey.for_keyword("OrderNumber")
CUSTOMER_ID = SearchAttributeKey.for_keyword("CustomerId")
ORDER_STATUS = SearchAttributeKey.for_keyword("OrderStatus")
PAYMENT_STATUS = SearchAttributeKey.for_keyword("PaymentStatus")
NEEDS_ATTENTION = SearchAttributeKey.for_bool("NeedsAttention")

SEARCH_ATTRIBUTES = (ORDER_ID, ORDER_NUMBER, CUSTOMER_ID, ORDER_STATUS, PAYMENT_STATUS, NEEDS_ATTENTION)
"""Registered with the engine by ``deploy`` and by the tests, from this one list."""
