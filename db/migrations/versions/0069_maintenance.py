"""maintenance, while which the shop changes nothing for its customers

Revision ID: 0069
Revises: 0075
"""

import sqlalchemy as sa
from alembic import op

revision = "0069"
down_revision = "0075"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "maintenance",
        sa.Column("is_one", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("retry_after_seconds", sa.Integer(), nullable=False),
        sa.Column("begun_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("is_one", name=op.f("ck_maintenance_is_one")),
        sa.CheckConstraint("retry_after_seconds BETWEEN 1 AND 86400", name=op.f("ck_maintenance_within_a_day")),
        sa.PrimaryKeyConstraint("is_one", name=op.f("pk_maintenance")),
    )
    op.execute(
        """
        CREATE FUNCTION tell_of_maintenance() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_notify('maintenance_' || TG_TABLE_SCHEMA, '');
            RETURN NULL;
        END $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER maintenance_news AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON maintenance
        FOR EACH STATEMENT EXECUTE FUNCTION tell_of_maintenance()
        """
    )
