"""tell when a variant runs low, is sold out, or is there again

Revision ID: 0020
Revises: 0019
"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("variants", sa.Column("low_stock", sa.Integer(), nullable=True))
    op.create_check_constraint(op.f("ck_variants_low_stock_not_negative"), "variants", "low_stock >= 0")
    tell_of_lines_that_were_crossed()


def tell_of_lines_that_were_crossed() -> None:
    """One event for each variant that a statement took across a line, in the transaction that moved the units.

    Whoever moves units has the variant's rows locked, so that no line is crossed by two at once. The shop's own line
    comes with the connection; one without it, such as a person's, tells of variants that have a line of their own.
    """
    op.execute(
        f"""
        CREATE FUNCTION tell_of_stock_levels() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO {schema()}.outbox (event_id, type, key, payload)
            SELECT gen_random_uuid(), 'stock.' || crossed, variant_id::text,
                   jsonb_build_object('variant_id', variant_id, 'product_id', product_id, 'sku', sku,
                                      'available', available, 'low_stock', line, 'at', now())
            FROM (
                SELECT *, CASE WHEN available = 0 AND available < was THEN 'out'
                               WHEN was = 0 AND available > 0 THEN 'back'
                               WHEN available <= line AND was > line THEN 'low' END AS crossed
                FROM (
                    SELECT variants.id AS variant_id, variants.product_id, variants.sku, levels.available,
                           levels.available - moved.units AS was,
                           coalesce(variants.low_stock, nullif(current_setting('sutler.low_stock', true), '')::int, 0)
                               AS line
                    FROM (
                        SELECT variant_id, sum(changed.on_hand - changed.reserved - before.on_hand + before.reserved)
                                   AS units
                        FROM changed JOIN before USING (variant_id, location)
                        GROUP BY variant_id
                    ) AS moved
                    JOIN {schema()}.variants ON variants.id = moved.variant_id
                    CROSS JOIN LATERAL (
                        SELECT sum(on_hand - reserved) AS available FROM {schema()}.stock
                        WHERE stock.variant_id = moved.variant_id
                    ) AS levels
                    WHERE moved.units <> 0
                ) AS moves
            ) AS crossings
            WHERE crossed IS NOT NULL
            ORDER BY variant_id;
            RETURN NULL;
        END $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER stock_levels_update AFTER UPDATE ON stock
        REFERENCING OLD TABLE AS before NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION tell_of_stock_levels()
        """
    )


def schema() -> str:
    """The shop's schema, so that whoever writes need not have it in the search path."""
    return f'"{op.get_bind().dialect.default_schema_name}"'
