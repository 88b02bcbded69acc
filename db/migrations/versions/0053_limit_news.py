"""tell listeners that a limit was changed

Revision ID: 0053
Revises: 0052
"""

from alembic import op

revision = "0053"
down_revision = "0052"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE FUNCTION tell_of_limits() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_notify('limits_' || TG_TABLE_SCHEMA, '');
            RETURN NULL;
        END $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER changed_limits_news AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON changed_limits
        FOR EACH STATEMENT EXECUTE FUNCTION tell_of_limits()
        """
    )
