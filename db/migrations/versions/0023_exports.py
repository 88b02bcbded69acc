"""exports of the catalogue

Revision ID: 0023
Revises: 0022
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "catalog_exports",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.String(), server_default="waiting", nullable=False),
        sa.Column("format", sa.String(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("size", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("products", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("left_out", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("examples", postgresql.JSONB(), server_default=sa.text("'[]'"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("file_deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "status IN ('waiting', 'running', 'completed')", name=op.f("ck_catalog_exports_status")
        ),
        sa.CheckConstraint("format IN ('csv', 'jsonl')", name=op.f("ck_catalog_exports_format")),
        sa.CheckConstraint(
            "(status = 'completed') = (ended_at IS NOT NULL)", name=op.f("ck_catalog_exports_ended_has_time")
        ),
        sa.CheckConstraint(
            "file_deleted_at IS NULL OR ended_at IS NOT NULL", name=op.f("ck_catalog_exports_kept_until_ended")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_catalog_exports")),
    )
    op.create_table(
        "catalog_export_pieces",
        sa.Column("export_id", sa.Uuid(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["export_id"],
            ["catalog_exports.id"],
            name=op.f("fk_catalog_export_pieces_export_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("export_id", "attempt", "number", name=op.f("pk_catalog_export_pieces")),
    )
