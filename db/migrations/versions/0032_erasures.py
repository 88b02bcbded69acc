"""people who want to be forgotten, and words that are struck out for them

Revision ID: 0032
Revises: 0031
"""

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "erasures",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("order_id", sa.Uuid(), nullable=True),
        sa.Column("asked_by", sa.String(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("num_nonnulls(user_id, order_id) = 1", name=op.f("ck_erasures_is_about_one")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_erasures_order_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_erasures_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_erasures")),
        sa.UniqueConstraint("order_id", name=op.f("uq_erasures_order_id")),
        sa.UniqueConstraint("user_id", name=op.f("uq_erasures_user_id")),
    )
    op.drop_constraint(op.f("ck_users_status"), "users")
    op.create_check_constraint(
        op.f("ck_users_status"), "users", "status IN ('pending_verification', 'active', 'closed')"
    )
    strike_out_words()


def strike_out_words() -> None:
    """The audit log stays as it is but for one thing: what was said of somebody who is forgotten can be struck out.

    Only the function can do it, which works in the name of the table's owner; that somebody asked, when and what they
    did is never changed.
    """
    op.execute("DROP TRIGGER audit_log_append_only ON audit_log")
    op.execute(
        """
        CREATE FUNCTION refuse_change_but_of_words() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF TG_OP = 'UPDATE' AND NEW.note IS NULL
               AND to_jsonb(NEW) - 'note' = to_jsonb(OLD) - 'note' THEN
                RETURN NEW;
            END IF;
            RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
        END $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE ON audit_log
        FOR EACH ROW EXECUTE FUNCTION refuse_change_but_of_words()
        """
    )
    op.execute(
        f"""
        CREATE FUNCTION forget_words(orders uuid[]) RETURNS void LANGUAGE sql SECURITY DEFINER
        SET search_path = {schema()}, pg_temp AS $$
            UPDATE audit_log SET note = NULL WHERE order_id = ANY(orders) AND note IS NOT NULL
        $$
        """
    )
    op.execute("REVOKE EXECUTE ON FUNCTION forget_words(uuid[]) FROM PUBLIC")


def schema() -> str:
    return f'"{op.get_bind().dialect.default_schema_name}"'
