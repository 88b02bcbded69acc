"""where the shop sends to, and what that costs by weight or by the price of the goods

Revision ID: 0044
Revises: 0043
"""

import sqlalchemy as sa
from alembic import op

revision = "0044"
down_revision = "0043"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """What there was goes everywhere, at the same price whatever it weighs."""
    op.add_column("variants", sa.Column("weight_grams", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.create_check_constraint(op.f("ck_variants_weight_not_negative"), "variants", "weight_grams >= 0")
    create_zones()
    create_offers()
    op.execute("INSERT INTO shipping_zones (code, name) VALUES ('everywhere', 'Everywhere')")
    op.execute("INSERT INTO shipping_areas (country, zone) VALUES ('*', 'everywhere')")
    op.execute(
        """
        INSERT INTO shipping_offers (code, zone, estimated_days_min, estimated_days)
        SELECT code, 'everywhere', estimated_days, estimated_days FROM shipping_methods
        """
    )
    divide_rates_into_bands()


def create_zones() -> None:
    op.create_table(
        "shipping_zones",
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_shipping_zones")),
    )
    op.create_table(
        "shipping_areas",
        sa.Column("country", sa.String(), nullable=False),
        sa.Column("region", sa.String(), server_default="", nullable=False),
        sa.Column("postal_prefix", sa.String(), server_default="", nullable=False),
        sa.Column("zone", sa.String(), nullable=False),
        sa.CheckConstraint("country ~ '^([A-Z]{2}|[*])$'", name=op.f("ck_shipping_areas_country_code")),
        sa.CheckConstraint(
            "country <> '*' OR (region = '' AND postal_prefix = '')",
            name=op.f("ck_shipping_areas_anywhere_has_no_parts"),
        ),
        sa.ForeignKeyConstraint(
            ["zone"], ["shipping_zones.code"], name=op.f("fk_shipping_areas_zone"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("country", "region", "postal_prefix", name=op.f("pk_shipping_areas")),
    )
    op.create_index("ix_shipping_areas_zone", "shipping_areas", ["zone"])


def create_offers() -> None:
    op.add_column("shipping_methods", sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False))
    op.alter_column("shipping_methods", "estimated_days", server_default=sa.text("0"))
    op.create_table(
        "shipping_offers",
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("zone", sa.String(), nullable=False),
        sa.Column("estimated_days_min", sa.Integer(), nullable=False),
        sa.Column("estimated_days", sa.Integer(), nullable=False),
        sa.Column("priced_by", sa.String(), server_default="weight", nullable=False),
        sa.CheckConstraint(
            "estimated_days_min BETWEEN 0 AND estimated_days", name=op.f("ck_shipping_offers_days_in_order")
        ),
        sa.CheckConstraint("priced_by IN ('weight', 'goods')", name=op.f("ck_shipping_offers_priced_by")),
        sa.ForeignKeyConstraint(
            ["code"], ["shipping_methods.code"], name=op.f("fk_shipping_offers_code"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["zone"], ["shipping_zones.code"], name=op.f("fk_shipping_offers_zone")),
        sa.PrimaryKeyConstraint("code", "zone", name=op.f("pk_shipping_offers")),
    )
    op.create_index("ix_shipping_offers_zone", "shipping_offers", ["zone"])
    op.create_table(
        "free_shipping",
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("zone", sa.String(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("goods", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("goods >= 0", name=op.f("ck_free_shipping_goods_not_negative")),
        sa.ForeignKeyConstraint(
            ["code", "zone"],
            ["shipping_offers.code", "shipping_offers.zone"],
            name=op.f("fk_free_shipping_code_zone"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("code", "zone", "currency", name=op.f("pk_free_shipping")),
    )


def divide_rates_into_bands() -> None:
    """The build that runs meanwhile finds its one rate of a method and currency, as long as there is one."""
    op.add_column("shipping_rates", sa.Column("zone", sa.String(), server_default="everywhere", nullable=False))
    op.add_column("shipping_rates", sa.Column("starts_at", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    op.alter_column("shipping_rates", "amount", nullable=True)
    op.drop_constraint(op.f("pk_shipping_rates"), "shipping_rates")
    op.drop_constraint(op.f("fk_shipping_rates_code"), "shipping_rates")
    op.create_primary_key(op.f("pk_shipping_rates"), "shipping_rates", ["code", "zone", "currency", "starts_at"])
    op.create_check_constraint(op.f("ck_shipping_rates_starts_at_not_negative"), "shipping_rates", "starts_at >= 0")
    op.create_foreign_key(
        op.f("fk_shipping_rates_code_zone"),
        "shipping_rates",
        "shipping_offers",
        ["code", "zone"],
        ["code", "zone"],
        ondelete="CASCADE",
    )
