"""Stock: how much there is, who holds it, and every movement that made it so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, TextClause, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, Now
from domain.catalog import LARGEST_STOCK
from domain.errors import Refusal, unacceptable
from domain.inventory import MAIN_LOCATION, Shortage, StockLevel, out_of_stock


class Location(Base):
    __tablename__ = "locations"

    code: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    priority: Mapped[int] = mapped_column(server_default=text("0"))
    """The lowest gives units first."""
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    """One that is not has no units and gets none."""

    __table_args__ = (CheckConstraint(f"is_active OR code <> '{MAIN_LOCATION}'", name="main_is_active"),)


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
    await _take(session, TAKE_STOCK, order_id, demands, hold_seconds=hold_seconds)


async def hold_again(session: AsyncSession, order_id: UUID, demands: Sequence[Demand], *, actor: str) -> None:
    """Reserve units for a paid order that lacks them; refuses ``out_of_stock`` when any of it is short."""
    await _take(session, HOLD_AGAIN, order_id, demands, actor=actor)


async def _take(
    session: AsyncSession, statement: TextClause, order_id: UUID, demands: Sequence[Demand], **otherwise: Any
) -> None:
    found = await session.execute(
        statement,
        {
            "order_id": order_id,
            "variants": [demand.variant_id for demand in demands],
            "quantities": [demand.quantity for demand in demands],
            **otherwise,
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


# Who moves units of a variant locks all of its rows, at whichever location: then no other transaction moves any, and
# what can be sold of it crosses each line once. Both columns are set to what they are under the lock: constraints are
# checked first on the row as it was when the statement began, to which a unit that came back since is unknown.
TAKEN = """
    WITH demand AS (
        SELECT * FROM unnest(CAST(:variants AS uuid[]), CAST(:quantities AS int[])) AS demand (variant_id, quantity)
    ), locked AS (
        SELECT stock.variant_id, stock.location, on_hand, reserved, on_hand - reserved AS free, demand.quantity
        FROM stock JOIN demand USING (variant_id)
        ORDER BY stock.variant_id, stock.location
        FOR UPDATE OF stock
    ), in_turn AS (
        SELECT locked.*, sum(free) OVER (PARTITION BY variant_id) AS available,
               sum(free) OVER (
                   PARTITION BY variant_id
                   ORDER BY free >= quantity DESC,
                            CASE WHEN current_setting('sutler.allocation', true) = 'most_stock' THEN -free END,
                            priority, location
               ) - free AS earlier
        FROM locked JOIN locations ON locations.code = locked.location
    ), parts AS (
        SELECT variant_id, location, on_hand, reserved, least(free, quantity - earlier)::int AS quantity FROM in_turn
        WHERE available >= quantity AND earlier < quantity AND free > 0
    ), taken AS (
        UPDATE stock SET on_hand = parts.on_hand, reserved = parts.reserved + parts.quantity
        FROM parts
        WHERE stock.variant_id = parts.variant_id AND stock.location = parts.location
        RETURNING stock.variant_id, stock.location, parts.quantity
    )
"""
"""Whole from one location if any has all of it, the preferred one first; otherwise from one after the other."""

WHAT_WAS_TAKEN = """
    SELECT in_turn.variant_id, min(in_turn.available)::int AS available,
           coalesce(sum(taken.quantity), 0) = min(in_turn.quantity) AS is_taken
    FROM in_turn LEFT JOIN taken USING (variant_id, location)
    GROUP BY in_turn.variant_id
"""

TAKE_STOCK = text(
    f"""
    {TAKEN}, held AS (
        INSERT INTO stock_holds (order_id, variant_id, location, quantity, expires_at)
        SELECT :order_id, variant_id, location, quantity, now() + make_interval(secs => :hold_seconds) FROM taken
    ), moved AS (
        INSERT INTO stock_movements (variant_id, location, on_hand_change, reserved_change, reason, order_id)
        SELECT variant_id, location, 0, quantity, 'reserved', :order_id FROM taken
    )
    {WHAT_WAS_TAKEN}
    """  # noqa: S608 (constant text)
)

HOLD_AGAIN = text(
    f"""
    {TAKEN}, held AS (
        INSERT INTO stock_holds (order_id, variant_id, location, quantity)
        SELECT :order_id, variant_id, location, quantity FROM taken
        ON CONFLICT (order_id, variant_id, location)
        DO UPDATE SET quantity = stock_holds.quantity + excluded.quantity
    ), moved AS (
        INSERT INTO stock_movements (variant_id, location, on_hand_change, reserved_change, reason, order_id, actor)
        SELECT variant_id, location, 0, quantity, 'reserved', :order_id, :actor FROM taken
    )
    {WHAT_WAS_TAKEN}
    """  # noqa: S608 (constant text)
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


def locked_for(moves: str) -> str:
    """SQL for a row that is there once all rows of the variants of these moves are locked, in the order of the keys."""
    return f"""
        SELECT count(*) FROM (
            SELECT FROM stock WHERE variant_id IN (SELECT variant_id FROM {moves})
            ORDER BY variant_id, location FOR UPDATE
        ) AS all_of_them
    """  # noqa: S608 (constant text)


RELEASE_STOCK = text(
    f"""
    WITH held AS (
        SELECT variant_id, location, quantity - shipped - released AS quantity
        FROM stock_holds
        WHERE order_id = :order_id AND shipped + released < quantity
        ORDER BY variant_id, location
        FOR UPDATE
    ), locked AS ({locked_for("held")}
    ), given_back AS (
        UPDATE stock_holds SET released = stock_holds.released + held.quantity
        FROM held
        WHERE stock_holds.order_id = :order_id
          AND stock_holds.variant_id = held.variant_id AND stock_holds.location = held.location
    ), freed AS (
        UPDATE stock SET reserved = stock.reserved - held.quantity
        FROM locked, held
        WHERE stock.variant_id = held.variant_id AND stock.location = held.location
    )
    INSERT INTO stock_movements (variant_id, location, on_hand_change, reserved_change, reason, order_id)
    SELECT variant_id, location, 0, -quantity, :reason, :order_id FROM held
    """  # noqa: S608 (constant text)
)


async def release_units(session: AsyncSession, order_id: UUID, units: Mapping[UUID, int], *, actor: str) -> None:
    """Give back some of the units that the order holds, from the last of their locations first."""
    released = await session.execute(
        RELEASE_UNITS,
        {"order_id": order_id, "variants": list(units), "quantities": list(units.values()), "actor": actor},
    )
    if released.scalar_one() != len(units):
        raise AssertionError(f"order {order_id} gives back units that it does not hold")


def parts_of_holds(turn: str) -> str:
    """SQL that shares the wanted units among the order's holds, by the priority of their locations.

    What the order does not hold in full has no part.
    """
    return f"""
        WITH units AS (
            SELECT * FROM unnest(CAST(:variants AS uuid[]), CAST(:quantities AS int[])) AS units (variant_id, wanted)
        ), held AS (
            SELECT variant_id, location, quantity - shipped - released AS open, wanted
            FROM stock_holds JOIN units USING (variant_id)
            WHERE order_id = :order_id AND shipped + released < quantity
            ORDER BY variant_id, location
            FOR UPDATE OF stock_holds
        ), in_turn AS (
            SELECT held.*, sum(open) OVER (PARTITION BY variant_id) AS total,
                   sum(open) OVER (PARTITION BY variant_id ORDER BY priority {turn}, location {turn}) - open AS earlier
            FROM held JOIN locations ON locations.code = held.location
        ), parts AS (
            SELECT variant_id, location, least(open, wanted - earlier)::int AS quantity FROM in_turn
            WHERE total >= wanted AND earlier < wanted
        )
    """  # noqa: S608 (constant text)


RELEASE_UNITS = text(
    f"""
    {parts_of_holds("DESC")}, locked AS ({locked_for("parts")}
    ), given_back AS (
        UPDATE stock_holds SET released = stock_holds.released + parts.quantity
        FROM parts
        WHERE stock_holds.order_id = :order_id
          AND stock_holds.variant_id = parts.variant_id AND stock_holds.location = parts.location
    ), freed AS (
        UPDATE stock SET reserved = stock.reserved - parts.quantity
        FROM locked, parts
        WHERE stock.variant_id = parts.variant_id AND stock.location = parts.location
    ), moved AS (
        INSERT INTO stock_movements (variant_id, location, on_hand_change, reserved_change, reason, order_id, actor)
        SELECT variant_id, location, 0, -quantity, 'cancelled', :order_id, :actor FROM parts
    )
    SELECT count(DISTINCT variant_id) FROM parts
    """  # noqa: S608 (constant text)
)


async def ship(session: AsyncSession, order_id: UUID, parcel: Mapping[UUID, int], *, actor: str) -> None:
    """Take the parcel's units, which the order holds, out of the stock; from the first of their locations first."""
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
    f"""
    {parts_of_holds("ASC")}, locked AS ({locked_for("parts")}
    ), used AS (
        UPDATE stock_holds SET shipped = stock_holds.shipped + parts.quantity
        FROM parts
        WHERE stock_holds.order_id = :order_id
          AND stock_holds.variant_id = parts.variant_id AND stock_holds.location = parts.location
    ), gone AS (
        UPDATE stock SET on_hand = stock.on_hand - parts.quantity, reserved = stock.reserved - parts.quantity
        FROM locked, parts
        WHERE stock.variant_id = parts.variant_id AND stock.location = parts.location
    ), moved AS (
        INSERT INTO stock_movements (variant_id, location, on_hand_change, reserved_change, reason, order_id, actor)
        SELECT variant_id, location, -quantity, -quantity, 'shipped', :order_id, :actor FROM parts
    )
    SELECT count(DISTINCT variant_id) FROM parts
    """  # noqa: S608 (constant text)
)


async def restock(session: AsyncSession, order_id: UUID, units: Mapping[UUID, int], *, actor: str) -> None:
    """Units of the order that came back and can be sold again; the caller makes sure that it happens once.

    They go where they came from. What came from a location that is closed by now goes to the main one.
    """
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
    f"""
    WITH back AS (
        SELECT * FROM unnest(CAST(:variants AS uuid[]), CAST(:quantities AS int[])) AS back (variant_id, quantity)
    ), open AS (
        SELECT code, priority FROM locations WHERE is_active ORDER BY code FOR KEY SHARE
    ), sent AS (
        SELECT stock_holds.variant_id, stock_holds.location, priority, greatest(shipped - coalesce((
                   SELECT sum(on_hand_change) FROM stock_movements
                   WHERE stock_movements.order_id = :order_id AND reason = 'returned'
                     AND stock_movements.variant_id = stock_holds.variant_id
                     AND stock_movements.location = stock_holds.location
               ), 0), 0) AS units
        FROM stock_holds JOIN open ON open.code = stock_holds.location
        WHERE stock_holds.order_id = :order_id AND shipped > 0
    ), in_turn AS (
        SELECT sent.*, sum(units) OVER (PARTITION BY variant_id ORDER BY priority, location) - units AS earlier
        FROM sent
    ), shares AS (
        SELECT variant_id, location, least(units, quantity - earlier) AS quantity
        FROM in_turn JOIN back USING (variant_id)
        WHERE earlier < quantity AND units > 0
    ), parts AS (
        SELECT variant_id, location, sum(quantity)::int AS quantity
        FROM (
            SELECT * FROM shares
            UNION ALL
            SELECT variant_id, '{MAIN_LOCATION}', back.quantity - coalesce((
                SELECT sum(shares.quantity) FROM shares WHERE shares.variant_id = back.variant_id
            ), 0) FROM back
        ) AS places
        GROUP BY variant_id, location
        HAVING sum(quantity) > 0
    ), locked AS ({locked_for("parts")}
    ), stocked AS (
        UPDATE stock SET on_hand = stock.on_hand + parts.quantity
        FROM locked, parts WHERE stock.variant_id = parts.variant_id AND stock.location = parts.location
    )
    INSERT INTO stock_movements (variant_id, location, on_hand_change, reserved_change, reason, order_id, actor)
    SELECT variant_id, location, quantity, 0, 'returned', :order_id, :actor FROM parts
    """  # noqa: S608 (constant text)
)


async def adjust(
    session: AsyncSession, variant_id: UUID, change: int, *, reason: str, actor: str, location: str = MAIN_LOCATION
) -> StockLevel:
    """Add units to the stock of a location or take them off.

    Refuses ``insufficient_stock`` for units that are not there or held, and a location that is not there or closed.
    """
    wanted = {
        "variant_id": variant_id,
        "location": location,
        "change": change,
        "reason": reason,
        "actor": actor,
        "most": LARGEST_STOCK,
    }
    if adjusted := (await session.execute(ADJUST_STOCK, wanted)).one_or_none():
        return StockLevel(on_hand=adjusted.on_hand, reserved=adjusted.reserved)
    if change > 0 and await open_at(session, variant_id, location):
        return await adjust(session, variant_id, change, reason=reason, actor=actor, location=location)
    level = await level_at(session, variant_id, location)
    if change > 0:
        raise unacceptable("/quantity_change", f"There can be at most {LARGEST_STOCK} units in stock.")
    raise insufficient(level)


ADJUST_STOCK = text(
    f"""
    WITH open AS (
        SELECT code FROM locations WHERE code = :location AND is_active FOR KEY SHARE
    ), wanted AS (
        SELECT CAST(:variant_id AS uuid) AS variant_id
    ), locked AS ({locked_for("wanted")}
    ), adjusted AS (
        UPDATE stock SET on_hand = on_hand + :change FROM locked, open
        WHERE variant_id = :variant_id AND location = open.code
          AND CAST(on_hand AS bigint) + :change BETWEEN reserved AND :most
        RETURNING variant_id, location, on_hand, reserved
    ), moved AS (
        INSERT INTO stock_movements (variant_id, location, on_hand_change, reserved_change, reason, actor)
        SELECT variant_id, location, CAST(:change AS int), 0, :reason, :actor FROM adjusted
    )
    SELECT on_hand, reserved FROM adjusted
    """  # noqa: S608 (constant text)
)


async def open_at(session: AsyncSession, variant_id: UUID, location: str) -> bool:
    """Let the location have the variant, none of it yet; whether it had not before."""
    opened = await session.scalar(OPEN_STOCK, {"variant_id": variant_id, "location": location})
    return opened is not None


OPEN_STOCK = text(
    """
    INSERT INTO stock (variant_id, location)
    SELECT variants.id, locations.code FROM variants, locations
    WHERE variants.id = :variant_id AND locations.code = :location AND locations.is_active
    ON CONFLICT DO NOTHING
    RETURNING location
    """
)


async def level_at(session: AsyncSession, variant_id: UUID, location: str, pointer: str = "/location") -> StockLevel:
    """Refuses what is not there, and a location that is closed."""
    found = (await session.execute(READ_STOCK, {"variant_id": variant_id, "location": location})).one_or_none()
    if found is None:
        raise Refusal("not_found", "There is no such variant.")
    if not found.is_open:
        raise unacceptable(pointer, "There is no such location, or it is closed.")
    return StockLevel(on_hand=found.on_hand, reserved=found.reserved)


READ_STOCK = text(
    """
    SELECT coalesce(on_hand, 0) AS on_hand, coalesce(reserved, 0) AS reserved,
           EXISTS (SELECT FROM locations WHERE code = :location AND is_active) AS is_open
    FROM variants LEFT JOIN stock ON stock.variant_id = variants.id AND stock.location = :location
    WHERE variants.id = :variant_id
    """
)


def insufficient(level: StockLevel) -> Refusal:
    return Refusal(
        "insufficient_stock",
        f"{level.available} units are free to be taken off the stock.",
        on_hand=level.on_hand,
        reserved=level.reserved,
        available=level.available,
    )


async def set_low_stock(session: AsyncSession, variant_id: UUID, quantity: int | None) -> None:
    """So many units of the variant, or fewer, are few from now on; ``None`` when the shop's own line is to hold."""
    wanted = {"variant_id": variant_id, "quantity": quantity}
    if (await session.scalar(SET_LOW_STOCK, wanted)) is None:
        raise Refusal("not_found", "There is no such variant.")


SET_LOW_STOCK = text("UPDATE variants SET low_stock = :quantity WHERE id = :variant_id RETURNING id")
