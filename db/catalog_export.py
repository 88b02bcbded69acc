"""The whole catalogue, read from one snapshot: what changes meanwhile does not tear a product apart."""

from collections.abc import AsyncGenerator
from typing import Any

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncEngine

PORTION = 1000


async def exported(engine: AsyncEngine, currency: str) -> AsyncGenerator[RowMapping]:
    """Every product that is not archived, in the order in which they were made, with its variants.

    A variant has its ``amount`` in the currency, or none, and ``other_amounts`` by currency. Stock is what is on hand.
    """
    async with engine.connect() as connection:
        snapshot = await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        wanted: dict[str, Any] = {"currency": currency, "portion": PORTION, "after": None}
        while rows := (await snapshot.execute(PRODUCTS, wanted)).mappings().all():
            for row in rows:
                yield row
            wanted["after"] = rows[-1]["id"]


PRODUCTS = text(
    """
    WITH RECURSIVE paths (id, path) AS (
        SELECT id, ARRAY[name] FROM categories WHERE parent_id IS NULL
        UNION ALL
        SELECT categories.id, paths.path || categories.name FROM categories JOIN paths ON paths.id = parent_id
    )
    SELECT products.id, products.slug, products.name, products.description, products.brand, paths.path AS category,
           products.is_active, products.tags, products.published_from, products.published_until,
           (SELECT jsonb_object_agg(attribute, CASE kind WHEN 'number' THEN to_jsonb(CAST(value AS numeric))
                                                         WHEN 'boolean' THEN to_jsonb(CAST(value AS boolean))
                                                         ELSE to_jsonb(value) END)
            FROM product_attributes WHERE product_id = products.id) AS attributes,
           (SELECT jsonb_agg(jsonb_build_object('sku', sku, 'name', variants.name, 'options', options,
                                                'amount', amount, 'stock', on_hand,
                                                'weight_grams', weight_grams, 'other_amounts',
                                                (SELECT jsonb_object_agg(others.currency, others.amount)
                                                 FROM prices AS others WHERE others.variant_id = variants.id
                                                     AND others.currency <> :currency))
                             ORDER BY position, variants.id)
            FROM variants
            LEFT JOIN prices ON prices.variant_id = variants.id AND prices.currency = :currency
            LEFT JOIN stock ON stock.variant_id = variants.id AND stock.location = 'main'
            WHERE variants.product_id = products.id) AS variants
    FROM products LEFT JOIN paths ON paths.id = products.category_id
    WHERE products.archived_at IS NULL AND (CAST(:after AS uuid) IS NULL OR products.id > :after)
    ORDER BY products.id
    LIMIT :portion
    """
)
