"""All tables in one place, for migrations and tests."""

from db import carts, catalog, customers, inventory, orders, outbox, payments, shipping
from db.base import Base

metadata = Base.metadata

__all__ = ["carts", "catalog", "customers", "inventory", "metadata", "orders", "outbox", "payments", "shipping"]
