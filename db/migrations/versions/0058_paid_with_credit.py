"""carts and orders that are paid with gift cards and store credit

Revision ID: 0058
Revises: 0057
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0058"
down_revision = "0057"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "carts",
        sa.Column("gift_cards", postgresql.ARRAY(sa.UUID()), server_default=sa.text("'{}'"), nullable=False),
    )
    op.add_column(
        "carts", sa.Column("uses_store_credit", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.create_check_constraint(op.f("ck_carts_few_gift_cards"), "carts", "cardinality(gift_cards) <= 10")
    op.create_check_constraint(
        op.f("ck_carts_guests_have_no_store_credit"), "carts", "NOT uses_store_credit OR user_id IS NOT NULL"
    )
    op.add_column("checkouts", sa.Column("expected_due", sa.BigInteger(), nullable=True))
    op.add_column("orders", sa.Column("credit", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    op.create_check_constraint(op.f("ck_orders_credit_within_total"), "orders", "credit BETWEEN 0 AND total")
    op.add_column("refunds", sa.Column("of_credit", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    op.add_column("refunds", sa.Column("goes_to", sa.String(), server_default=sa.text("'origin'"), nullable=False))
    op.create_check_constraint(op.f("ck_refunds_credit_within_amount"), "refunds", "of_credit BETWEEN 0 AND amount")
    op.create_check_constraint(op.f("ck_refunds_goes_to"), "refunds", "goes_to IN ('origin', 'store_credit')")
    op.add_column("payments", sa.Column("credited", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    _replace_check(
        "payments",
        "refunded_within_captured",
        "least(refunded, refunding, credited) >= 0 AND refunded + refunding + credited <= captured",
    )
    _replace_check(
        "credit_entries", "reason", "reason IN ('issued', 'adjusted', 'spent', 'given_back', 'refunded', 'converted')"
    )
    _replace_check(
        "credit_entries", "has_a_refund", "(reason IN ('refunded', 'converted')) = (refund_id IS NOT NULL)"
    )
    _count_what_was_credited_as_gone()


def _replace_check(table: str, name: str, rule: str) -> None:
    op.drop_constraint(op.f(f"ck_{table}_{name}"), table, type_="check")
    op.create_check_constraint(op.f(f"ck_{table}_{name}"), table, rule)


def _count_what_was_credited_as_gone() -> None:
    """What a bank has taken back cannot become store credit either."""
    op.execute(
        """
        CREATE OR REPLACE FUNCTION refuse_refund_of_disputed_money() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NEW.refunded + NEW.refunding + NEW.credited + (
                SELECT coalesce(sum(amount), 0) FROM disputes WHERE order_id = NEW.order_id AND status <> 'won'
            ) > NEW.captured THEN
                RAISE EXCEPTION 'the money of order % is disputed and cannot be refunded', NEW.order_id
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'disputed_money_is_not_refunded';
            END IF;
            RETURN NULL;
        END $$
        """
    )
    op.execute("DROP TRIGGER disputed_money_is_not_refunded ON payments")
    op.execute(
        """
        CREATE TRIGGER disputed_money_is_not_refunded AFTER UPDATE OF refunding, credited ON payments
        FOR EACH ROW WHEN (NEW.refunding > OLD.refunding OR NEW.credited > OLD.credited)
        EXECUTE FUNCTION refuse_refund_of_disputed_money()
        """
    )
