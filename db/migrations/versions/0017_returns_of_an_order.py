"""how far an order has come back

Revision ID: 0017
Revises: 0016
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("orders", sa.Column("return_status", sa.String(), server_default="none", nullable=False))
    op.execute(
        """
        UPDATE orders SET return_status = CASE
            WHEN found.is_on_its_way THEN 'in_progress'
            WHEN found.is_asked_for THEN 'requested'
            WHEN found.returned = 0 THEN 'none'
            WHEN found.returned < found.wanted THEN 'partially_returned'
            ELSE 'returned' END
        FROM (
            SELECT returns.order_id,
                   bool_or(returns.status IN ('approved', 'received')) AS is_on_its_way,
                   bool_or(returns.status = 'requested') AS is_asked_for,
                   coalesce(sum(items.received) FILTER (WHERE returns.status = 'refunded'), 0) AS returned,
                   (SELECT sum(quantity - cancelled) FROM order_lines WHERE order_id = returns.order_id) - coalesce((
                       SELECT sum(fulfillment_items.quantity)
                       FROM fulfillments JOIN fulfillment_items ON fulfillment_items.fulfillment_id = fulfillments.id
                       WHERE fulfillments.order_id = returns.order_id AND fulfillments.remedy = 'refund'
                   ), 0) AS wanted
            FROM returns CROSS JOIN LATERAL (
                SELECT sum(received) AS received FROM return_items WHERE return_items.return_id = returns.id
            ) AS items
            GROUP BY returns.order_id
        ) AS found
        WHERE found.order_id = orders.id
        """
    )
    op.create_check_constraint(
        op.f("ck_orders_return_status"),
        "orders",
        "return_status IN ('none', 'requested', 'in_progress', 'partially_returned', 'returned')",
    )
