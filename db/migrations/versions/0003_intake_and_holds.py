"""find checkouts that nobody has answered

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_checkouts_unanswered",
        "checkouts",
        ["created_at"],
        unique=False,
        postgresql_where=sa.text("answer_status IS NULL AND NOT is_refused"),
    )
