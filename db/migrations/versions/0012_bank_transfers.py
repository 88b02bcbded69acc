"""bank transfers

Revision ID: 0012
Revises: 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_constraint(op.f("ck_orders_pending_step"), "orders")
    op.create_check_constraint(
        op.f("ck_orders_pending_step"), "orders", "pending_step IN ('payment_unknown', 'transfer_awaited')"
    )
    op.add_column("payments", sa.Column("due_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("payments", sa.Column("received_note_id", sa.UUID(), nullable=True))
    op.create_check_constraint(
        op.f("ck_payments_only_transfers_are_awaited"),
        "payments",
        "provider = 'manual' OR (due_at IS NULL AND received_note_id IS NULL)",
    )
    op.add_column("refunds", sa.Column("paid_note_id", sa.UUID(), nullable=True))
    op.create_check_constraint(
        op.f("ck_refunds_paid_has_succeeded"), "refunds", "paid_note_id IS NULL OR status = 'succeeded'"
    )
