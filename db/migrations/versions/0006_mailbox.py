"""letters that are asked for where their reason is written

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "letters",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("occasion", sa.String(), nullable=False),
        sa.Column("about", sa.UUID(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("next_try_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("problem", sa.String(), nullable=True),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "outcome IN ('sent', 'sent_before', 'nobody_to_send_to', 'refused', 'given_up')",
            name=op.f("ck_letters_outcome"),
        ),
        sa.CheckConstraint("(outcome IS NULL) = (ended_at IS NULL)", name=op.f("ck_letters_ended_has_time")),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_letters")),
    )
    op.create_index(
        "ix_letters_waiting", "letters", ["next_try_at"], unique=False, postgresql_where=sa.text("outcome IS NULL")
    )
    op.execute(
        """
        INSERT INTO letters (key, occasion, about, asked_at, next_try_at, attempts, outcome, ended_at)
        SELECT key, split_part(key, ':', 1), split_part(key, ':', 2)::uuid, sent_at, sent_at, 1, 'sent', sent_at
        FROM sent_mails
        """
    )
    op.drop_table("sent_mails")
