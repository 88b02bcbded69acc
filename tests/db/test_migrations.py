"""The migrations make exactly the tables that the code knows."""

import asyncio
import sys
from uuid import uuid4

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine

from db import migrations
from db.tables import metadata
from deploy import embedded
from runtime.resources import Resources

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


async def test_migrating_again_and_from_several_processes_at_once_changes_nothing(stack: embedded.Running) -> None:
    schema = f"shop_{uuid4().hex[:8]}"

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
