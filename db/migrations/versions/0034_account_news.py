"""tell listeners which accounts changed

Revision ID: 0034
Revises: 0033
"""

from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE FUNCTION tell_of_account() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_notify('accounts_' || TG_TABLE_SCHEMA, OLD.id::text);
            RETURN NULL;
        END $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER users_news AFTER UPDATE OR DELETE ON users
        FOR EACH ROW EXECUTE FUNCTION tell_of_account()
        """
    )
