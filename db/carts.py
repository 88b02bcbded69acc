"""Carts: what a customer is about to order."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import CheckConstraint, ForeignKey, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, Id, Now


class Cart(Base):
    """A cart; while ``order_id`` is set a checkout owns it and nobody may change it."""

    __tablename__ = "carts"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    """Random, because a guest's cart id is the only thing that protects it."""
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"), index=True)
    currency: Mapped[str]
    email: Mapped[str | None]
    shipping_address: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    shipping_method: Mapped[str | None]
    version: Mapped[int] = mapped_column(server_default=text("1"))
    order_id: Mapped[UUID | None]
    created_at: Mapped[Now]
    updated_at: Mapped[Now]
    completed_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint("completed_at IS NULL OR order_id IS NOT NULL", name="completed_has_order"),
    )


class CartItem(Base):
    __tablename__ = "cart_items"

    id: Mapped[Id]
    cart_id: Mapped[UUID] = mapped_column(ForeignKey("carts.id", ondelete="CASCADE"))
    variant_id: Mapped[UUID] = mapped_column(ForeignKey("variants.id"))
    quantity: Mapped[int]
    created_at: Mapped[Now]

    __table_args__ = (
        UniqueConstraint("cart_id", "variant_id", name="uq_cart_items_cart_id_variant_id"),
        CheckConstraint("quantity BETWEEN 1 AND 999", name="quantity_range"),
    )
