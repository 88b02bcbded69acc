"""when a delivered order was closed

Revision ID: 0025
Revises: 0024
"""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("orders", sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True))
    op.create_check_constraint(
        op.f("ck_orders_closed_is_delivered"),
        "orders",
        "closed_at IS NULL OR (status = 'delivered' AND return_status NOT IN ('requested', 'in_progress'))",
    )
