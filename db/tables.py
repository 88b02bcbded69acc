"""All tables in one place, for migrations and tests."""

from db import (
    audit_log,
    breaches,
    cancellations,
    carts,
    catalog,
    checkouts,
    concerns,
    customers,
    disputes,
    exports,
    idempotency,
    imports,
    inventory,
    late_money,
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
    "audit_log",
    "breaches",
    "cancellations",
    "carts",
    "catalog",
    "checkouts",
    "concerns",
    "customers",
    "disputes",
    "exports",
    "idempotency",
    "imports",
    "inventory",
    "late_money",
    "mailbox",
    "metadata",
    "orders",
    "outbox",
    "payments",
    "refunds",
    "returns",
    "shipping",
]
