"""A worker process: serve the queues, stop when asked, leave running activities the time to finish."""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import structlog
import uvloop
from prometheus_client import start_http_server

from runtime.resources import opened
from runtime.settings import Settings
from runtime.telemetry import configure_logging
from workers.run import serving
from workflows.names import Queue

log = structlog.get_logger()


def run(settings: Settings, queues: Sequence[Queue]) -> None:
    configure_logging(settings.log_level)
    os.nice(settings.workers.nice)
    uvloop.run(serve_until_stopped(settings, queues))
    sys.stdout.flush()
    # The SDK's threads can crash the interpreter while it is torn down; the work is done, so leave without that.
    os._exit(0)


async def serve_until_stopped(settings: Settings, queues: Sequence[Queue]) -> None:
    stop = asyncio.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sign, stop.set)
    async with opened(settings) as resources, serving(resources, queues):
        if settings.workers.metrics_port is not None:
            start_http_server(settings.workers.metrics_port)
        log.info("worker_ready", queues=[str(queue) for queue in queues])
        if ready_file := os.environ.get("APP_READY_FILE"):
            await asyncio.to_thread(Path(ready_file).touch)
        await stop.wait()
        log.info("worker_stopping")
