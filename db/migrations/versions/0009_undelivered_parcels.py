"""undelivered parcels

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

CHECKS = {
    "undelivered": "undelivered IN ('lost', 'returned_to_sender')",
    "remedy": "remedy IN ('reship', 'refund')",
    "undelivered_has_remedy": "(undelivered IS NULL) = (remedy IS NULL)",
    "undelivered_had_left": "undelivered IS NULL OR (status = 'cancelled' AND shipped_at IS NOT NULL)",
    "replacement_costs_nothing": "replaces_id IS NULL OR coalesce(charge, 0) = 0",
}


def upgrade() -> None:
    op.add_column("fulfillments", sa.Column("undelivered", sa.String(), nullable=True))
    op.add_column("fulfillments", sa.Column("remedy", sa.String(), nullable=True))
    op.add_column("fulfillments", sa.Column("replaces_id", sa.UUID(), nullable=True))
    op.add_column("fulfillments", sa.Column("refund_id", sa.UUID(), nullable=True))
    op.create_foreign_key(op.f("fk_fulfillments_refund_id"), "fulfillments", "refunds", ["refund_id"], ["id"])
    op.create_unique_constraint(op.f("uq_fulfillments_refund_id"), "fulfillments", ["refund_id"])
    op.create_foreign_key(
        op.f("fk_fulfillments_replaces_id"), "fulfillments", "fulfillments", ["replaces_id"], ["id"]
    )
    op.create_unique_constraint(op.f("uq_fulfillments_replaces_id"), "fulfillments", ["replaces_id"])
    for name, rule in CHECKS.items():
        op.create_check_constraint(op.f(f"ck_fulfillments_{name}"), "fulfillments", rule)
