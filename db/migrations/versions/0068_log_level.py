"""the level of the log, changed while the shop runs

Revision ID: 0068
Revises: 0067
"""

import sqlalchemy as sa
from alembic import op

revision = "0068"
down_revision = "0067"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "changed_log_level",
        sa.Column("is_one", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("level", sa.String(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("is_one", name=op.f("ck_changed_log_level_is_one")),
        sa.CheckConstraint(
            "level IN ('DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL')", name=op.f("ck_changed_log_level_level")
        ),
        sa.PrimaryKeyConstraint("is_one", name=op.f("pk_changed_log_level")),
    )
    op.execute(
        """
        CREATE FUNCTION tell_of_log_level() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_notify('log_level_' || TG_TABLE_SCHEMA, '');
            RETURN NULL;
        END $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER changed_log_level_news AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON changed_log_level
        FOR EACH STATEMENT EXECUTE FUNCTION tell_of_log_level()
        """
    )
