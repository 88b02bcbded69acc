"""A worker process: serve the queues, stop when asked, leave running activities the time to finish."""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import structlog
import uvloop

from runtime.resources import opened
from runtime.settings import Settings
from runtime.telemetry import configure_logging
from runtime.tracing import begin, told_to_the_end
from workers.run import serving
from workers.watch import count_for_the_engine, logging_what_is_wanted, watched
from workflows.names import Queue

log = structlog.get_logger()


def run(settings: Settings, queues: Sequence[Queue]) -> None:
    sink = configure_logging(settings.log_level)
    count_for_the_engine(settings.workers)
    os.nice(settings.workers.nice)
    uvloop.run(serve_until_stopped(settings, queues))
    sink.drain()
    sys.stdout.flush()
    # The SDK's threads can crash the interpreter while it is torn down; the work is done, so leave without that.
    os._exit(0)


async def serve_until_stopped(settings: Settings, queues: Sequence[Queue]) -> None:
    stop = asyncio.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sign, stop.set)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(told_to_the_end(begin(settings, "worker")))
        resources = await stack.enter_async_context(opened(settings))
        await stack.enter_async_context(serving(resources, queues))
        await stack.enter_async_context(watched(resources))
        await stack.enter_async_context(logging_what_is_wanted(resources))
        log.info("worker_ready", queues=[str(queue) for queue in queues])
        if ready_file := os.environ.get("APP_READY_FILE"):
            await asyncio.to_thread(Path(ready_file).touch)
        await stop.wait()
        log.info("worker_stopping")
