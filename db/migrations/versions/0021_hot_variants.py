"""variants that many want at once

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
    op.add_column("variants", sa.Column("is_hot", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_index(op.f("ix_variants_is_hot"), "variants", ["id"], postgresql_where=sa.text("is_hot"))
