"""Is the process alive, and can it serve?"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal

import structlog
from litestar import Response, get
from litestar.openapi.datastructures import ResponseSpec
from sqlalchemy import text

from api.leaving import Leaving
from api.schemas import Output
from domain.permissions import Permission
from runtime.resources import Resources

log = structlog.get_logger()

CHECK_SECONDS = 1.0

Word = Literal["ok", "unavailable"]


class Health(Output):
    status: Literal["ok"] = "ok"


class Checks(Output):
    database: Word
    cache: Word
    workflow_engine: Word


class Readiness(Output):
    status: Word
    checks: Checks


@get("/health", permission=Permission.PROBE, summary="Alive", tags=["Machines"], sync_to_thread=False)
def health() -> Health:
    """The process runs. Says nothing of what it depends on, so that an outage elsewhere restarts nobody."""
    return Health()


@get(
    "/ready",
    permission=Permission.PROBE,
    summary="Ready",
    tags=["Machines"],
    responses={503: ResponseSpec(data_container=Readiness, description="Cannot serve; `checks` says why")},
)
async def ready(resources: Resources, leaving: Leaving) -> Response[Readiness]:
    """Can it serve? Without the cache it can, a little slower: that alone does not take it out of service.

    A process that was told to stop says `unavailable` as well, while it still answers: ask another one.
    """
    database, cache, engine = await asyncio.gather(
        _checked("database", lambda: _database(resources)),
        _checked("cache", lambda: _cache(resources)),
        _checked("workflow_engine", lambda: _engine(resources)),
    )
    can_serve = database == engine == "ok" and not leaving.has_begun.is_set()
    status: Word = "ok" if can_serve else "unavailable"
    return Response(
        Readiness(status=status, checks=Checks(database=database, cache=cache, workflow_engine=engine)),
        status_code=200 if can_serve else 503,
        headers={"Cache-Control": "no-store"},
    )


async def _checked(name: str, check: Callable[[], Awaitable[None]]) -> Word:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await check()
    except Exception as error:  # noqa: BLE001 (whatever it is, the part does not work)
        log.warning("not_ready", part=name, error=type(error).__name__)
        return "unavailable"
    return "ok"


async def _database(resources: Resources) -> None:
    async with resources.engine.connect() as connection:
        await connection.execute(text("SELECT 1"))


async def _cache(resources: Resources) -> None:
    await resources.redis.ping()


async def _engine(resources: Resources) -> None:
    if not await resources.temporal.service_client.check_health():
        raise ConnectionError
