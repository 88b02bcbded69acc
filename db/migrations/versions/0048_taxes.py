"""regions and rates of taxes, classes of goods, and customers who are exempt

Revision ID: 0048
Revises: 0047
"""

import sqlalchemy as sa
from alembic import op

revision = "0048"
down_revision = "0047"
branch_labels = None
depends_on = None


def upgrade() -> None:
    now = sa.text("now()")
    tax_class: sa.Column[str] = sa.Column(
        "tax_class", sa.String(), server_default=sa.text("'standard'"), nullable=False
    )
    op.add_column("products", tax_class)
    op.create_check_constraint(
        op.f("ck_products_tax_class_form"), "products", "tax_class ~ '^[a-z][a-z0-9_]{0,49}$'"
    )
    op.create_table(
        "tax_regions",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("country", sa.String(), nullable=False),
        sa.Column("region", sa.String(), server_default=sa.text("''"), nullable=False),
        sa.Column("postal_prefix", sa.String(), server_default=sa.text("''"), nullable=False),
        sa.Column("is_inclusive", sa.Boolean(), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.CheckConstraint("country ~ '^[A-Z]{2}$'", name=op.f("ck_tax_regions_country_code")),
        sa.CheckConstraint("region ~ '^[A-Z0-9]{0,50}$'", name=op.f("ck_tax_regions_region_form")),
        sa.CheckConstraint("postal_prefix ~ '^[A-Z0-9]{0,20}$'", name=op.f("ck_tax_regions_postal_prefix_form")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tax_regions")),
        sa.UniqueConstraint("country", "region", "postal_prefix", name=op.f("uq_tax_regions_country_region_postal_prefix")),
    )
    op.create_table(
        "tax_rates",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("region_id", sa.UUID(), nullable=False),
        sa.Column("tax_class", sa.String(), server_default=sa.text("'standard'"), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("percent", sa.Numeric(9, 6), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.CheckConstraint("percent BETWEEN 0 AND 100", name=op.f("ck_tax_rates_percent_within_price")),
        sa.CheckConstraint("tax_class ~ '^[a-z][a-z0-9_]{0,49}$'", name=op.f("ck_tax_rates_tax_class_form")),
        sa.CheckConstraint("name <> ''", name=op.f("ck_tax_rates_name_not_empty")),
        sa.ForeignKeyConstraint(
            ["region_id"], ["tax_regions.id"], name=op.f("fk_tax_rates_region_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tax_rates")),
        sa.UniqueConstraint("region_id", "tax_class", "name", name=op.f("uq_tax_rates_region_id_tax_class_name")),
    )
    op.create_table(
        "tax_exemptions",
        sa.Column("user_id", sa.UUID(), nullable=False),
        sa.Column("certificate", sa.String(), nullable=False),
        sa.Column("granted_by", sa.String(), nullable=False),
        sa.Column("granted_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.CheckConstraint("certificate <> ''", name=op.f("ck_tax_exemptions_certificate_not_empty")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_tax_exemptions_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_tax_exemptions")),
    )
