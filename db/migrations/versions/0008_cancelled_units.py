"""cancelled units

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("order_lines", sa.Column("cancelled", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.create_check_constraint(
        op.f("ck_order_lines_cancelled_within_ordered"), "order_lines", "cancelled BETWEEN 0 AND quantity"
    )
    op.create_table(
        "cancellations",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("order_id", sa.UUID(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("caller", sa.String(), nullable=True),
        sa.Column("key", sa.String(), nullable=True),
        sa.Column("request_hash", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_cancellations_order_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cancellations")),
        sa.UniqueConstraint("caller", "key", name="uq_cancellations_caller_key"),
    )
    op.create_index(op.f("ix_cancellations_order_id"), "cancellations", ["order_id"], unique=False)
    op.create_table(
        "cancellation_items",
        sa.Column("cancellation_id", sa.UUID(), nullable=False),
        sa.Column("order_line_id", sa.UUID(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_cancellation_items_quantity_positive")),
        sa.ForeignKeyConstraint(
            ["cancellation_id"], ["cancellations.id"], name=op.f("fk_cancellation_items_cancellation_id")
        ),
        sa.ForeignKeyConstraint(
            ["order_line_id"], ["order_lines.id"], name=op.f("fk_cancellation_items_order_line_id")
        ),
        sa.PrimaryKeyConstraint("cancellation_id", "order_line_id", name=op.f("pk_cancellation_items")),
    )
    op.create_index(
        op.f("ix_cancellation_items_order_line_id"), "cancellation_items", ["order_line_id"], unique=False
    )
