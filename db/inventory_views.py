"""What staff sees of the stock."""

from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from db.catalog import SOLD_NAME
from domain.inventory import StockState


async def levels(
    session: AsyncSession, *, low_stock: int, limit: int, before: UUID | None, state: StockState | None
) -> list[dict[str, Any]]:
    """Variants of products that are not archived, the newest first; ``low_stock`` is the shop's own line."""
    wanted = {"low_stock": low_stock, "limit": limit, "before": before, "state": state}
    return [dict(row) for row in (await session.execute(LEVELS, wanted)).mappings()]


async def level(session: AsyncSession, variant_id: UUID, *, low_stock: int) -> dict[str, Any]:
    row = await session.execute(LEVEL, {"low_stock": low_stock, "variant_id": variant_id})
    return dict(row.mappings().one())


STOCKED = f"""
    SELECT variants.id AS variant_id, variants.product_id, products.archived_at, variants.sku, {SOLD_NAME} AS name,
           stocked.locations, stocked.on_hand, stocked.reserved, stocked.on_hand - stocked.reserved AS available,
           coalesce(variants.low_stock, :low_stock) AS low_stock, variants.low_stock IS NOT NULL AS has_own_line,
           CASE WHEN stocked.on_hand = stocked.reserved THEN 'out'
                WHEN stocked.on_hand - stocked.reserved <= coalesce(variants.low_stock, :low_stock) THEN 'low'
                ELSE 'in' END AS state
    FROM variants
    JOIN products ON products.id = variants.product_id
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(on_hand), 0)::int AS on_hand, coalesce(sum(reserved), 0)::int AS reserved,
               coalesce(jsonb_agg(jsonb_build_object(
                   'location', location, 'on_hand', on_hand, 'reserved', reserved, 'available', on_hand - reserved
               ) ORDER BY location), '[]') AS locations
        FROM stock WHERE stock.variant_id = variants.id
    ) AS stocked
"""  # noqa: S608 (constant text)

LEVELS = text(
    f"""
    SELECT * FROM ({STOCKED}) AS levels
    WHERE archived_at IS NULL
      AND (CAST(:before AS uuid) IS NULL OR variant_id < :before)
      AND (CAST(:state AS text) IS NULL OR state = :state)
    ORDER BY variant_id DESC LIMIT :limit
    """  # noqa: S608 (constant text)
)
LEVEL = text(f"{STOCKED} WHERE variants.id = :variant_id")
