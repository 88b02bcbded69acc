"""Shipping: the parcels of orders."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, text, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, Id, Now, one_of
from domain.inventory import MAIN_LOCATION
from domain.shipping import FulfillmentStatus, Remedy, Undelivered
from domain.tracking import TrackingStatus


class Fulfillment(Base):
    """One parcel."""

    __tablename__ = "fulfillments"

    id: Mapped[Id]
    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id"), index=True)
    location: Mapped[str] = mapped_column(server_default=MAIN_LOCATION)
    status: Mapped[str] = mapped_column(server_default=FulfillmentStatus.PENDING)
    carrier: Mapped[str | None]
    tracking_number: Mapped[str | None]
    charge: Mapped[int | None] = mapped_column(BigInteger)
    """What is captured for this parcel, in minor units; fixed when shipping begins, so that repeats agree."""
    is_last: Mapped[bool] = mapped_column(server_default=text("false"))
    undelivered: Mapped[str | None]
    """Why it will not arrive although it has left; then it is cancelled, and ``remedy`` says what was done about it."""
    remedy: Mapped[str | None]
    replaces_id: Mapped[UUID | None] = mapped_column(ForeignKey("fulfillments.id"), unique=True)
    """The undelivered parcel whose units this one carries once more; they are paid for."""
    refund_id: Mapped[UUID | None] = mapped_column(ForeignKey("refunds.id"), unique=True)
    tracking_status: Mapped[str | None]
    """How far it is, as its carrier says."""
    tracked_at: Mapped[datetime | None]
    """When the carrier noticed that."""
    created_at: Mapped[Now]
    shipped_at: Mapped[datetime | None]
    delivered_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint(one_of("status", FulfillmentStatus), name="status"),
        CheckConstraint(one_of("tracking_status", TrackingStatus), name="tracking_status"),
        CheckConstraint("(tracking_status IS NULL) = (tracked_at IS NULL)", name="tracked_has_time"),
        Index(
            "ix_fulfillments_tracking_number", "tracking_number", postgresql_where=text("tracking_number IS NOT NULL")
        ),
        CheckConstraint("charge >= 0", name="charge_not_negative"),
        CheckConstraint("status NOT IN ('shipped', 'delivered') OR shipped_at IS NOT NULL", name="shipped_has_time"),
        CheckConstraint(one_of("undelivered", Undelivered), name="undelivered"),
        CheckConstraint(one_of("remedy", Remedy), name="remedy"),
        CheckConstraint("(undelivered IS NULL) = (remedy IS NULL)", name="undelivered_has_remedy"),
        CheckConstraint(
            "undelivered IS NULL OR (status = 'cancelled' AND shipped_at IS NOT NULL)", name="undelivered_had_left"
        ),
        CheckConstraint("replaces_id IS NULL OR coalesce(charge, 0) = 0", name="replacement_costs_nothing"),
    )


class FulfillmentItem(Base):
    __tablename__ = "fulfillment_items"

    fulfillment_id: Mapped[UUID] = mapped_column(ForeignKey("fulfillments.id", ondelete="CASCADE"), primary_key=True)
    order_line_id: Mapped[UUID] = mapped_column(ForeignKey("order_lines.id"), primary_key=True, index=True)
    quantity: Mapped[int]

    __table_args__ = (CheckConstraint("quantity > 0", name="quantity_positive"),)


async def cancel_pending(session: AsyncSession, order_id: UUID) -> None:
    """Parcels that have not left are cancelled with their order."""
    await session.execute(
        update(Fulfillment)
        .where(Fulfillment.order_id == order_id, Fulfillment.status == FulfillmentStatus.PENDING)
        .values(status=FulfillmentStatus.CANCELLED)
    )
