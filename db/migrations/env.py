"""How Alembic reaches the database: the asyncpg driver, one migrator at a time."""

import asyncio
import time

from alembic import context
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine

from db.roles import grant, promise
from db.tables import metadata

ONE_MIGRATOR_AT_A_TIME = 7_305_112  # an advisory lock that nothing else in the shop takes


PAUSE = 0.1
"""Seconds between two tries to be the one who migrates."""


def take_turns(connection: Connection) -> None:
    """Ask again and again, and wait in no statement: an index that another one builds waits for all that run."""
    while not connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": ONE_MIGRATOR_AT_A_TIME}):
        connection.commit()
        time.sleep(PAUSE)


def run(connection: Connection, shop_schema: str) -> None:
    take_turns(connection)
    connection.execute(text(f'CREATE SCHEMA IF NOT EXISTS "{shop_schema}"'))
    connection.execute(text(f'SET search_path TO "{shop_schema}", public'))
    connection.commit()
    connection.dialect.default_schema_name = shop_schema
    context.configure(
        connection=connection,
        target_metadata=metadata,
        compare_server_default=False,
        version_table_schema=shop_schema,  # or a shop in `public` would be taken for this one
    )
    roles = context.config.attributes["roles"]
    with context.begin_transaction():
        promise(connection, roles, shop_schema)
        context.run_migrations()
        grant(connection, roles, shop_schema)


async def main() -> None:
    attributes = context.config.attributes
    engine = create_async_engine(attributes["url"])
    try:
        async with engine.connect() as connection:
            await connection.run_sync(run, attributes["shop_schema"])
    finally:
        await engine.dispose()


asyncio.run(main())
