"""Payments: what a provider promised, took and gave back for an order, and what it told us by webhook."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, Id, Now, one_of
from domain.payments import PaymentStatus


class Payment(Base):
    """Amounts are minor units. Capture never exceeds what was authorised, nor refund what was captured."""

    __tablename__ = "payments"

    id: Mapped[Id]
    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id"), unique=True)
    provider: Mapped[str]
    provider_reference: Mapped[str | None] = mapped_column(unique=True)
    status: Mapped[str] = mapped_column(server_default=PaymentStatus.PENDING)
    currency: Mapped[str]
    amount: Mapped[int] = mapped_column(BigInteger)
    authorized: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    captured: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    refunded: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    decline_code: Mapped[str | None]
    redirect_url: Mapped[str | None]
    created_at: Mapped[Now]
    updated_at: Mapped[Now]

    __table_args__ = (
        CheckConstraint(one_of("status", PaymentStatus), name="status"),
        CheckConstraint("amount >= 0 AND authorized >= 0", name="amounts_not_negative"),
        CheckConstraint("captured BETWEEN 0 AND authorized", name="captured_within_authorized"),
        CheckConstraint("refunded BETWEEN 0 AND captured", name="refunded_within_captured"),
    )


class WebhookEvent(Base):
    """The inbox: a provider's event is a row here before the provider is answered."""

    __tablename__ = "webhook_events"

    provider: Mapped[str] = mapped_column(primary_key=True)
    event_id: Mapped[str] = mapped_column(primary_key=True)
    type: Mapped[str]
    payload: Mapped[dict[str, Any]] = mapped_column(JSONB)
    """Ids and amounts only; whoever needs more asks the provider."""
    received_at: Mapped[Now]
    handled_at: Mapped[datetime | None]

    __table_args__ = (
        Index("ix_webhook_events_unhandled", "received_at", postgresql_where=text("handled_at IS NULL")),
    )
