"""The roles of Postgres: whose the tables are, who works with them, and who only looks.

Migrations are the owner's. The API and the workers are the app: they read and write rows, and can change no table, no
trigger and nothing that is only ever added to. The reader sees what people may see, and no hash of a secret.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import URL, Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

ONE_AT_A_TIME = 7_305_113  # an advisory lock that nothing else in the shop takes


@dataclass(frozen=True, kw_only=True)
class Roles:
    """Names of those who are not the owner; ``None`` where the owner does it all."""

    app: str | None = None
    reader: str | None = None


def make(admin_url: str, logins: Sequence[URL], *, shop_schema: str) -> None:
    """See to it that these can sign in, and that all of the shop's schema is the first one's. Safe to repeat."""
    asyncio.run(_make(admin_url, logins, shop_schema))


async def _make(admin_url: str, logins: Sequence[URL], shop_schema: str) -> None:
    engine = create_async_engine(admin_url)
    try:
        async with engine.begin() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ONE_AT_A_TIME})
            for login in logins:
                await _carry_out(connection, MAKE_ROLE, name=login.username, password=login.password or None)
            await _carry_out(connection, HAND_OVER, owner=logins[0].username, shop_schema=shop_schema)
    finally:
        await engine.dispose()


async def _carry_out(connection: AsyncConnection, query: str, **values: str | None) -> None:
    """Run the statements that Postgres has written for us, every name quoted."""
    for statement in (await connection.scalars(text(query), values)).all():
        await connection.exec_driver_sql(statement)


MAKE_ROLE = """
    SELECT format(CASE WHEN CAST(:password AS text) IS NULL THEN '%s ROLE %I LOGIN'
                       ELSE '%s ROLE %I LOGIN PASSWORD %L' END,
                  CASE WHEN EXISTS (SELECT FROM pg_roles WHERE rolname = :name) THEN 'ALTER' ELSE 'CREATE' END,
                  CAST(:name AS text), CAST(:password AS text))
"""

HAND_OVER = """
    WITH shop AS (SELECT oid FROM pg_namespace WHERE nspname = :shop_schema),
    the_owner AS (SELECT oid, rolname AS name FROM pg_roles WHERE rolname = :owner)
    SELECT format('GRANT CREATE, CONNECT, TEMPORARY ON DATABASE %I TO %I', current_database(), name) FROM the_owner
    UNION ALL
    SELECT format('ALTER SCHEMA %I OWNER TO %I', nspname, name)
    FROM pg_namespace JOIN the_owner ON nspowner <> the_owner.oid WHERE nspname = :shop_schema
    UNION ALL
    SELECT format('ALTER TABLE %s OWNER TO %I', c.oid::regclass, name)
    FROM pg_class AS c JOIN shop ON relnamespace = shop.oid JOIN the_owner ON relowner <> the_owner.oid
    WHERE relkind IN ('r', 'p', 'v', 'm')
    UNION ALL
    SELECT format('ALTER SEQUENCE %s OWNER TO %I', c.oid::regclass, name)
    FROM pg_class AS c JOIN shop ON relnamespace = shop.oid JOIN the_owner ON relowner <> the_owner.oid
    WHERE relkind = 'S' AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = c.oid AND deptype IN ('a', 'i'))
    UNION ALL
    SELECT format('ALTER ROUTINE %s OWNER TO %I', p.oid::regprocedure, name)
    FROM pg_proc AS p JOIN shop ON pronamespace = shop.oid JOIN the_owner ON proowner <> the_owner.oid
    WHERE NOT EXISTS (SELECT FROM pg_depend WHERE objid = p.oid AND deptype = 'e')
"""


def promise(connection: Connection, roles: Roles, shop_schema: str) -> None:
    """Whatever table the owner makes from now on, the others may use as they use the others; no migration says so."""
    for role, may in ((roles.app, APP), (roles.reader, READER)):
        for privileges in may if role is not None else ():
            connection.exec_driver_sql(
                f"ALTER DEFAULT PRIVILEGES IN SCHEMA {_quoted(shop_schema)} GRANT {privileges} TO {_quoted(role or '')}"
            )


def grant(connection: Connection, roles: Roles, shop_schema: str) -> None:
    """The same for the tables that there are, less what each of them must not."""
    schema = _quoted(shop_schema)
    for role in (roles.app, roles.reader):
        if role is not None:
            connection.exec_driver_sql(f"GRANT USAGE ON SCHEMA {schema} TO {_quoted(role)}")
    if roles.app is not None:
        app = _quoted(roles.app)
        connection.exec_driver_sql(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {app}")
        connection.exec_driver_sql(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {app}")
        connection.exec_driver_sql(f"GRANT EXECUTE ON ALL ROUTINES IN SCHEMA {schema} TO {app}")
        for table in connection.scalars(text(ONLY_ADDED_TO), {"shop_schema": shop_schema}).all():
            connection.exec_driver_sql(f"REVOKE UPDATE, DELETE ON {table} FROM {app}")
        connection.exec_driver_sql(f"REVOKE INSERT, UPDATE, DELETE ON {schema}.alembic_version FROM {app}")
    if roles.reader is not None:
        reader = _quoted(roles.reader)
        connection.exec_driver_sql(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {reader}")
        for row in connection.execute(text(WITH_SECRETS), {"shop_schema": shop_schema}).all():
            connection.exec_driver_sql(f"REVOKE SELECT ON {row.table_name} FROM {reader}")  # noqa: S608
            connection.exec_driver_sql(f"GRANT SELECT ({row.columns}) ON {row.table_name} TO {reader}")


APP = ("SELECT, INSERT, UPDATE, DELETE ON TABLES", "USAGE ON SEQUENCES")
READER = ("SELECT ON TABLES",)

ONLY_ADDED_TO = """
    SELECT DISTINCT tgrelid::regclass::text FROM pg_trigger
    JOIN pg_proc ON pg_proc.oid = tgfoid JOIN pg_class ON pg_class.oid = tgrelid
    WHERE proname = 'refuse_change' AND relnamespace = CAST(quote_ident(:shop_schema) AS regnamespace)
"""

WITH_SECRETS = """
    SELECT format('%I.%I', table_schema, table_name) AS table_name,
           string_agg(quote_ident(column_name), ', ') FILTER (WHERE column_name NOT LIKE '%\\_hash') AS columns
    FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)
    WHERE table_schema = :shop_schema AND table_type = 'BASE TABLE'
    GROUP BY table_schema, table_name
    HAVING bool_or(column_name LIKE '%\\_hash')
"""


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
