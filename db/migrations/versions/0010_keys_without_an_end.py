"""one table for all idempotency keys

What a key of an older request stands for is kept; repeated, such a request is refused and never carried out twice.

Revision ID: 0010
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

WITH_KEYS_OF_THEIR_OWN = ("refunds", "returns", "cancellations")


def upgrade() -> None:
    op.drop_constraint(op.f("fk_idempotency_keys_order_id"), "idempotency_keys", type_="foreignkey")
    op.alter_column("idempotency_keys", "order_id", new_column_name="wish_id")
    op.add_column("idempotency_keys", sa.Column("cart_id", sa.UUID(), nullable=True))
    op.add_column("idempotency_keys", sa.Column("answer_status", sa.Integer(), nullable=True))
    op.add_column("idempotency_keys", sa.Column("answer", JSONB(), nullable=True))
    op.execute("UPDATE idempotency_keys SET caller = left(caller, 10) WHERE caller LIKE 'guest:%'")
    op.execute(
        """
        UPDATE checkouts SET answer = answer || '{"email": "", "shipping_address": ""}'
        WHERE answer ? 'shipping_address'
        """
    )
    for table in WITH_KEYS_OF_THEIR_OWN:
        op.execute(
            f"""
            INSERT INTO idempotency_keys (caller, key, request_hash, wish_id, created_at)
            SELECT caller, key, request_hash, id, created_at FROM {table} WHERE key IS NOT NULL
            ON CONFLICT DO NOTHING
            """  # noqa: S608 (constant names)
        )
        op.drop_constraint(f"uq_{table}_caller_key", table, type_="unique")
        for column in ("caller", "key", "request_hash"):
            op.drop_column(table, column)
    op.create_index(
        "uq_idempotency_keys_cart_id_key",
        "idempotency_keys",
        ["cart_id", "key"],
        unique=True,
        postgresql_where=sa.text("cart_id IS NOT NULL"),
    )
