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


def registration_id(user_id: UUID) -> str:
    return f"registration:{user_id}"


def checkout_id(order_id: UUID) -> str:
    """Derived from the order that the cart's one live checkout stands for, so twins meet in one workflow."""
    return f"checkout:{order_id}"


def payment_id(payment: UUID) -> str:
    return f"payment:{payment}"


def fulfillment_id(order_id: UUID) -> str:
    return f"fulfillment:{order_id}"


ORDER_ID = SearchAttributeKey.for_keyword("OrderId")
ORDER_NUMBER = SearchAttributeKey.for_keyword("OrderNumber")
CUSTOMER_ID = SearchAttributeKey.for_keyword("CustomerId")
ORDER_STATUS = SearchAttributeKey.for_keyword("OrderStatus")
PAYMENT_STATUS = SearchAttributeKey.for_keyword("PaymentStatus")
NEEDS_ATTENTION = SearchAttributeKey.for_bool("NeedsAttention")

SEARCH_ATTRIBUTES = (ORDER_ID, ORDER_NUMBER, CUSTOMER_ID, ORDER_STATUS, PAYMENT_STATUS, NEEDS_ATTENTION)
"""Registered with the engine by ``deploy`` and by the tests, from this one list."""
