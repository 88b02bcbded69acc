"""what a session was last used with

Revision ID: 0028
Revises: 0027
"""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    now = sa.text("now()")
    op.add_column("login_sessions", sa.Column("last_used_at", sa.DateTime(timezone=True), server_default=now, nullable=False))
    op.add_column("login_sessions", sa.Column("user_agent", sa.String(), nullable=True))
    op.add_column("login_sessions", sa.Column("network", sa.String(), nullable=True))
