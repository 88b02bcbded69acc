"""imports of the catalogue, read chunk by chunk

Revision ID: 0022
Revises: 0021
"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

COUNTS = [
    *("rows", "failed"),
    *("products_created", "products_updated", "products_unchanged"),
    *("variants_created", "variants_updated", "variants_unchanged"),
]


def upgrade() -> None:
    op.create_table(
        "catalog_imports",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.String(), server_default="receiving", nullable=False),
        sa.Column("format", sa.String(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("size", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("chunks", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_byte", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_line", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("header", sa.LargeBinary(), server_default=sa.text("''"), nullable=False),
        *(sa.Column(count, sa.Integer(), server_default=sa.text("0"), nullable=False) for count in COUNTS),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("moved_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("file_deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "status IN ('receiving', 'waiting', 'running', 'completed', 'cancelled')",
            name=op.f("ck_catalog_imports_status"),
        ),
        sa.CheckConstraint("format IN ('csv', 'jsonl')", name=op.f("ck_catalog_imports_format")),
        sa.CheckConstraint(
            "(status IN ('cancelled', 'completed')) = (ended_at IS NOT NULL)",
            name=op.f("ck_catalog_imports_ended_has_time"),
        ),
        sa.CheckConstraint(
            "file_deleted_at IS NULL OR ended_at IS NOT NULL", name=op.f("ck_catalog_imports_kept_until_ended")
        ),
        sa.CheckConstraint("next_byte BETWEEN 0 AND size", name=op.f("ck_catalog_imports_reads_within_file")),
        sa.CheckConstraint("failed BETWEEN 0 AND rows + 1", name=op.f("ck_catalog_imports_failed_within_rows")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_catalog_imports")),
    )
    _table_of_an_import(
        "catalog_import_pieces",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        key=["number"],
    )
    _table_of_an_import(
        "catalog_import_keys",
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.CheckConstraint("kind IN ('slug', 'sku')", name=op.f("ck_catalog_import_keys_kind")),
        key=["kind", "key"],
    )
    _table_of_an_import(
        "catalog_import_rows",
        sa.Column("product_line", sa.Integer(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("has_failed", sa.Boolean(), nullable=False),
        key=["product_line", "line"],
    )
    _table_of_an_import(
        "catalog_import_errors",
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("product_line", sa.Integer(), nullable=False),
        sa.Column("field", sa.String(), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        key=["line", "number"],
    )


def _table_of_an_import(name: str, *columns: sa.Column[object] | sa.CheckConstraint, key: list[str]) -> None:
    op.create_table(
        name,
        sa.Column("import_id", sa.Uuid(), nullable=False),
        *columns,
        sa.ForeignKeyConstraint(
            ["import_id"], ["catalog_imports.id"], name=op.f(f"fk_{name}_import_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("import_id", *key, name=op.f(f"pk_{name}")),
    )
