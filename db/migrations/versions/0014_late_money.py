"""late money, and who has to hear of an event

Revision ID: 0014
Revises: 0013
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "late_money",
        sa.Column("reference", sa.String(), nullable=False),
        sa.Column("order_id", sa.UUID(), nullable=True),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("how", sa.String(), nullable=False),
        sa.Column("returned_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("how IN ('nothing_taken', 'voided', 'refunded', 'by_hand')", name=op.f("ck_late_money_how")),
        sa.CheckConstraint("amount > 0", name=op.f("ck_late_money_amount_positive")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_late_money_order_id")),
        sa.PrimaryKeyConstraint("reference", name=op.f("pk_late_money")),
    )
    op.create_index(op.f("ix_late_money_order_id"), "late_money", ["order_id"])
    op.add_column("webhook_events", sa.Column("listener", sa.String(), nullable=True))
    op.execute("UPDATE webhook_events SET listener = 'payment' WHERE handled_at IS NULL")
    op.create_check_constraint(
        op.f("ck_webhook_events_listener"), "webhook_events", "listener IN ('payment', 'order', 'stray')"
    )
    op.create_check_constraint(
        op.f("ck_webhook_events_unheard_has_listener"),
        "webhook_events",
        "listener IS NOT NULL OR handled_at IS NOT NULL",
    )
