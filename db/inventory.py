"""Stock: how much there is, who holds it, and every movement that made it so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, Now
from domain.catalog import LARGEST_STOCK
from domain.errors import Refusal
from domain.inventory import MAIN_LOCATION, Shortage, StockLevel, out_of_stock


class Location(Base):
    __tablename__ = "locations"

    code: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]


class Stock(Base):
    """Units of a variant at a location; what can be sold is ``on_hand - reserved``."""

    __tablename__ = "stock"

    variant_id: Mapped[UUID] = mapped_column(ForeignKey("variants.id"), primary_key=True)
    location: Mapped[str] = mapped_column(ForeignKey("locations.code"), primary_key=True, server_default=MAIN_LOCATION)
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


@dataclass(frozen=True, slots=True)
class Demand:
    """Units of one variant that an order needs, summed over all of its lines."""

    variant_id: UUID
    sku: str
    quantity: int


async def reserve(session: AsyncSession, order_id: UUID, demands: Sequence[Demand], *, hold_seconds: int) -> None:
    """Reserve all of the demand for the order; refuses ``out_of_stock`` when any of it is short.

    The refusal must end the transaction: what was enough is reserved until then. Rows are locked in the order of
    their keys, so two orders for the same goods cannot deadlock, and each is taken only if it still suffices.
    """
    found = await session.execute(
        TAKE_STOCK,
        {
            "order_id": order_id,
            "variants": [demand.variant_id for demand in demands],
            "quantities": [demand.quantity for demand in demands],
            "hold_seconds": hold_seconds,
        },
    )
    stock = {row.variant_id: row for row in found}
    shortages = [
        Shortage(
            variant_id=demand.variant_id,
            sku=demand.sku,
            requested=demand.quantity,
            available=stock[demand.variant_id].available if demand.variant_id in stock else 0,
        )
        for demand in demands
        if demand.variant_id not in stock or not stock[demand.variant_id].is_taken
    ]
    if shortages:
        raise out_of_stock(shortages)


TAKE_STOCK = text(
    """
    WITH demand AS (
        SELECT * FROM unnest(CAST(:variants AS uuid[]), CAST(:quantities AS int[])) AS demand (variant_id, quantity)
    ), locked AS (
        SELECT stock.variant_id, stock.on_hand - stock.reserved AS available, demand.quantity
        FROM stock JOIN demand USING (variant_id)
        WHERE stock.location = 'main'
        ORDER BY stock.variant_id
        FOR UPDATE OF stock
    ), taken AS (
        UPDATE stock SET reserved = stock.reserved + locked.quantity
        FROM locked
        WHERE stock.variant_id = locked.variant_id AND stock.location = 'main'
          AND stock.on_hand - stock.reserved >= locked.quantity
        RETURNING stock.variant_id, locked.quantity
    ), held AS (
        INSERT INTO stock_holds (order_id, variant_id, location, quantity, expires_at)
        SELECT :order_id, variant_id, 'main', quantity, now() + make_interval(secs => :hold_seconds) FROM taken
    ), moved AS (
        INSERT INTO stock_movements (variant_id, location, on_hand_change, reserved_change, reason, order_id)
        SELECT variant_id, 'main', 0, quantity, 'reserved', :order_id FROM taken
    )
    SELECT locked.variant_id, locked.available, taken.variant_id IS NOT NULL AS is_taken
    FROM locked LEFT JOIN taken USING (variant_id)
    """
)


async def hold_again(session: AsyncSession, order_id: UUID, demands: Sequence[Demand], *, actor: str) -> None:
    """Reserve units for a paid order that lacks them; refuses ``out_of_stock`` when any of it is short."""
    held = await session.execute(
        HOLD_AGAIN,
        {
            "order_id": order_id,
            "variants": [demand.variant_id for demand in demands],
            "quantities": [demand.quantity for demand in demands],
            "actor": actor,
        },
    )
    stock = {row.variant_id: row for row in held}
    if shortages := [
        Shortage(
            variant_id=demand.variant_id,
            sku=demand.sku,
            requested=demand.quantity,
            available=stock[demand.variant_id].available if demand.variant_id in stock else 0,
        )
        for demand in demands
        if demand.variant_id not in stock or not stock[demand.variant_id].is_taken
    ]:
        raise out_of_stock(shortages)


HOLD_AGAIN = text(
    """
    WITH demand AS (
        SELECT * FROM unnest(CAST(:variants AS uuid[]), CAST(:quantities AS int[])) AS demand (variant_id, quantity)
    ), locked AS (
        SELECT stock.variant_id, stock.on_hand - stock.reserved AS available, demand.quantity
        FROM stock JOIN demand USING (variant_id)
        WHERE stock.location = 'main'
        ORDER BY stock.variant_id
        FOR UPDATE OF stock
    ), taken AS (
        UPDATE stock SET reserved = stock.reserved + locked.quantity
        FROM locked
        WHERE stock.variant_id = locked.variant_id AND stock.location = 'main'
          AND stock.on_hand - stock.reserved >= locked.quantity
        RETURNING stock.variant_id, locked.quantity
    ), held AS (
        INSERT INTO stock_holds (order_id, variant_id, location, quantity)
        SELECT :order_id, variant_id, 'main', quantity FROM taken
        ON CONFLICT (order_id, variant_id, location)
        DO UPDATE SET quantity = stock_holds.quantity + excluded.quantity
    ), moved AS (
        INSERT INTO stock_movements (variant_id, location, on_hand_change, reserved_change, reason, order_id, actor)
        SELECT variant_id, 'main', 0, quantity, 'reserved', :order_id, :actor FROM taken
    )
    SELECT locked.variant_id, locked.available, taken.variant_id IS NOT NULL AS is_taken
    FROM locked LEFT JOIN taken USING (variant_id)
    """
)


async def keep(session: AsyncSession, order_id: UUID, *, hold_seconds: int) -> None:
    """An unpaid order may keep its units for so long from now; a shorter time than it has changes nothing."""
    await session.execute(KEEP_STOCK, {"order_id": order_id, "hold_seconds": hold_seconds})


KEEP_STOCK = text(
    """
    UPDATE stock_holds SET expires_at = greatest(expires_at, now() + make_interval(secs => :hold_seconds))
    WHERE order_id = :order_id AND expires_at IS NOT NULL
    """
)


async def hold_until(session: AsyncSession, order_id: UUID, deadline: datetime) -> None:
    """What the unpaid order has reserved stays reserved until then."""
    await session.execute(
        text("UPDATE stock_holds SET expires_at = :deadline WHERE order_id = :id AND expires_at IS NOT NULL"),
        {"id": order_id, "deadline": deadline},
    )


async def release(session: AsyncSession, order_id: UUID, *, reason: str) -> None:
    """Give back all that the order still holds; what was given back or shipped before is left alone."""
    await session.execute(RELEASE_STOCK, {"order_id": order_id, "reason": reason})


RELEASE_STOCK = text(
    """
    WITH held AS (
        SELECT variant_id, location, quantity - shipped - released AS quantity
        FROM stock_holds
        WHERE order_id = :order_id AND shipped + released < quantity
        ORDER BY variant_id
        FOR UPDATE
    ), locked AS (
        SELECT stock.variant_id, stock.location, held.quantity
        FROM stock JOIN held ON stock.variant_id = held.variant_id AND stock.location = held.location
        ORDER BY stock.variant_id
        FOR UPDATE OF stock
    ), given_back AS (
        UPDATE stock_holds SET released = stock_holds.released + held.quantity
        FROM held
        WHERE stock_holds.order_id = :order_id
          AND stock_holds.variant_id = held.variant_id AND stock_holds.location = held.location
    ), freed AS (
        UPDATE stock SET reserved = stock.reserved - locked.quantity
        FROM locked
        WHERE stock.variant_id = locked.variant_id AND stock.location = locked.location
    )
    INSERT INTO stock_movements (variant_id, location, on_hand_change, reserved_change, reason, order_id)
    SELECT variant_id, location, 0, -quantity, :reason, :order_id FROM held
    """
)


async def release_units(session: AsyncSession, order_id: UUID, units: Mapping[UUID, int], *, actor: str) -> None:
    """Give back some of the units that the order holds."""
    released = await session.execute(
        RELEASE_UNITS,
        {"order_id": order_id, "variants": list(units), "quantities": list(units.values()), "actor": actor},
    )
    if released.scalar_one() != len(units):
        raise AssertionError(f"order {order_id} gives back units that it does not hold")


RELEASE_UNITS = text(
    """
    WITH units AS (
        SELECT * FROM unnest(CAST(:variants AS uuid[]), CAST(:quantities AS int[])) AS units (variant_id, quantity)
        ORDER BY variant_id
    ), given_back AS (
        UPDATE stock_holds SET released = stock_holds.released + units.quantity
        FROM units
        WHERE stock_holds.order_id = :order_id AND stock_holds.variant_id = units.variant_id
          AND stock_holds.quantity - stock_holds.shipped - stock_holds.released >= units.quantity
        RETURNING stock_holds.variant_id, stock_holds.location, units.quantity
    ), locked AS (
        SELECT stock.variant_id, stock.location, given_back.quantity
        FROM stock JOIN given_back ON stock.variant_id = given_back.variant_id AND stock.location = given_back.location
        ORDER BY stock.variant_id
        FOR UPDATE OF stock
    ), freed AS (
        UPDATE stock SET reserved = stock.reserved - locked.quantity
        FROM locked
        WHERE stock.variant_id = locked.variant_id AND stock.location = locked.location
    ), moved AS (
        INSERT INTO stock_movements (variant_id, location, on_hand_change, reserved_change, reason, order_id, actor)
        SELECT variant_id, location, 0, -quantity, 'cancelled', :order_id, :actor FROM given_back
    )
    SELECT count(*) FROM given_back
    """
)


async def ship(session: AsyncSession, order_id: UUID, parcel: Mapping[UUID, int], *, actor: str) -> None:
    """Take the parcel's units, which the order holds, out of the stock."""
    shipped = await session.execute(
        SHIP_STOCK,
        {
            "order_id": order_id,
            "variants": list(parcel),
            "quantities": list(parcel.values()),
            "actor": actor,
        },
    )
    if shipped.scalar_one() != len(parcel):
        raise AssertionError(f"order {order_id} ships units that it does not hold")


SHIP_STOCK = text(
    """
    WITH parcel AS (
        SELECT * FROM unnest(CAST(:variants AS uuid[]), CAST(:quantities AS int[])) AS parcel (variant_id, quantity)
        ORDER BY variant_id
    ), used AS (
        UPDATE stock_holds SET shipped = stock_holds.shipped + parcel.quantity
        FROM parcel
        WHERE stock_holds.order_id = :order_id AND stock_holds.variant_id = parcel.variant_id
          AND stock_holds.quantity - stock_holds.shipped - stock_holds.released >= parcel.quantity
        RETURNING stock_holds.variant_id, stock_holds.location, parcel.quantity
    ), locked AS (
        SELECT stock.variant_id, stock.location, used.quantity
        FROM stock JOIN used ON stock.variant_id = used.variant_id AND stock.location = used.location
        ORDER BY stock.variant_id
        FOR UPDATE OF stock
    ), gone AS (
        UPDATE stock SET on_hand = stock.on_hand - locked.quantity, reserved = stock.reserved - locked.quantity
        FROM locked
        WHERE stock.variant_id = locked.variant_id AND stock.location = locked.location
    ), moved AS (
        INSERT INTO stock_movements (variant_id, location, on_hand_change, reserved_change, reason, order_id, actor)
        SELECT variant_id, location, -quantity, -quantity, 'shipped', :order_id, :actor FROM used
    )
    SELECT count(*) FROM used
    """
)


async def restock(session: AsyncSession, order_id: UUID, units: Mapping[UUID, int], *, actor: str) -> None:
    """Units of the order that came back and can be sold again; the caller makes sure that it happens once."""
    await session.execute(
        RESTOCK,
        {
            "order_id": order_id,
            "variants": list(units),
            "quantities": list(units.values()),
            "actor": actor,
        },
    )


RESTOCK = text(
    """
    WITH back AS (
        SELECT * FROM unnest(CAST(:variants AS uuid[]), CAST(:quantities AS int[])) AS back (variant_id, quantity)
        ORDER BY variant_id
    ), locked AS (
        SELECT stock.variant_id, back.quantity FROM stock JOIN back USING (variant_id)
        WHERE stock.location = 'main' ORDER BY stock.variant_id FOR UPDATE OF stock
    ), stocked AS (
        UPDATE stock SET on_hand = stock.on_hand + locked.quantity
        FROM locked WHERE stock.variant_id = locked.variant_id AND stock.location = 'main'
    )
    INSERT INTO stock_movements (variant_id, location, on_hand_change, reserved_change, reason, order_id, actor)
    SELECT variant_id, 'main', quantity, 0, 'returned', :order_id, :actor FROM locked
    """
)


async def adjust(session: AsyncSession, variant_id: UUID, change: int, *, reason: str, actor: str) -> StockLevel:
    """Add units to the stock or take them off; refuses ``insufficient_stock`` for units that are not there or held."""
    wanted = {"variant_id": variant_id, "change": change, "reason": reason, "actor": actor, "most": LARGEST_STOCK}
    if adjusted := (await session.execute(ADJUST_STOCK, wanted)).one_or_none():
        return StockLevel(on_hand=adjusted.on_hand, reserved=adjusted.reserved)
    found = (await session.execute(READ_STOCK, {"variant_id": variant_id})).one_or_none()
    if found is None:
        raise Refusal("not_found", "There is no such variant.")
    level = StockLevel(on_hand=found.on_hand, reserved=found.reserved)
    if change > 0:
        wrong = {"pointer": "/quantity_change", "detail": f"There can be at most {LARGEST_STOCK} units in stock."}
        raise Refusal("validation_failed", "Some fields are not acceptable.", errors=[wrong])
    raise Refusal(
        "insufficient_stock",
        f"{level.available} units are free to be taken off the stock.",
        on_hand=level.on_hand,
        reserved=level.reserved,
        available=level.available,
    )


ADJUST_STOCK = text(
    """
    WITH adjusted AS (
        UPDATE stock SET on_hand = on_hand + :change
        WHERE variant_id = :variant_id AND location = 'main'
          AND CAST(on_hand AS bigint) + :change BETWEEN reserved AND :most
        RETURNING variant_id, on_hand, reserved
    ), moved AS (
        INSERT INTO stock_movements (variant_id, location, on_hand_change, reserved_change, reason, actor)
        SELECT variant_id, 'main', CAST(:change AS int), 0, :reason, :actor FROM adjusted
    )
    SELECT on_hand, reserved FROM adjusted
    """
)

READ_STOCK = text("SELECT on_hand, reserved FROM stock WHERE variant_id = :variant_id AND location = 'main'")


async def set_low_stock(session: AsyncSession, variant_id: UUID, quantity: int | None) -> None:
    """So many units of the variant, or fewer, are few from now on; ``None`` when the shop's own line is to hold."""
    wanted = {"variant_id": variant_id, "quantity": quantity}
    if (await session.scalar(SET_LOW_STOCK, wanted)) is None:
        raise Refusal("not_found", "There is no such variant.")


SET_LOW_STOCK = text("UPDATE variants SET low_stock = :quantity WHERE id = :variant_id RETURNING id")
