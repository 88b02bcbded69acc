"""find orders among a million by any e-mail address and by the status of their payment, and what somebody did

Revision ID: 0075
Revises: 0074
"""

import sqlalchemy as sa

from db.migrations.indexes import build_index, drop_index

revision = "0075"
down_revision = "0074"
branch_labels = None
depends_on = None


def upgrade() -> None:
    build_index("ix_orders_email", "orders", [sa.text("lower(email)")])
    drop_index("ix_orders_guest_email", "orders")
    build_index("ix_orders_payment_status_id", "orders", ["payment_status", "id"])
    build_index("ix_audit_log_actor_id", "audit_log", ["actor", "id"])
