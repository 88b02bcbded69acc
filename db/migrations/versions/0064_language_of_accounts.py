"""in which language an account is written to

Revision ID: 0064
Revises: 0059
"""

import sqlalchemy as sa
from alembic import op

revision = "0064"
down_revision = "0059"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("users", sa.Column("language", sa.String(), nullable=True))
