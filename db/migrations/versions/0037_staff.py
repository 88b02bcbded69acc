"""invitations of staff, and second factors

Revision ID: 0037
Revises: 0036
"""

import sqlalchemy as sa
from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None


def upgrade() -> None:
    now = sa.text("now()")
    op.add_column("confirmations", sa.Column("role", sa.String(), nullable=True))
    op.add_column("confirmations", sa.Column("asked_by", sa.String(), nullable=True))
    op.drop_constraint(op.f("ck_confirmations_purpose"), "confirmations")
    op.drop_constraint(op.f("ck_confirmations_email_is_of_change"), "confirmations")
    for name, rule in (
        ("purpose", "purpose IN ('password_reset', 'email_change', 'invitation')"),
        ("reset_has_no_email", "(purpose = 'password_reset') = (email IS NULL)"),
        ("invitation_has_role", "(purpose = 'invitation') = (role IS NOT NULL)"),
        ("role_of_staff", "role <> 'customer'"),
    ):
        op.create_check_constraint(op.f(f"ck_confirmations_{name}"), "confirmations", rule)
    op.create_table(
        "second_factors",
        sa.Column("user_id", sa.UUID(), nullable=False),
        sa.Column("sealed_secret", sa.LargeBinary(), nullable=False),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_step", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_second_factors_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_second_factors")),
    )
    op.create_table(
        "recovery_codes",
        sa.Column("user_id", sa.UUID(), nullable=False),
        sa.Column("code_hash", sa.LargeBinary(), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"], ["second_factors.user_id"], name=op.f("fk_recovery_codes_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "code_hash", name=op.f("pk_recovery_codes")),
    )
