"""tell whoever watches an order what happens to it

Revision ID: 0063
Revises: 0058
"""

import sqlalchemy as sa
from alembic import op

revision = "0063"
down_revision = "0058"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "watched_orders",
        sa.Column("order_id", sa.UUID(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("order_id", name=op.f("pk_watched_orders")),
        prefixes=["UNLOGGED"],
    )
    op.execute(
        f"""
        CREATE FUNCTION tell_of_watched_orders() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF EXISTS (SELECT FROM {schema()}.watched_orders WHERE order_id = NEW.order_id AND until > now()) THEN
                PERFORM pg_notify('orders_' || TG_TABLE_SCHEMA, NEW.order_id::text);
            END IF;
            RETURN NULL;
        END $$
        """
    )
    op.execute(
        "CREATE TRIGGER watched_orders_news AFTER INSERT ON order_events "
        "FOR EACH ROW EXECUTE FUNCTION tell_of_watched_orders()"
    )


def schema() -> str:
    """The shop's schema, so that whoever writes need not have it in the search path."""
    return f'"{op.get_bind().dialect.default_schema_name}"'
