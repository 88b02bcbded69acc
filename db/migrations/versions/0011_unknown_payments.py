"""payments of which nobody knows

Revision ID: 0011
Revises: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("orders", sa.Column("pending_step", sa.String(), nullable=True))
    op.create_check_constraint(
        op.f("ck_orders_pending_step"), "orders", "pending_step IN ('payment_unknown')"
    )
    op.create_check_constraint(
        op.f("ck_orders_pending_step_is_of_pending"), "orders", "pending_step IS NULL OR status = 'pending'"
    )
