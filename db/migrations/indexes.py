"""Indexes of tables that may be large, built while the shop goes on writing to them.

What the migration did before is committed then, and it may end in the middle: so each of these may be done again.
"""

from collections.abc import Sequence
from typing import Any

from alembic import op
from sqlalchemy import TextClause


def build_index(name: str, table: str, columns: Sequence[str | TextClause], **otherwise: Any) -> None:
    """What an attempt has left that was broken off is built anew: Postgres keeps it, and never uses it."""
    drop_index(name, table)
    with op.get_context().autocommit_block():
        op.create_index(name, table, columns, postgresql_concurrently=True, **otherwise)


def drop_index(name: str, table: str) -> None:
    """Only that of the shop which is migrated: another one's in ``public`` has the same name and would be found."""
    context = op.get_context()
    with context.autocommit_block():
        op.drop_index(name, table, schema=context.version_table_schema, if_exists=True, postgresql_concurrently=True)
