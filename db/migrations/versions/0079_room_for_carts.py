"""let a change of a cart write its row and no index: room beside each, and none of them holds when it was changed

Revision ID: 0079
Revises: 0069
"""

import sqlalchemy as sa
from alembic import op

from db.migrations.indexes import build_index, drop_index

revision = "0079"
down_revision = "0069"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE carts SET (fillfactor = 70)")
    build_index("ix_carts_created_at_id", "carts", ["created_at", "id"], postgresql_where=sa.text("order_id IS NULL"))
    drop_index("ix_carts_updated_at_id", "carts")
