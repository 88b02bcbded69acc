"""exports can be cancelled, and say how far they are

Revision ID: 0033
Revises: 0032
"""

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("catalog_exports", sa.Column("expected", sa.Integer(), server_default=sa.text("0"), nullable=False))
    for name, rule in (
        ("ck_catalog_exports_status", "status IN ('waiting', 'running', 'completed', 'cancelled')"),
        ("ck_catalog_exports_ended_has_time", "(status IN ('cancelled', 'completed')) = (ended_at IS NOT NULL)"),
    ):
        op.drop_constraint(op.f(name), "catalog_exports", type_="check")
        op.create_check_constraint(op.f(name), "catalog_exports", rule)
