"""promotions, their codes and uses

Revision ID: 0049
Revises: 0048
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0049"
down_revision = "0048"
branch_labels = None
depends_on = None


def upgrade() -> None:
    now = sa.text("now()")
    when = sa.DateTime(timezone=True)
    op.create_table(
        "promotions",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("rule", postgresql.JSONB(), nullable=False),
        sa.Column("starts_at", when, nullable=True),
        sa.Column("ends_at", when, nullable=True),
        sa.Column("needs_code", sa.Boolean(), nullable=False),
        sa.Column("priority", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("combination", sa.String(), server_default="with_others", nullable=False),
        sa.Column("usage_limit", sa.Integer(), nullable=True),
        sa.Column("usage_limit_per_customer", sa.Integer(), nullable=True),
        sa.Column("uses", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", when, server_default=now, nullable=False),
        sa.Column("updated_at", when, server_default=now, nullable=False),
        sa.CheckConstraint("name <> ''", name=op.f("ck_promotions_name_not_empty")),
        sa.CheckConstraint("ends_at > starts_at", name=op.f("ck_promotions_begins_before_it_ends")),
        sa.CheckConstraint(
            "combination IN ('with_others', 'best_of', 'exclusive')", name=op.f("ck_promotions_combination")
        ),
        sa.CheckConstraint(
            "usage_limit_per_customer > 0", name=op.f("ck_promotions_usage_limit_per_customer_positive")
        ),
        sa.CheckConstraint("uses BETWEEN 0 AND coalesce(usage_limit, 0)", name=op.f("ck_promotions_uses_within_limit")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_promotions")),
    )
    op.create_index(
        op.f("ix_promotions_limited"), "promotions", ["id"], postgresql_where=sa.text("usage_limit IS NOT NULL")
    )
    op.create_table(
        "promotion_codes",
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("promotion_id", sa.UUID(), nullable=False),
        sa.Column("usage_limit", sa.Integer(), nullable=True),
        sa.Column("uses", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", when, server_default=now, nullable=False),
        sa.CheckConstraint("code = upper(btrim(code)) AND code <> ''", name=op.f("ck_promotion_codes_code_form")),
        sa.CheckConstraint(
            "uses BETWEEN 0 AND coalesce(usage_limit, 0)", name=op.f("ck_promotion_codes_uses_within_limit")
        ),
        sa.ForeignKeyConstraint(
            ["promotion_id"], ["promotions.id"], name=op.f("fk_promotion_codes_promotion_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_promotion_codes")),
    )
    op.create_index(op.f("ix_promotion_codes_promotion_id"), "promotion_codes", ["promotion_id"])
    op.create_table(
        "promotion_customers",
        sa.Column("customer_hash", sa.LargeBinary(), nullable=False),
        sa.Column("promotion_id", sa.UUID(), nullable=False),
        sa.Column("uses", sa.Integer(), nullable=False),
        sa.Column("usage_limit", sa.Integer(), nullable=False),
        sa.CheckConstraint("uses BETWEEN 0 AND usage_limit", name=op.f("ck_promotion_customers_uses_within_limit")),
        sa.ForeignKeyConstraint(
            ["promotion_id"], ["promotions.id"], name=op.f("fk_promotion_customers_promotion_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("customer_hash", "promotion_id", name=op.f("pk_promotion_customers")),
    )
    op.create_table(
        "promotion_uses",
        sa.Column("order_id", sa.UUID(), nullable=False),
        sa.Column("promotion_id", sa.UUID(), nullable=False),
        sa.Column("code", sa.String(), nullable=True),
        sa.Column("customer_hash", sa.LargeBinary(), nullable=True),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("created_at", when, server_default=now, nullable=False),
        sa.Column("given_back_at", when, nullable=True),
        sa.CheckConstraint("amount > 0", name=op.f("ck_promotion_uses_amount_positive")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_promotion_uses_order_id")),
        sa.ForeignKeyConstraint(["promotion_id"], ["promotions.id"], name=op.f("fk_promotion_uses_promotion_id")),
        sa.PrimaryKeyConstraint("order_id", "promotion_id", name=op.f("pk_promotion_uses")),
    )
    op.create_index(op.f("ix_promotion_uses_promotion_id"), "promotion_uses", ["promotion_id"])
    op.create_table(
        "pricing_rules",
        sa.Column("is_only", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("version", sa.UUID(), nullable=False),
        sa.CheckConstraint("is_only", name=op.f("ck_pricing_rules_one_row")),
        sa.PrimaryKeyConstraint("is_only", name=op.f("pk_pricing_rules")),
    )
    op.execute("INSERT INTO pricing_rules (version) VALUES (gen_random_uuid())")
    op.execute(
        """
        CREATE FUNCTION renew_pricing_rules() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            UPDATE pricing_rules SET version = gen_random_uuid();
            RETURN NULL;
        END $$
        """
    )
    op.execute(  # not when a use is counted
        """
        CREATE TRIGGER promotions_renew_rules
        AFTER INSERT OR DELETE OR UPDATE OF name, is_active, rule, starts_at, ends_at, needs_code, priority, combination
        ON promotions FOR EACH STATEMENT EXECUTE FUNCTION renew_pricing_rules()
        """
    )
    codes: sa.Column[list[str]] = sa.Column(
        "promotion_codes", postgresql.ARRAY(sa.String()), server_default=sa.text("'{}'"), nullable=False
    )
    op.add_column("carts", codes)
    op.create_check_constraint(op.f("ck_carts_few_codes"), "carts", "cardinality(promotion_codes) <= 10")
