"""Orders: the checkouts that lead to them, their lines, and the timeline of all that happened to them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, Sequence, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, Id, Now, one_of
from domain.orders import OrderStatus
from domain.payments import PaymentStatus
from domain.shipping import OrderFulfillmentStatus

order_numbers = Sequence("order_numbers", metadata=Base.metadata, start=1001)


class Checkout(Base):
    """The intake: a customer's wish to order a cart, written down before anything is started.

    A cart has at most one checkout that was not refused, so twins meet here and share one order id.
    """

    __tablename__ = "checkouts"

    order_id: Mapped[Id]
    order_number: Mapped[int] = mapped_column(BigInteger)
    payment_id: Mapped[UUID]
    cart_id: Mapped[UUID] = mapped_column(ForeignKey("carts.id"))
    payment_method: Mapped[str]
    expected_total: Mapped[int | None] = mapped_column(BigInteger)
    is_refused: Mapped[bool] = mapped_column(server_default=text("false"))
    answer_status: Mapped[int | None]
    answer: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    """What the customer was told first; a repeated request gets it again."""
    created_at: Mapped[Now]

    __table_args__ = (
        Index("uq_checkouts_cart_id", "cart_id", unique=True, postgresql_where=text("NOT is_refused")),
    )


class IdempotencyKey(Base):
    """Which order a caller's ``Idempotency-Key`` stands for, and the fingerprint of the request it came with."""

    __tablename__ = "idempotency_keys"

    caller: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    request_hash: Mapped[bytes]
    order_id: Mapped[UUID] = mapped_column(ForeignKey("checkouts.order_id"))
    created_at: Mapped[Now]


class Order(Base):
    """Amounts are minor units of the order's one currency."""

    __tablename__ = "orders"

    id: Mapped[Id]
    number: Mapped[int] = mapped_column(BigInteger, unique=True)
    cart_id: Mapped[UUID]
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    email: Mapped[str]
    status: Mapped[str] = mapped_column(server_default=OrderStatus.PENDING)
    payment_status: Mapped[str] = mapped_column(server_default=PaymentStatus.PENDING)
    fulfillment_status: Mapped[str] = mapped_column(server_default=OrderFulfillmentStatus.UNFULFILLED)
    currency: Mapped[str]
    subtotal: Mapped[int] = mapped_column(BigInteger)
    discount: Mapped[int] = mapped_column(BigInteger)
    shipping: Mapped[int] = mapped_column(BigInteger)
    tax: Mapped[int] = mapped_column(BigInteger)
    total: Mapped[int] = mapped_column(BigInteger)
    shipping_method: Mapped[str]
    shipping_address: Mapped[dict[str, Any]] = mapped_column(JSONB)
    cancel_reason: Mapped[str | None]
    attention: Mapped[str | None]
    """What a person has to decide; ``None`` when nobody has to."""
    created_at: Mapped[Now]
    updated_at: Mapped[Now]

    __table_args__ = (
        Index("uq_orders_cart_id", "cart_id", unique=True, postgresql_where=text("status <> 'cancelled'")),
        Index("ix_orders_user_id_id", "user_id", "id"),
        Index("ix_orders_status_id", "status", "id"),
        CheckConstraint(one_of("status", OrderStatus), name="status"),
        CheckConstraint(one_of("payment_status", PaymentStatus), name="payment_status"),
        CheckConstraint(one_of("fulfillment_status", OrderFulfillmentStatus), name="fulfillment_status"),
        CheckConstraint("total = subtotal - discount + shipping + tax", name="total_adds_up"),
        CheckConstraint("least(subtotal, discount, shipping, tax, total) >= 0", name="amounts_not_negative"),
        CheckConstraint("(status = 'cancelled') = (cancel_reason IS NOT NULL)", name="cancelled_has_reason"),
    )


class OrderLine(Base):
    """What was ordered, copied at the moment of ordering: later changes of the catalogue do not reach it."""

    __tablename__ = "order_lines"

    id: Mapped[Id]
    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id"), index=True)
    position: Mapped[int]
    variant_id: Mapped[UUID]
    sku: Mapped[str]
    name: Mapped[str]
    quantity: Mapped[int]
    unit_price: Mapped[int] = mapped_column(BigInteger)
    line_total: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (
        CheckConstraint("quantity > 0", name="quantity_positive"),
        CheckConstraint("line_total = unit_price * quantity", name="line_total_adds_up"),
    )


class OrderEvent(Base):
    """One entry of an order's timeline. Rows are only ever added."""

    __tablename__ = "order_events"

    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id"), primary_key=True)
    sequence: Mapped[int] = mapped_column(primary_key=True)
    type: Mapped[str]
    actor: Mapped[str]
    data: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    at: Mapped[Now]
