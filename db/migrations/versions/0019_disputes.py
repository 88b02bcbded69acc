"""disputes

Revision ID: 0019
Revises: 0018
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "disputes",
        sa.Column("reference", sa.String(), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.String(), server_default="open", nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("evidence_due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("known_note_id", sa.Uuid(), nullable=True),
        sa.CheckConstraint("status IN ('open', 'won', 'lost')", name=op.f("ck_disputes_status")),
        sa.CheckConstraint("amount > 0", name=op.f("ck_disputes_amount_positive")),
        sa.CheckConstraint("(status = 'open') = (closed_at IS NULL)", name=op.f("ck_disputes_closed_has_time")),
        sa.CheckConstraint("known_note_id IS NULL OR status = 'lost'", name=op.f("ck_disputes_known_is_lost")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_disputes_order_id")),
        sa.PrimaryKeyConstraint("reference", name=op.f("pk_disputes")),
    )
    op.create_index(op.f("ix_disputes_order_id"), "disputes", ["order_id"])
    op.execute(
        """
        CREATE FUNCTION refuse_refund_of_disputed_money() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NEW.refunded + NEW.refunding + (
                SELECT coalesce(sum(amount), 0) FROM disputes WHERE order_id = NEW.order_id AND status <> 'won'
            ) > NEW.captured THEN
                RAISE EXCEPTION 'the money of order % is disputed and cannot be refunded', NEW.order_id
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'disputed_money_is_not_refunded';
            END IF;
            RETURN NULL;
        END $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER disputed_money_is_not_refunded AFTER UPDATE OF refunding ON payments
        FOR EACH ROW WHEN (NEW.refunding > OLD.refunding) EXECUTE FUNCTION refuse_refund_of_disputed_money()
        """
    )
