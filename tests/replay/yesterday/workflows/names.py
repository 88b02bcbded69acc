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


def registration_id(user_id: UUID) -> str:
    return f"registration:{user_id}"


def order_id(order: UUID) -> str:
    """One id for the whole life of an order: its first run is a ``Checkout``, the next its ``Fulfillment``.

    The order's id was given out with the cart's one live checkout, so twins of a checkout meet in one workflow.
    """
    return f"order:{order}"


MAILBOX_ID = "mailbox"


def payment_id(payment: UUID) -> str:
    return f"payment:{payment}"


def refund_id(refund: UUID) -> str:
    return f"refund:{refund}"


def return_id(goods: UUID) -> str:
    return f"return:{goods}"


ORDER_ID = SearchAttributeKey.for_keyword("OrderId")
ORDER_NUMBER = SearchAttributeKey.for_keyword("OrderNumber")
CUSTOMER_ID = SearchAttributeKey.for_keyword("CustomerId")
ORDER_STATUS = SearchAttributeKey.for_keyword("OrderStatus")
PAYMENT_STATUS = SearchAttributeKey.for_keyword("PaymentStatus")
NEEDS_ATTENTION = SearchAttributeKey.for_bool("NeedsAttention")

SEARCH_ATTRIBUTES = (ORDER_ID, ORDER_NUMBER, CUSTOMER_ID, ORDER_STATUS, PAYMENT_STATUS, NEEDS_ATTENTION)
"""Registered with the engine by ``deploy`` and by the tests, from this one list."""
