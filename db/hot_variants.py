"""Variants that far more customers want than there are units: which they are, and how many units are still free."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from db.base import before_ids_of_the_last
from db.catalog_news import EVERYTHING, News
from db.listening import Channel, Reader
from domain.errors import Refusal

LONGEST_WAY_SECONDS = 30
"""A checkout that was taken in has placed its order or given up by then."""
LOOK_BACK_SECONDS = 60
"""How far back checkouts are told of one by one, whatever the clocks of our machines differ."""


@dataclass(frozen=True, kw_only=True)
class Units:
    """What Postgres says of a variant at one moment."""

    variant_id: UUID
    product_id: UUID
    sku: str
    is_marked: bool
    available: int
    promised: int
    """Wanted by checkouts that were taken in and have neither placed their order nor been refused."""

    @property
    def free(self) -> int:
        return self.available - self.promised


@dataclass(frozen=True, kw_only=True)
class Count:
    units: list[Units]
    taken_in: list[UUID]
    """Orders of the last minute whose wish for any of these units is counted, whatever came of it."""


async def mark(session: AsyncSession, variant_id: UUID, *, is_hot: bool) -> None:
    """Say that the variant is hot, or is no more; refuses ``not_found``."""
    marked = await session.execute(
        text("UPDATE variants SET is_hot = :is_hot WHERE id = :id RETURNING id"), {"id": variant_id, "is_hot": is_hot}
    )
    if marked.one_or_none() is None:
        raise Refusal("not_found", "There is no such variant.")


async def tell(session: AsyncSession) -> None:
    """Every process looks what is hot, as soon as this is committed."""
    await session.execute(text("SELECT pg_notify('hot_variants_' || current_schema(), '')"))


def hot_news(shop_schema: str, readers: Sequence[Reader[News]]) -> Channel[News]:
    return Channel(f"hot_variants_{shop_schema}", lambda _: EVERYTHING, readers)


async def marked(session: AsyncSession) -> Sequence[UUID]:
    return (await session.scalars(text("SELECT id FROM variants WHERE is_hot"))).all()


async def count(session: AsyncSession, variants: Collection[UUID]) -> Count:
    """One statement, so that all of it is true at the same moment."""
    wanted = {
        "variants": list(variants),
        "longest": LONGEST_WAY_SECONDS,
        "since": before_ids_of_the_last(LOOK_BACK_SECONDS),
    }
    rows = (await session.execute(COUNT, wanted)).all()
    return Count(
        units=[
            Units(
                variant_id=row.variant_id,
                product_id=row.product_id,
                sku=row.sku,
                is_marked=row.is_hot,
                available=row.available,
                promised=row.promised,
            )
            for row in rows
        ],
        taken_in=rows[0].taken_in if rows else [],
    )


COUNT = text(
    """
    WITH promised AS (
        SELECT cart_items.variant_id, sum(cart_items.quantity) AS units
        FROM checkouts
        JOIN cart_items ON cart_items.cart_id = checkouts.cart_id
        LEFT JOIN orders ON orders.id = checkouts.order_id
        WHERE NOT checkouts.is_refused AND checkouts.answer_status IS NULL AND orders.id IS NULL
          AND checkouts.created_at > now() - make_interval(secs => :longest)
          AND cart_items.variant_id = ANY(CAST(:variants AS uuid[]))
        GROUP BY cart_items.variant_id
    ), taken_in AS (
        SELECT array_agg(DISTINCT checkouts.order_id) AS orders
        FROM checkouts JOIN cart_items ON cart_items.cart_id = checkouts.cart_id
        WHERE checkouts.order_id > :since AND cart_items.variant_id = ANY(CAST(:variants AS uuid[]))
    )
    SELECT variants.id AS variant_id, variants.product_id, variants.sku, variants.is_hot,
           stocked.available, CAST(coalesce(promised.units, 0) AS int) AS promised,
           coalesce(taken_in.orders, '{}') AS taken_in
    FROM variants
    CROSS JOIN LATERAL (
        SELECT CAST(sum(on_hand - reserved) AS int) AS available FROM stock WHERE stock.variant_id = variants.id
    ) AS stocked
    LEFT JOIN promised ON promised.variant_id = variants.id
    CROSS JOIN taken_in
    WHERE variants.id = ANY(CAST(:variants AS uuid[])) AND stocked.available IS NOT NULL
    """
)
