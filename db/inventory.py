"""Stock: how much there is, who holds it, and every movement that made it so."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, Now
from domain.inventory import MAIN_LOCATION


class Location(Base):
    __tablename__ = "locations"

    code: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]


class Stock(Base):
    """Units of a variant at a location; what can be sold is ``on_hand - reserved``."""

    __tablename__ = "stock"

    variant_id: Mapped[UUID] = mapped_column(ForeignKey("variants.id"), primary_key=True)
    location: Mapped[str] = mapped_column(
        ForeignKey("locations.code"), primary_key=True, server_default=MAIN_LOCATION
    )
    on_hand: Mapped[int] = mapped_column(server_default=text("0"))
    reserved: Mapped[int] = mapped_column(server_default=text("0"))

    __table_args__ = (
        CheckConstraint("on_hand >= 0", name="on_hand_not_negative"),
        CheckConstraint("reserved >= 0", name="reserved_not_negative"),
        CheckConstraint("reserved <= on_hand", name="not_oversold"),
    )


class StockHold(Base):
    """Units that an order has reserved: taken by parcels or given back, never both."""

    __tablename__ = "stock_holds"

    order_id: Mapped[UUID] = mapped_column(primary_key=True)
    variant_id: Mapped[UUID] = mapped_column(ForeignKey("variants.id"), primary_key=True)
    location: Mapped[str] = mapped_column(primary_key=True, server_default=MAIN_LOCATION)
    quantity: Mapped[int]
    shipped: Mapped[int] = mapped_column(server_default=text("0"))
    released: Mapped[int] = mapped_column(server_default=text("0"))
    expires_at: Mapped[datetime | None]
    """Until when an unpaid order may keep the units; ``None`` once it is confirmed."""

    __table_args__ = (
        CheckConstraint("quantity > 0", name="quantity_positive"),
        CheckConstraint("shipped >= 0 AND released >= 0 AND shipped + released <= quantity", name="not_used_twice"),
        Index("ix_stock_holds_open", "variant_id", postgresql_where=text("shipped + released < quantity")),
    )


class StockMovement(Base):
    """One entry of the stock ledger; the sums of all entries are the stock. Rows are never changed."""

    __tablename__ = "stock_movements"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    variant_id: Mapped[UUID]
    location: Mapped[str] = mapped_column(server_default=MAIN_LOCATION)
    on_hand_change: Mapped[int]
    reserved_change: Mapped[int]
    reason: Mapped[str]
    order_id: Mapped[UUID | None]
    actor: Mapped[str] = mapped_column(server_default="system")
    at: Mapped[Now]

    __table_args__ = (
        Index("ix_stock_movements_variant_id_id", "variant_id", "id"),
        Index("ix_stock_movements_order_id", "order_id", postgresql_where=text("order_id IS NOT NULL")),
    )
