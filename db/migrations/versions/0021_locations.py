"""locations have an order and can be closed

Revision ID: 0021
Revises: 0020
"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("locations", sa.Column("priority", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.add_column("locations", sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False))
    op.create_check_constraint(op.f("ck_locations_main_is_active"), "locations", "is_active OR code <> 'main'")
