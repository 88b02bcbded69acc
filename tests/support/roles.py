"""Postgres as each of its roles sees it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine


@asynccontextmanager
async def signed_in(url: SecretStr | None, shop_schema: str = "public") -> AsyncIterator[AsyncConnection]:
    assert url is not None
    schema = {"server_settings": {"search_path": shop_schema}}
    engine = create_async_engine(url.get_secret_value(), connect_args=schema)
    try:
        async with engine.connect() as connection:
            yield connection
    finally:
        await engine.dispose()
