"""price lists

Revision ID: 0042
Revises: 0041
"""

import sqlalchemy as sa
from alembic import op

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None


def upgrade() -> None:
    now, no, yes = sa.text("now()"), sa.text("false"), sa.text("true")
    op.create_table(
        "price_lists",
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("priority", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("overrides", sa.Boolean(), server_default=no, nullable=False),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=True),
        sa.Column("valid_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("is_active", sa.Boolean(), server_default=yes, nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.CheckConstraint("code ~ '^[a-z0-9][a-z0-9_-]{0,49}$'", name=op.f("ck_price_lists_code_form")),
        sa.CheckConstraint("name <> ''", name=op.f("ck_price_lists_name_not_empty")),
        sa.CheckConstraint("valid_until > valid_from", name=op.f("ck_price_lists_begins_before_it_ends")),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_price_lists")),
    )
    op.create_table(
        "price_list_groups",
        sa.Column("list_code", sa.String(), nullable=False),
        sa.Column("group_code", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["group_code"], ["customer_groups.code"], name=op.f("fk_price_list_groups_group_code")),
        sa.ForeignKeyConstraint(
            ["list_code"], ["price_lists.code"], name=op.f("fk_price_list_groups_list_code"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("list_code", "group_code", name=op.f("pk_price_list_groups")),
    )
    op.create_index("ix_price_list_groups_group_code", "price_list_groups", ["group_code"])
    op.create_table(
        "price_list_entries",
        sa.Column("variant_id", sa.UUID(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("list_code", sa.String(), nullable=False),
        sa.Column("min_quantity", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("min_quantity >= 1", name=op.f("ck_price_list_entries_min_quantity_at_least_one")),
        sa.CheckConstraint("amount >= 0", name=op.f("ck_price_list_entries_amount_not_negative")),
        sa.ForeignKeyConstraint(
            ["variant_id", "currency"],
            ["prices.variant_id", "prices.currency"],
            name=op.f("fk_price_list_entries_base_price"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["list_code"], ["price_lists.code"], name=op.f("fk_price_list_entries_list_code"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint(
            "variant_id", "currency", "list_code", "min_quantity", name=op.f("pk_price_list_entries")
        ),
    )
    op.create_index(
        "ix_price_list_entries_of_list",
        "price_list_entries",
        ["list_code", "variant_id", "currency", "min_quantity"],
    )
    op.add_column("order_lines", sa.Column("base_price", sa.BigInteger(), nullable=True))
    op.add_column("order_lines", sa.Column("price_list", sa.String(), nullable=True))
    for name, rule in (
        ("price_list_has_base_price", "num_nulls(base_price, price_list) IN (0, 2)"),
        ("base_price_not_negative", "base_price >= 0"),
    ):
        op.create_check_constraint(op.f(f"ck_order_lines_{name}"), "order_lines", rule)
