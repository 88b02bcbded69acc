"""limits that were changed while the shop runs

Revision ID: 0027
Revises: 0026
"""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "changed_limits",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("amount", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Integer(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("amount > 0", name=op.f("ck_changed_limits_amount_positive")),
        sa.CheckConstraint("seconds BETWEEN 1 AND 86400", name=op.f("ck_changed_limits_seconds_within_a_day")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_changed_limits")),
    )
