"""All tables in one place, for migrations and tests."""

from db import carts, catalog, customers, inventory, notifications, orders, outbox, payments, shipping
from db.base import Base

metadata = Base.metadata

__all__ = ["carts", "catalog", "customers", "inventory", "metadata", "notifications", "orders", "outbox", "payments", "shipping"]
