"""The way into Postgres."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from db.tracing import trace_statements
from domain.inventory import StockRules
from domain.taxes import TaxPolicy

Sessions = async_sessionmaker[AsyncSession]
"""Opens sessions; ``async with sessions.begin() as session`` is one transaction."""


@dataclass(frozen=True, kw_only=True)
class TimeLimits:
    """After so many seconds Postgres gives up what is asked of it, and undoes its transaction; 0: never."""

    statement: float = 0
    lock: float = 0
    """Of that, how long a statement may wait for others."""
    idle: float = 0
    """How long a transaction may stay open while nothing is asked in it, with all its locks."""

    @property
    def settings(self) -> dict[str, str]:
        limits = {
            "statement_timeout": self.statement,
            "lock_timeout": self.lock,
            "idle_in_transaction_session_timeout": self.idle,
        }
        return {name: f"{seconds * 1000:.0f}ms" for name, seconds in limits.items()}

    @property
    def command(self) -> float | None:
        """A server that does not even give up in time is not there any more."""
        return 2 * self.statement or None


NEVER = TimeLimits()


@asynccontextmanager
async def connect(
    url: str,
    *,
    shop_schema: str,
    pool_size: int,
    pool_wait_seconds: float,
    stock: StockRules,
    taxes: TaxPolicy,
    country: str = "US",
    limits: TimeLimits = NEVER,
    is_traced: bool = False,
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
            "timeout": pool_wait_seconds,
            "command_timeout": limits.command,
            "server_settings": {
                **limits.settings,
                "search_path": shop_schema,
                "timezone": "UTC",
                "application_name": "sutler",
                "sutler.low_stock": str(stock.low_stock),
                "sutler.allocation": stock.allocation.value,
                "sutler.country": country,
                "sutler.taxes": taxes.written,
            },
        },
    )
    if is_traced:
        trace_statements(engine.sync_engine)
    try:
        yield engine
    finally:
        await engine.dispose()


def sessions_of(engine: AsyncEngine) -> Sessions:
    return async_sessionmaker(engine, expire_on_commit=False)


def autocommitting(engine: AsyncEngine) -> Sessions:
    """Sessions whose statements each stand for themselves, which saves two round trips where there is just one."""
    return async_sessionmaker(engine.execution_options(isolation_level="AUTOCOMMIT"), expire_on_commit=False)


async def bit_by_bit(sessions: Sessions, some: Callable[[AsyncSession], Awaitable[int]]) -> None:
    """Do some of it until there is none left, each in a transaction of its own: nobody waits long for its locks."""
    done = True
    while done:
        async with sessions.begin() as session:
            done = bool(await some(session))
