"""carts whose things were put into another one

Revision ID: 0040
Revises: 0039
"""

import sqlalchemy as sa
from alembic import op

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("carts", sa.Column("merged_into", sa.UUID(), nullable=True))
    op.create_check_constraint(
        op.f("ck_carts_merged_is_not_ordered"), "carts", "merged_into IS NULL OR order_id IS NULL"
    )
