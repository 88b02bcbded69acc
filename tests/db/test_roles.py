"""Who may do what in Postgres: tables have an owner, the shop works with rows, a reader looks."""

import asyncio
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from db import audit_log, migrations
from deploy import embedded
from runtime.databases import migrated
from runtime.resources import Resources
from tests.support.roles import signed_in


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE users ADD COLUMN shoe_size integer",
        "ALTER TABLE audit_log DISABLE TRIGGER ALL",
        "DROP TRIGGER audit_log_append_only ON audit_log",
        "SET session_replication_role = replica",
        "CREATE TABLE mine (id integer)",
        "DROP TABLE orders",
        "TRUNCATE orders CASCADE",
        "UPDATE alembic_version SET version_num = '0001'",
        "CREATE ROLE another",
    ],
)
async def test_the_shop_itself_changes_no_table_and_switches_nothing_off(resources: Resources, statement: str) -> None:
    async with resources.sessions() as session:
        with pytest.raises(DBAPIError, match=r"must be owner|permission denied"):
            await session.execute(text(statement))


@pytest.mark.parametrize("table", ["audit_log", "order_events", "stock_movements"])
async def test_what_is_only_added_to_is_changed_by_nobody(resources: Resources, table: str) -> None:
    async with resources.sessions.begin() as session:
        await audit_log.note(session, "operator:1", "look")

    for change in (f"UPDATE {table} SET order_id = order_id", f"DELETE FROM {table}"):  # noqa: S608
        async with resources.sessions() as session:
            with pytest.raises(DBAPIError, match="permission denied"):
                await session.execute(text(change))
    async with signed_in(resources.settings.database.owner_url) as connection:
        with pytest.raises(DBAPIError, match="append-only"):
            await connection.execute(text(f"TRUNCATE {table} CASCADE"))


async def test_the_owner_of_the_audit_log_cannot_change_it_either(resources: Resources) -> None:
    async with resources.sessions.begin() as session:
        entry = await audit_log.note(session, "operator:1", "look")

    for change in ("UPDATE audit_log SET actor = 'nobody' WHERE id = :id", "DELETE FROM audit_log WHERE id = :id"):
        async with signed_in(resources.settings.database.owner_url) as connection:
            with pytest.raises(DBAPIError, match="append-only"):
                await connection.execute(text(change), {"id": entry})


async def test_a_reader_sees_everything_but_secrets_and_changes_nothing(resources: Resources) -> None:
    async with signed_in(resources.settings.database.reader_url) as connection:
        await connection.execute(text("SELECT id, email FROM users LIMIT 1"))
        await connection.execute(text("SELECT * FROM orders LIMIT 1"))
    for statement in (
        "SELECT password_hash FROM users",
        "SELECT key_hash FROM api_keys",
        "SELECT token_hash FROM refresh_tokens",
        "DELETE FROM orders",
        "INSERT INTO categories (slug, name) VALUES ('a', 'a')",
    ):
        async with signed_in(resources.settings.database.reader_url) as connection:
            with pytest.raises(DBAPIError, match="permission denied"):
                await connection.execute(text(statement))


async def test_a_table_that_comes_later_can_be_used_without_a_word_about_it(resources: Resources) -> None:
    database, name = resources.settings.database, f"later_{uuid4().hex[:8]}"
    async with signed_in(database.owner_url) as owner:
        await owner.execute(text(f"CREATE TABLE {name} (id integer GENERATED ALWAYS AS IDENTITY, word text)"))
        await owner.commit()
        try:
            async with resources.sessions.begin() as session:
                await session.execute(text(f"INSERT INTO {name} (word) VALUES ('new')"))  # noqa: S608
                await session.execute(text(f"UPDATE {name} SET word = 'newer'"))  # noqa: S608
            async with signed_in(database.reader_url) as reader:
                assert await reader.scalar(text(f"SELECT word FROM {name}")) == "newer"  # noqa: S608
        finally:
            await owner.execute(text(f"DROP TABLE {name}"))
            await owner.commit()


async def test_tables_of_a_shop_that_had_one_role_are_handed_over(stack: embedded.Running) -> None:
    database = stack.database.model_copy(update={"shop_schema": f"shop_{uuid4().hex[:8]}"})
    await asyncio.to_thread(migrations.upgrade, stack.database_url, shop_schema=database.shop_schema)

    for _ in range(2):
        await asyncio.to_thread(migrated, database)

    async with signed_in(database.admin_url) as admin:
        owners = await admin.scalars(
            text(
                "SELECT DISTINCT relowner::regrole::text FROM pg_class "
                "WHERE relnamespace = CAST(:schema AS regnamespace) UNION "
                "SELECT DISTINCT proowner::regrole::text FROM pg_proc "
                "WHERE pronamespace = CAST(:schema AS regnamespace)"
            ),
            {"schema": database.shop_schema},
        )
        assert owners.all() == ["sutler_owner"]
        async with signed_in(database.url, database.shop_schema) as app:
            assert await app.scalar(text("SELECT count(*) FROM shipping_methods")) == 2
        await admin.execute(text(f'DROP SCHEMA "{database.shop_schema}" CASCADE'))
        await admin.commit()
