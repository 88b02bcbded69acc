"""Where stock lies: opening a location, closing it once it is empty, and moving stock from one to another."""

from typing import Any
from uuid import UUID

from sqlalchemy import insert, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from db import inventory
from db.inventory import Location
from domain.catalog import LARGEST_STOCK
from domain.errors import Refusal, unacceptable
from domain.inventory import MAIN_LOCATION

SHOWN = (Location.code, Location.name, Location.priority, Location.is_active)


async def page(session: AsyncSession, *, limit: int, after: tuple[int, str] | None) -> list[dict[str, Any]]:
    """In the order in which they give units."""
    rows = await session.execute(PAGE, {"limit": limit, "priority": after and after[0], "code": after and after[1]})
    return [dict(row) for row in rows.mappings()]


PAGE = text(
    """
    SELECT code, name, priority, is_active FROM locations
    WHERE CAST(:code AS text) IS NULL OR (priority, code) > (CAST(:priority AS int), CAST(:code AS text))
    ORDER BY priority, code LIMIT :limit
    """
)


async def create(session: AsyncSession, *, code: str, name: str, priority: int) -> dict[str, Any]:
    """Refuses ``location_exists``."""
    made = insert(Location).values(code=code, name=name, priority=priority).returning(*SHOWN)
    try:
        return dict((await session.execute(made)).mappings().one())
    except IntegrityError as error:
        raise Refusal("location_exists", f"There is a location {code}.") from error


async def change(session: AsyncSession, code: str, fields: dict[str, Any]) -> dict[str, Any]:
    """Refuses ``location_in_use`` where units still lie, and for the main location, when it is to be closed."""
    if fields.get("is_active") is False:
        await _check_can_be_closed(session, code)
    changed = update(Location).where(Location.code == code).values(**fields).returning(*SHOWN)
    row = (await session.execute(changed)).mappings().one_or_none()
    if row is None:
        raise Refusal("not_found", "There is no such location.")
    return dict(row)


async def _check_can_be_closed(session: AsyncSession, code: str) -> None:
    if code == MAIN_LOCATION:
        raise Refusal("location_in_use", "Goods without another place lie at the main location; it stays open.")
    # Who brings units to a location holds a share of this lock.
    await session.execute(select(Location.code).where(Location.code == code).with_for_update())
    left = await session.scalar(text("SELECT sum(on_hand) FROM stock WHERE location = :code"), {"code": code})
    if left:
        detail = f"{left} units lie there; transfer them first, and ship what orders hold."
        raise Refusal("location_in_use", detail, on_hand=left)


async def transfer(
    session: AsyncSession, variant_id: UUID, quantity: int, *, source: str, target: str, reason: str, actor: str
) -> None:
    """Move free units from one location to another: what can be sold of the variant stays the same.

    Refuses ``insufficient_stock`` for units that are not at the source or held there, and a closed target.
    """
    await inventory.open_at(session, variant_id, target)
    moved = await session.execute(
        TRANSFER_STOCK,
        {
            "variant_id": variant_id,
            "quantity": quantity,
            "source": source,
            "target": target,
            "reason": reason,
            "actor": actor,
            "most": LARGEST_STOCK,
        },
    )
    if moved.scalar_one() == 0:
        await inventory.level_at(session, variant_id, target, "/to")
        if (level := await inventory.level_at(session, variant_id, source, "/from")).available < quantity:
            raise inventory.insufficient(level)
        raise unacceptable("/quantity", f"There can be at most {LARGEST_STOCK} units in stock.")


TRANSFER_STOCK = text(
    """
    WITH open AS (
        SELECT code FROM locations WHERE code = :target AND is_active FOR KEY SHARE
    ), wanted AS (
        SELECT CAST(:source AS varchar) AS source, code AS target, CAST(:quantity AS int) AS quantity FROM open
    ), locked AS (
        SELECT location, on_hand, reserved FROM stock WHERE variant_id = :variant_id ORDER BY location FOR UPDATE
    ), possible AS (
        SELECT * FROM wanted
        WHERE EXISTS (SELECT FROM locked WHERE location = source AND on_hand - reserved >= quantity)
          AND EXISTS (SELECT FROM locked WHERE location = target AND CAST(on_hand AS bigint) + quantity <= :most)
    ), moves AS (
        SELECT source AS location, -quantity AS units FROM possible
        UNION ALL
        SELECT target, quantity FROM possible
    ), moved AS (
        UPDATE stock SET on_hand = locked.on_hand + moves.units, reserved = locked.reserved
        FROM moves JOIN locked USING (location)
        WHERE stock.variant_id = :variant_id AND stock.location = locked.location
    ), written AS (
        INSERT INTO stock_movements (variant_id, location, on_hand_change, reserved_change, reason, actor)
        SELECT :variant_id, location, units, 0, :reason, :actor FROM moves
    )
    SELECT count(*) FROM moves
    """
)


async def units_of(session: AsyncSession, order_id: UUID) -> list[dict[str, Any]]:
    """Where the order's units lie or lay, in the order in which parcels take them."""
    return [dict(row) for row in (await session.execute(UNITS_OF, {"order_id": order_id})).mappings()]


UNITS_OF = text(
    """
    SELECT stock_holds.variant_id, variants.sku, stock_holds.location,
           stock_holds.quantity - stock_holds.shipped - stock_holds.released AS waiting, stock_holds.shipped
    FROM stock_holds
    JOIN variants ON variants.id = stock_holds.variant_id
    JOIN locations ON locations.code = stock_holds.location
    WHERE stock_holds.order_id = :order_id AND stock_holds.quantity > stock_holds.released
    ORDER BY variants.sku, locations.priority, locations.code
    """
)
