"""find refunds and returns whose stories have not begun

Revision ID: 0018
Revises: 0017
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("refunds", "returns"):
        op.create_index(
            f"ix_{table}_requested", table, ["created_at"], postgresql_where=sa.text("status = 'requested'")
        )
