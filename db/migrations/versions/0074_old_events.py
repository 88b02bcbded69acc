"""find events of payment providers that were handled long ago

Revision ID: 0074
Revises: 0064
"""

import sqlalchemy as sa

from db.migrations.indexes import build_index

revision = "0074"
down_revision = "0064"
branch_labels = None
depends_on = None


def upgrade() -> None:
    build_index(
        "ix_webhook_events_handled",
        "webhook_events",
        ["received_at"],
        postgresql_where=sa.text("handled_at IS NOT NULL"),
    )
