"""the lowest and the highest price of each product in the shop, so that searches need not look at all of its variants

Revision ID: 0036
Revises: 0035
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None

PRICE_STEPS = [factor * 10**power for power in range(2, 8) for factor in (1, 2, 5)]
"""As in 0013."""

MANY = 1_000
"""Postgres knows nothing of rows that an import has just brought, takes them for a handful, and would look each of so many
products up among all the others."""


def upgrade() -> None:
    for column in ("lowest_prices", "highest_prices"):
        by_currency: sa.Column[dict[str, int]] = sa.Column(
            column, postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False
        )
        op.add_column("listed_products", by_currency)
    list_the_prices()
    op.execute("SELECT list_products(array_agg(id)) FROM products")


def list_the_prices() -> None:
    steps = ",".join(map(str, PRICE_STEPS))
    op.execute(
        f"""
        CREATE OR REPLACE FUNCTION list_products(ids uuid[]) RETURNS void LANGUAGE plpgsql
        SET search_path = {schema()} SET plan_cache_mode = force_custom_plan SET enable_nestloop = on AS $$
        BEGIN
            IF cardinality(ids) > {MANY} THEN
                SET LOCAL enable_nestloop = off;  -- until the function ends
            END IF;
            DELETE FROM listed_products
            WHERE product_id = ANY(ids)
              AND NOT EXISTS (SELECT FROM products
                              JOIN variants ON variants.product_id = products.id
                              JOIN prices ON prices.variant_id = variants.id
                              WHERE products.id = listed_products.product_id AND is_active AND archived_at IS NULL);
            INSERT INTO listed_products (product_id, name, brand, category_id, price_steps, lowest_prices, highest_prices, labels,
                                         published_from, published_until, name_words, title, document)
            WITH RECURSIVE priced AS MATERIALIZED (
                SELECT product_id, array_agg(step ORDER BY step) AS price_steps,
                       -- of several values for a currency the last one stays
                       jsonb_object_agg(currency, lowest ORDER BY lowest DESC) AS lowest_prices,
                       jsonb_object_agg(currency, highest ORDER BY highest) AS highest_prices
                FROM (
                    SELECT product_id, currency, currency || ':' || width_bucket(amount, '{{{steps}}}'::bigint[]) AS step,
                           min(amount) AS lowest, max(amount) AS highest
                    FROM variants JOIN prices ON prices.variant_id = variants.id
                    WHERE product_id = ANY(ids)
                    GROUP BY product_id, currency, step
                ) AS by_step
                GROUP BY product_id
            ), shown AS MATERIALIZED (
                SELECT id, name, brand, category_id, description, tags, published_from, published_until,
                       price_steps, lowest_prices, highest_prices
                FROM products JOIN priced ON priced.product_id = products.id
                WHERE id = ANY(ids) AND is_active AND archived_at IS NULL
            ), shelves (id, parent_id, name) AS (
                SELECT id, parent_id, name FROM categories WHERE id IN (SELECT category_id FROM shown)
                UNION ALL
                SELECT shelves.id, categories.parent_id, categories.name
                FROM categories JOIN shelves ON shelves.parent_id = categories.id
            ), signs AS MATERIALIZED (
                SELECT id, string_agg(name, ' ') AS names FROM shelves GROUP BY id
            ), inside AS MATERIALIZED (
                SELECT product_id, string_agg(concat_ws(' ', sku, name, options_text(options)), ' ') AS words
                FROM variants
                WHERE product_id IN (SELECT id FROM shown)
                GROUP BY product_id
            ), said AS MATERIALIZED (
                SELECT product_id, array_agg(attribute || '=' || value ORDER BY attribute) AS labels,
                       string_agg(value, ' ') FILTER (WHERE kind IN ('text', 'choice')) AS words
                FROM product_attributes WHERE product_id IN (SELECT id FROM shown) GROUP BY product_id
            ), spoken AS MATERIALIZED (
                SELECT shown.id, name, brand, category_id, price_steps, lowest_prices, highest_prices, published_from, published_until,
                       ARRAY(SELECT 'tag:' || tag FROM unnest(tags) AS tag ORDER BY tag)
                           || coalesce(said.labels, '{{}}') AS labels,
                       words_of(name) AS named, words_of(coalesce(brand, '')) AS branded,
                       words_of(concat_ws(
                           ' ', signs.names, array_to_string(tags, ' '), said.words, inside.words, description
                       )) AS described
                FROM shown
                JOIN inside ON inside.product_id = shown.id
                LEFT JOIN signs ON signs.id = shown.category_id
                LEFT JOIN said ON said.product_id = shown.id
            )
            SELECT id, name, brand, category_id, price_steps, lowest_prices, highest_prices, labels, published_from, published_until,
                   least(length(named), 1000), named || branded, named || branded || described
            FROM spoken
            ORDER BY id
            ON CONFLICT (product_id) DO UPDATE SET
                name = excluded.name, brand = excluded.brand, category_id = excluded.category_id,
                price_steps = excluded.price_steps, lowest_prices = excluded.lowest_prices,
                highest_prices = excluded.highest_prices, labels = excluded.labels,
                published_from = excluded.published_from, published_until = excluded.published_until,
                name_words = excluded.name_words, title = excluded.title, document = excluded.document
            WHERE (listed_products.name, listed_products.brand, listed_products.category_id,
                   listed_products.price_steps, listed_products.lowest_prices, listed_products.highest_prices,
                   listed_products.labels, listed_products.published_from,
                   listed_products.published_until, listed_products.document)
                  IS DISTINCT FROM
                  (excluded.name, excluded.brand, excluded.category_id,
                   excluded.price_steps, excluded.lowest_prices, excluded.highest_prices,
                   excluded.labels, excluded.published_from,
                   excluded.published_until, excluded.document);
        END $$
        """
    )


def schema() -> str:
    return f'"{op.get_bind().dialect.default_schema_name}"'
