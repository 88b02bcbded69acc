"""find carts by when they were last changed, and all checkouts of a cart

Revision ID: 0050
Revises: 0049
"""

import sqlalchemy as sa
from alembic import op

revision = "0050"
down_revision = "0049"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_carts_updated_at_id", "carts", ["updated_at", "id"], postgresql_where=sa.text("order_id IS NULL")
    )
    op.create_index(op.f("ix_checkouts_cart_id"), "checkouts", ["cart_id"])
