"""changes of e-mail addresses, and guests' orders that found their account

Revision ID: 0030
Revises: 0029
"""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("confirmations", sa.Column("email", sa.String(), nullable=True))
    op.add_column("mailed_tokens", sa.Column("followed_at", sa.DateTime(timezone=True), nullable=True))
    for name, rule in (
        ("purpose", "purpose IN ('password_reset', 'email_change')"),
        ("status", "status IN ('open', 'confirmed', 'refused', 'expired')"),
    ):
        op.drop_constraint(op.f(f"ck_confirmations_{name}"), "confirmations")
        op.create_check_constraint(op.f(f"ck_confirmations_{name}"), "confirmations", rule)
    op.create_check_constraint(
        op.f("ck_confirmations_email_is_of_change"), "confirmations", "(purpose = 'email_change') = (email IS NOT NULL)"
    )
    op.add_column("orders", sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=True))
    op.create_check_constraint(
        op.f("ck_orders_claimed_has_owner"), "orders", "claimed_at IS NULL OR user_id IS NOT NULL"
    )
    op.create_index(
        "ix_orders_guest_email", "orders", [sa.text("lower(email)")], postgresql_where=sa.text("user_id IS NULL")
    )
