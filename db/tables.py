"""All tables in one place, for migrations and tests."""

from db import (
    carts,
    catalog,
    checkouts,
    customers,
    inventory,
    mailbox,
    orders,
    outbox,
    payments,
    refunds,
    returns,
    shipping,
)
from db.base import Base

metadata = Base.metadata

__all__ = [
    "carts",
    "catalog",
    "checkouts",
    "customers",
    "inventory",
    "mailbox",
    "metadata",
    "orders",
    "outbox",
    "payments",
    "refunds",
    "returns",
    "shipping",
]
