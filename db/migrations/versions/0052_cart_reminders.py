"""reminders of carts, with the customer's consent

Revision ID: 0052
Revises: 0051
"""

import sqlalchemy as sa
from alembic import op

revision = "0052"
down_revision = "0051"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("carts", sa.Column("reminder_consent_at", sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "cart_reminders",
        sa.Column("cart_id", sa.UUID(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("address_hash", sa.LargeBinary(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("number BETWEEN 1 AND 9", name=op.f("ck_cart_reminders_number_range")),
        sa.ForeignKeyConstraint(
            ["cart_id"], ["carts.id"], name=op.f("fk_cart_reminders_cart_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("cart_id", "number", name=op.f("pk_cart_reminders")),
    )
    op.create_index(op.f("ix_cart_reminders_address_hash_asked_at"), "cart_reminders", ["address_hash", "asked_at"])
    op.create_table(
        "unsubscribed",
        sa.Column("address_hash", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("address_hash", name=op.f("pk_unsubscribed")),
    )
