"""how much is in a cart, counted where it is written, and the price at which each item was put in

Revision ID: 0038
Revises: 0037
"""

import sqlalchemy as sa
from alembic import op

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("line_count", "unit_count"):
        op.add_column("carts", sa.Column(name, sa.Integer(), server_default="0", nullable=False))
    op.add_column("cart_items", sa.Column("noted_price", sa.BigInteger(), nullable=True))
    op.execute(
        """
        CREATE FUNCTION count_cart() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF TG_OP <> 'INSERT' THEN
                UPDATE carts SET line_count = line_count - 1, unit_count = unit_count - OLD.quantity
                WHERE id = OLD.cart_id;
            END IF;
            IF TG_OP <> 'DELETE' THEN
                UPDATE carts SET line_count = line_count + 1, unit_count = unit_count + NEW.quantity
                WHERE id = NEW.cart_id;
            END IF;
            RETURN NULL;
        END $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER cart_items_counted AFTER INSERT OR DELETE OR UPDATE OF quantity, cart_id ON cart_items
        FOR EACH ROW EXECUTE FUNCTION count_cart()
        """
    )
    op.execute(
        """
        UPDATE carts SET line_count = counted.lines, unit_count = counted.units
        FROM (SELECT cart_id, count(*) AS lines, sum(quantity) AS units FROM cart_items GROUP BY cart_id) AS counted
        WHERE counted.cart_id = carts.id
        """
    )
    for name, rule in (
        ("line_count_range", "line_count BETWEEN 0 AND 1000"),
        ("unit_count_range", "unit_count BETWEEN 0 AND 100000"),
    ):
        op.create_check_constraint(op.f(f"ck_carts_{name}"), "carts", rule)
