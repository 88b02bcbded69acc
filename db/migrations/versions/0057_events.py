"""events have versions, say how their order stands, and get their places once they are committed

Revision ID: 0057
Revises: 0056
"""

import sqlalchemy as sa
from alembic import op

revision = "0057"
down_revision = "0056"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("outbox", sa.Column("version", sa.SmallInteger(), server_default=sa.text("0"), nullable=False))
    op.add_column("outbox", sa.Column("position", sa.BigInteger(), nullable=True))
    op.execute("UPDATE outbox SET published_at = NULL WHERE published_at IS NOT NULL")
    op.create_check_constraint(
        op.f("ck_outbox_published_has_position"), "outbox", "(position IS NULL) = (published_at IS NULL)"
    )
    op.create_index(op.f("uq_outbox_position"), "outbox", ["position"], unique=True,
                    postgresql_where=sa.text("position IS NOT NULL"))
    op.create_index(op.f("uq_outbox_event_id"), "outbox", ["event_id"], unique=True)
    op.create_index(op.f("ix_outbox_key_id"), "outbox", ["key", "id"])
    op.create_table(
        "event_cursors",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("position", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("is_waiting", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("moved_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_event_cursors")),
        sa.CheckConstraint("position >= 0", name=op.f("ck_event_cursors_position_not_negative")),
    )
    op.execute("INSERT INTO event_cursors (name) VALUES ('published')")
    wake_whoever_waits()
    say_how_orders_stand()
    tell_of_stock_with_a_version()


def wake_whoever_waits() -> None:
    """Only while somebody sleeps: a NOTIFY makes transactions commit one after the other."""
    op.execute(
        f"""
        CREATE FUNCTION tell_of_events() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF EXISTS (SELECT FROM {schema()}.event_cursors WHERE name = 'published' AND is_waiting) THEN
                PERFORM pg_notify('outbox_' || TG_TABLE_SCHEMA, '');
            END IF;
            RETURN NULL;
        END $$
        """
    )
    op.execute(
        "CREATE TRIGGER outbox_news AFTER INSERT ON outbox FOR EACH STATEMENT EXECUTE FUNCTION tell_of_events()"
    )


def say_how_orders_stand() -> None:
    """An event says how its order stands at the end of its transaction, also when that changes after it was written."""
    op.execute(
        f"""
        CREATE FUNCTION order_standing({schema()}.orders) RETURNS jsonb LANGUAGE sql STABLE AS $$
            SELECT jsonb_build_object(
                'status', $1.status, 'payment_status', $1.payment_status,
                'fulfillment_status', $1.fulfillment_status, 'return_status', $1.return_status,
                'pending_step', $1.pending_step, 'cancel_reason', $1.cancel_reason,
                'needs_attention', $1.attention IS NOT NULL, 'is_held', $1.hold_note_id IS NOT NULL,
                'is_closed', $1.closed_at IS NOT NULL)
        $$
        """
    )
    op.execute(
        f"""
        CREATE FUNCTION tell_how_orders_stand() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE
            stands jsonb;
        BEGIN
            SELECT {schema()}.order_standing(orders) INTO stands FROM {schema()}.orders WHERE id = NEW.id;
            UPDATE {schema()}.outbox SET payload = payload || jsonb_build_object('order', stands)
            WHERE id = (SELECT max(id) FROM {schema()}.outbox WHERE key = NEW.id::text)
              AND created_at = now() AND published_at IS NULL AND version > 0 AND payload -> 'order' <> stands;
            RETURN NULL;
        END $$
        """
    )
    columns = (
        *("status", "payment_status", "fulfillment_status", "return_status"),
        *("pending_step", "cancel_reason", "attention", "hold_note_id", "closed_at"),
    )
    before, after = (", ".join(f"{row}.{column}" for column in columns) for row in ("OLD", "NEW"))
    op.execute(
        f"""
        CREATE CONSTRAINT TRIGGER orders_stand AFTER UPDATE ON orders DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW WHEN (({before}) IS DISTINCT FROM ({after})) EXECUTE FUNCTION tell_how_orders_stand()
        """
    )


def tell_of_stock_with_a_version() -> None:
    op.execute(
        f"""
        CREATE OR REPLACE FUNCTION tell_of_stock_levels() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO {schema()}.outbox (event_id, type, version, key, payload)
            SELECT gen_random_uuid(), 'stock.' || crossed, 1, variant_id::text,
                   jsonb_build_object('variant_id', variant_id, 'product_id', product_id, 'sku', sku,
                                      'available', available, 'low_stock', line,
                                      'at', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
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


def schema() -> str:
    """The shop's schema, so that whoever writes need not have it in the search path."""
    return f'"{op.get_bind().dialect.default_schema_name}"'
