"""The migrations make exactly the tables that the code knows."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from db import migrations
from db.tables import metadata
from deploy import embedded
from runtime.resources import Resources
from tests.support.waiting import eventually

BEFORE_INDEXES_WERE_BUILT_CONCURRENTLY = "0064"
UPGRADE = "import sys; from db import migrations; migrations.upgrade(sys.argv[1], shop_schema=sys.argv[2])"


async def test_the_migrated_schema_is_the_one_the_code_describes(resources: Resources) -> None:
    def differences(connection: Connection) -> list[tuple[str, str]]:
        found = compare_metadata(MigrationContext.configure(connection), metadata)
        return [(str(kind), str(getattr(subject, "name", subject))) for kind, subject, *_ in found]

    async with resources.engine.connect() as connection:
        found = await connection.run_sync(differences)

    assert found == []


def test_there_is_one_line_of_migrations() -> None:
    scripts = ScriptDirectory.from_config(migrations.configuration("postgresql+asyncpg://nowhere"))

    assert len(scripts.get_heads()) == 1
    assert len(scripts.get_bases()) == 1


async def upgrade_in_a_process(url: str, schema: str) -> int:
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", UPGRADE, url, schema)
    return await child.wait()


async def indexes_of_the_shop(resources: Resources) -> list[str]:
    async with resources.engine.connect() as connection:
        found = await connection.scalars(
            text("SELECT indexname FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1")
        )
        return list(found)


async def test_migrating_again_and_from_several_processes_at_once_changes_nothing(
    stack: embedded.Running, resources: Resources
) -> None:
    schema, of_another_shop = f"shop_{uuid4().hex[:8]}", await indexes_of_the_shop(resources)

    at_once = [upgrade_in_a_process(stack.database_url, schema) for _ in range(3)]
    assert await asyncio.gather(*at_once) == [0, 0, 0]
    assert await upgrade_in_a_process(stack.database_url, schema) == 0

    engine = create_async_engine(stack.database_url)
    async with engine.begin() as connection:
        applied = await connection.scalars(text(f'SELECT version_num FROM "{schema}".alembic_version'))  # noqa: S608
        assert len(applied.all()) == 1
        shipping = await connection.scalar(text(f'SELECT count(*) FROM "{schema}".shipping_methods'))  # noqa: S608
        assert shipping == 2
        await connection.execute(text(f'DROP SCHEMA "{schema}" CASCADE'))
    await engine.dispose()
    assert await indexes_of_the_shop(resources) == of_another_shop


@asynccontextmanager
async def a_schema(stack: embedded.Running) -> AsyncIterator[tuple[str, AsyncEngine]]:
    """As it was before the first index that is built while others write, and an engine that looks into it."""
    schema = f"shop_{uuid4().hex[:8]}"
    configuration = migrations.configuration(stack.database_url, shop_schema=schema)
    await asyncio.to_thread(command.upgrade, configuration, BEFORE_INDEXES_WERE_BUILT_CONCURRENTLY)
    settings = {"search_path": schema, "lock_timeout": "5s"}
    engine = create_async_engine(stack.database_url, connect_args={"server_settings": settings})
    yield schema, engine
    async with engine.begin() as connection:
        await connection.execute(text(f'DROP SCHEMA "{schema}" CASCADE'))
    await engine.dispose()


EVENT = text(
    """
    INSERT INTO webhook_events (provider, event_id, type, payload, handled_at)
    VALUES ('stripe', :id, 'a.test', '{}', now())
    """
)


async def builder_of_an_index(engine: AsyncEngine, schema: str) -> int | None:
    """The process of Postgres that waits for somebody before it goes on building an index of this schema."""
    query = """
        SELECT pid FROM pg_stat_progress_create_index JOIN pg_class ON pg_class.oid = relid
        WHERE relnamespace = CAST(:schema AS regnamespace) AND phase LIKE 'waiting for writers%'
    """
    async with engine.connect() as connection:
        pid: int | None = await connection.scalar(text(query), {"schema": schema})
    return pid


async def test_customers_buy_on_while_indexes_are_built_and_what_was_broken_off_is_built_anew(
    stack: embedded.Running,
) -> None:
    async with a_schema(stack) as (schema, engine):
        async with engine.connect() as writer:
            await writer.execute(EVENT, {"id": "evt_1"})  # and is not over yet: no index can be built before
            upgrading = asyncio.create_task(upgrade_in_a_process(stack.database_url, schema))
            pid = await eventually(lambda: builder_of_an_index(engine, schema))
            async with engine.begin() as another:
                await another.execute(EVENT, {"id": "evt_2"})
            async with engine.begin() as operator:
                await operator.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
            assert await upgrading == 1
            await writer.commit()
        async with engine.connect() as connection:
            assert await connection.scalar(UNUSABLE, {"schema": schema}) == 1

        assert await upgrade_in_a_process(stack.database_url, schema) == 0

        async with engine.connect() as connection:
            assert await connection.scalar(UNUSABLE, {"schema": schema}) == 0
            assert await connection.scalar(text("SELECT count(*) FROM webhook_events")) == 2


UNUSABLE = text(
    """
    SELECT count(*) FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
    WHERE relnamespace = CAST(:schema AS regnamespace) AND NOT indisvalid
    """
)
