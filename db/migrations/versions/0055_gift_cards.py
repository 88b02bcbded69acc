"""gift cards and store credit, with their ledger

Revision ID: 0055
Revises: 0054
"""

import sqlalchemy as sa
from alembic import op

revision = "0055"
down_revision = "0054"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "credit_accounts",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("balance", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("user_id", sa.UUID(), nullable=True),
        sa.Column("code_hash", sa.LargeBinary(), nullable=True),
        sa.Column("last4", sa.String(), nullable=True),
        sa.Column("initial_amount", sa.BigInteger(), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("kind IN ('gift_card', 'store_credit')", name=op.f("ck_credit_accounts_kind")),
        sa.CheckConstraint("balance >= 0", name=op.f("ck_credit_accounts_balance_not_negative")),
        sa.CheckConstraint("balance <= initial_amount", name=op.f("ck_credit_accounts_card_never_grows")),
        sa.CheckConstraint("initial_amount > 0", name=op.f("ck_credit_accounts_initial_amount_positive")),
        sa.CheckConstraint(
            "num_nulls(code_hash, last4, initial_amount) = CASE kind WHEN 'gift_card' THEN 0 ELSE 3 END",
            name=op.f("ck_credit_accounts_cards_have_codes"),
        ),
        sa.CheckConstraint(
            "(kind = 'store_credit') = (user_id IS NOT NULL)", name=op.f("ck_credit_accounts_store_credit_has_owner")
        ),
        sa.CheckConstraint(
            "kind = 'gift_card' OR num_nonnulls(expires_at, disabled_at) = 0",
            name=op.f("ck_credit_accounts_only_cards_come_to_an_end"),
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_credit_accounts_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credit_accounts")),
        sa.UniqueConstraint("code_hash", name=op.f("uq_credit_accounts_code_hash")),
    )
    op.create_index(
        op.f("uq_credit_accounts_user_id_currency"), "credit_accounts", ["user_id", "currency"], unique=True
    )
    op.create_index(
        op.f("ix_credit_accounts_gift_cards"),
        "credit_accounts",
        ["id"],
        postgresql_where=sa.text("kind = 'gift_card'"),
    )
    op.create_table(
        "credit_entries",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("account_id", sa.UUID(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("order_id", sa.UUID(), nullable=True),
        sa.Column("refund_id", sa.UUID(), nullable=True),
        sa.Column("note_id", sa.UUID(), nullable=True),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("amount <> 0", name=op.f("ck_credit_entries_amount_not_zero")),
        sa.CheckConstraint(
            "reason IN ('issued', 'adjusted', 'spent', 'given_back', 'refunded')",
            name=op.f("ck_credit_entries_reason"),
        ),
        sa.CheckConstraint(
            "(reason = 'spent' AND amount < 0) OR reason = 'adjusted' OR amount > 0", name=op.f("ck_credit_entries_sign")
        ),
        sa.CheckConstraint(
            "(reason IN ('issued', 'adjusted')) = (order_id IS NULL)", name=op.f("ck_credit_entries_has_an_order")
        ),
        sa.CheckConstraint(
            "(reason = 'refunded') = (refund_id IS NOT NULL)", name=op.f("ck_credit_entries_has_a_refund")
        ),
        sa.ForeignKeyConstraint(["account_id"], ["credit_accounts.id"], name=op.f("fk_credit_entries_account_id")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_credit_entries_order_id")),
        sa.ForeignKeyConstraint(["refund_id"], ["refunds.id"], name=op.f("fk_credit_entries_refund_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credit_entries")),
        sa.UniqueConstraint("key", name=op.f("uq_credit_entries_key")),
    )
    op.create_index(op.f("ix_credit_entries_account_id_id"), "credit_entries", ["account_id", "id"])
    op.create_index(
        op.f("ix_credit_entries_order_id"),
        "credit_entries",
        ["order_id"],
        postgresql_where=sa.text("order_id IS NOT NULL"),
    )
    for when, each in (("UPDATE OR DELETE", "ROW"), ("TRUNCATE", "STATEMENT")):
        name = "append_only" if each == "ROW" else "not_emptied"
        op.execute(
            f"""
            CREATE TRIGGER credit_entries_{name} BEFORE {when} ON credit_entries
            FOR EACH {each} EXECUTE FUNCTION refuse_change()
            """
        )
