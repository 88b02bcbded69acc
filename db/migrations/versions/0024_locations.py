"""locations have an order and can be closed

Revision ID: 0024
Revises: 0023
"""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("locations", sa.Column("priority", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.add_column("locations", sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False))
    op.create_check_constraint(op.f("ck_locations_main_is_active"), "locations", "is_active OR code <> 'main'")
