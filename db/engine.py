"""The way into Postgres."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from domain.inventory import StockRules

Sessions = async_sessionmaker[AsyncSession]
"""Opens sessions; ``async with sessions.begin() as session`` is one transaction."""


@asynccontextmanager
async def connect(
    url: str, *, shop_schema: str, pool_size: int, pool_wait_seconds: float, stock: StockRules
) -> AsyncIterator[AsyncEngine]:
    """An engine whose connections work in the shop's schema and in UTC, and know its rules; closed at the end."""
    engine = create_async_engine(
        url,
        hide_parameters=True,  # errors are logged, and parameters are people's names, addresses and password hashes
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=pool_wait_seconds,
        pool_recycle=600,
        pool_pre_ping=False,  # a dead connection is one retried activity; a ping is a round trip on every request
        connect_args={
            "server_settings": {
                "search_path": shop_schema,
                "timezone": "UTC",
                "application_name": "sutler",
                "sutler.low_stock": str(stock.low_stock),
                "sutler.allocation": stock.allocation.value,
            },
        },
    )
    try:
        yield engine
    finally:
        await engine.dispose()


def sessions_of(engine: AsyncEngine) -> Sessions:
    return async_sessionmaker(engine, expire_on_commit=False)


def autocommitting(engine: AsyncEngine) -> Sessions:
    """Sessions whose statements each stand for themselves, which saves two round trips where there is just one."""
    return async_sessionmaker(engine.execution_options(isolation_level="AUTOCOMMIT"), expire_on_commit=False)
