"""what tax providers have said

Revision ID: 0056
Revises: 0055
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0056"
down_revision = "0055"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "tax_answers",
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("answer", postgresql.JSONB(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("fingerprint ~ '^[0-9a-f]{64}$'", name=op.f("ck_tax_answers_fingerprint_form")),
        sa.PrimaryKeyConstraint("fingerprint", name=op.f("pk_tax_answers")),
    )
    op.create_index(op.f("ix_tax_answers_asked_at"), "tax_answers", ["asked_at"])
