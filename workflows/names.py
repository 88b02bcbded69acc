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
    EVENTS = "events"
    CATALOG = "catalog"
    """Apart from the others, so that a large file delays no order and no repair."""
    WEBHOOKS = "webhooks"
    """Apart, because its hands mostly wait for servers of others."""


REGISTRATION = "registration:"
ORDER = "order:"
PAYMENT = "payment:"
REFUND = "refund:"
AFTERCARE = "aftercare:"
REMINDER = "reminder:"
ERASURE = "erasure:"
RETURN = "return:"
CATALOG_IMPORT = "catalog-import:"
CATALOG_EXPORT = "catalog-export:"
"""How ids begin; behind that stands the id of the row that the workflow is about."""


def registration_id(user_id: UUID) -> str:
    return f"{REGISTRATION}{user_id}"


def confirmation_id(confirmation: UUID) -> str:
    return f"confirmation:{confirmation}"


def order_id(order: UUID) -> str:
    """One id for the whole life of an order: its first run is a ``Checkout``, the next its ``Fulfillment``.

    The order's id was given out with the cart's one live checkout, so twins of a checkout meet in one workflow.
    """
    return f"{ORDER}{order}"


MAILBOX_ID = "mailbox"
EVENT_RELAY_ID = "event-relay"
WEBHOOK_DISPATCH_ID = "webhook-dispatch"


def webhook_delivery_id(endpoint: UUID, key: str) -> str:
    """By the endpoint and the order: its events are sent there by one story at a time, so none overtakes another."""
    return f"webhook:{endpoint}:{key}"


def webhook_probe_id(endpoint: UUID) -> str:
    return f"webhook-probe:{endpoint}"


def payment_id(payment: UUID) -> str:
    return f"{PAYMENT}{payment}"


def stray_id(reference: str) -> str:
    """By the provider's own id: what it is about, nobody knows before it is looked into."""
    return f"stray:{reference}"


def refund_id(refund: UUID) -> str:
    return f"{REFUND}{refund}"


def erasure_id(erasure: UUID) -> str:
    return f"{ERASURE}{erasure}"


def reminder_id(cart: UUID) -> str:
    """By the cart: a cart has one at a time, however often its customer agrees."""
    return f"{REMINDER}{cart}"


def aftercare_id(order: UUID) -> str:
    return f"{AFTERCARE}{order}"


def tracking_id(parcel: UUID) -> str:
    return f"tracking:{parcel}"


def return_id(goods: UUID) -> str:
    return f"{RETURN}{goods}"


def catalog_import_id(made: UUID, attempt: int) -> str:
    """Each pass over an import's rows is a workflow of its own."""
    return f"{CATALOG_IMPORT}{made}:{attempt}"


def catalog_export_id(made: UUID) -> str:
    return f"{CATALOG_EXPORT}{made}"


CATALOG_TIDYING_ID = "catalog-tidying"
"""Its Schedule's id, and the beginning of the workflow's that it starts."""

CART_TIDYING_ID = "cart-tidying"
"""The same."""

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


def row_of(prefix: str, workflow_id: str) -> UUID:
    """The id of the row that a workflow is about, whose own id begins with the prefix."""
    return UUID(workflow_id.removeprefix(prefix).partition(":")[0])
