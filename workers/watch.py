"""What a worker process tells those who watch it: that it lives, that it can work, and its numbers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig
from temporalio.service import RPCError

from db.listening import Listening
from db.log_level import log_level_news
from db.waiting import ended
from runtime.log_level import LevelInForce
from runtime.resources import Resources, measure_connections
from runtime.settings import Workers

CHECK_SECONDS = 2.0


def count_for_the_engine(workers: Workers) -> None:
    """Call it before the first client is made: there is one runtime of the SDK in a process."""
    if workers.engine_metrics_port is not None:
        Runtime.set_default(
            Runtime(
                telemetry=TelemetryConfig(
                    metrics=PrometheusConfig(
                        bind_address=f"{workers.metrics_host}:{workers.engine_metrics_port}",
                        counters_total_suffix=True,
                        unit_suffix=True,
                        durations_as_seconds=True,
                    )
                )
            )
        )


@asynccontextmanager
async def watched(resources: Resources) -> AsyncIterator[None]:
    """It answers inside the block, from the loop that does the work: a loop that hangs does not answer."""
    workers = resources.settings.workers
    if workers.metrics_port is None:
        yield
        return
    runner = web.AppRunner(watch_of(resources), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, workers.metrics_host, workers.metrics_port).start()
        yield
    finally:
        await runner.cleanup()


@asynccontextmanager
async def logging_what_is_wanted(resources: Resources) -> AsyncIterator[None]:
    """The process follows changes of its log's level inside the block."""
    settings = resources.settings
    level = LevelInForce(resources.autocommit, settings.log_level)
    news = Listening(resources.engine.url, log_level_news(settings.database.shop_schema, [level]))
    following = [asyncio.create_task(news.run()), asyncio.create_task(level.follow())]
    try:
        yield
    finally:
        await ended(*following)


def watch_of(resources: Resources) -> web.Application:
    async def health(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def ready(_: web.Request) -> web.Response:
        checks = {"database": await _database_answers(resources), "workflow_engine": await _engine_answers(resources)}
        told = {name: "ok" if answers else "unavailable" for name, answers in checks.items()}
        is_ready = all(checks.values())
        status = "ok" if is_ready else "unavailable"
        return web.json_response({"status": status, "checks": told}, status=200 if is_ready else 503)

    async def metrics(_: web.Request) -> web.Response:
        measure_connections(resources)
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get("/health", health), web.get("/ready", ready), web.get("/metrics", metrics)])
    return app


async def _database_answers(resources: Resources) -> bool:
    try:
        async with asyncio.timeout(CHECK_SECONDS), resources.autocommit() as session:
            await session.execute(text("SELECT 1"))
    except (SQLAlchemyError, OSError, TimeoutError):
        return False
    return True


async def _engine_answers(resources: Resources) -> bool:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await resources.temporal.service_client.check_health()
    except (RPCError, RuntimeError, TimeoutError):
        return False
