"""customer groups

Revision ID: 0041
Revises: 0040
"""

import sqlalchemy as sa
from alembic import op

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None


def upgrade() -> None:
    now = sa.text("now()")
    op.create_table(
        "customer_groups",
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.CheckConstraint("code ~ '^[a-z0-9][a-z0-9_-]{0,49}$'", name=op.f("ck_customer_groups_code_form")),
        sa.CheckConstraint("name <> ''", name=op.f("ck_customer_groups_name_not_empty")),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_customer_groups")),
    )
    op.create_table(
        "group_members",
        sa.Column("user_id", sa.UUID(), nullable=False),
        sa.Column("group_code", sa.String(), nullable=False),
        sa.Column("joined_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.ForeignKeyConstraint(["group_code"], ["customer_groups.code"], name=op.f("fk_group_members_group_code")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_group_members_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", "group_code", name=op.f("pk_group_members")),
    )
    op.create_index("ix_group_members_group_code", "group_members", ["group_code"])
    op.execute(
        """
        CREATE FUNCTION tell_of_member() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_notify('accounts_' || TG_TABLE_SCHEMA, coalesce(NEW.user_id, OLD.user_id)::text);
            RETURN NULL;
        END $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER group_members_news AFTER INSERT OR DELETE ON group_members
        FOR EACH ROW EXECUTE FUNCTION tell_of_member()
        """
    )
