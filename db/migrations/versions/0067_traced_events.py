"""in which trace an event happened

Revision ID: 0067
Revises: 0063
"""

import sqlalchemy as sa
from alembic import op

revision = "0067"
down_revision = "0063"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("outbox", sa.Column("traceparent", sa.String(), nullable=True))
    op.create_check_constraint(
        op.f("ck_outbox_traceparent_is_one"),
        "outbox",
        "traceparent ~ '^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$'",
    )
