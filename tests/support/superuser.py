"""What no process of the shop can do."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from runtime.settings import Settings


@asynccontextmanager
async def behind_its_back(settings: Settings) -> AsyncIterator[AsyncSession]:
    """A transaction of the database's superuser in the shop's schema, past all that guards its tables."""
    database = settings.database
    assert database.admin_url is not None
    schema = {"search_path": database.shop_schema, "session_replication_role": "replica"}
    engine = create_async_engine(database.admin_url.get_secret_value(), connect_args={"server_settings": schema})
    try:
        async with AsyncSession(engine) as session, session.begin():
            yield session
    finally:
        await engine.dispose()
