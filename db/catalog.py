"""The catalogue: categories, products, variants and their prices."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, Id, Now

CATALOGUE_LOCK = 7_283_001
"""Advisory lock of those who change the category tree: the tree is read, decided upon and written in three moves."""


class Category(Base):
    __tablename__ = "categories"

    id: Mapped[Id]
    parent_id: Mapped[UUID | None] = mapped_column(ForeignKey("categories.id"), index=True)
    slug: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    position: Mapped[int] = mapped_column(server_default=text("0"))
    created_at: Mapped[Now]
    updated_at: Mapped[Now]


class Product(Base):
    __tablename__ = "products"

    id: Mapped[Id]
    slug: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    description: Mapped[str] = mapped_column(server_default="")
    brand: Mapped[str | None]
    category_id: Mapped[UUID | None] = mapped_column(ForeignKey("categories.id"))
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    version: Mapped[int] = mapped_column(server_default=text("1"))
    created_at: Mapped[Now]
    updated_at: Mapped[Now]
    archived_at: Mapped[datetime | None]

    __table_args__ = (
        Index("ix_products_category_id_id", "category_id", "id"),
        Index("ix_products_name_id", "name", "id"),
        Index(
            "ix_products_search",
            text("to_tsvector('simple', name || ' ' || coalesce(brand, '') || ' ' || description)"),
            postgresql_using="gin",
        ),
        CheckConstraint("name <> ''", name="name_not_empty"),
    )


class Variant(Base):
    """What is priced, stocked and sold."""

    __tablename__ = "variants"

    id: Mapped[Id]
    product_id: Mapped[UUID] = mapped_column(ForeignKey("products.id"), index=True)
    sku: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str] = mapped_column(server_default="")
    options: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    position: Mapped[int] = mapped_column(server_default=text("0"))
    created_at: Mapped[Now]
    updated_at: Mapped[Now]


class Price(Base):
    """The price of one unit of a variant in one currency, in minor units."""

    __tablename__ = "prices"

    variant_id: Mapped[UUID] = mapped_column(ForeignKey("variants.id", ondelete="CASCADE"), primary_key=True)
    currency: Mapped[str] = mapped_column(primary_key=True)
    amount: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (
        CheckConstraint("amount >= 0", name="amount_not_negative"),
        CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency_code"),
        Index("ix_prices_currency_amount", "currency", "amount", "variant_id"),
    )


SOLD_NAME = """CASE WHEN variants.name IN ('', products.name) THEN products.name
                ELSE products.name || ' – ' || variants.name END"""
"""SQL for what carts and orders call a variant: the product's name, and the variant's own where it says more."""
