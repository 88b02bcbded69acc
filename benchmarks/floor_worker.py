"""A worker for the floor, set up as the shop's own workers are: ``… -m benchmarks.floor_worker workflows|calls``."""

import asyncio
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path

import uvloop
from temporalio.worker import Worker

from benchmarks.floor import CALLS, QUEUE, Floor, nothing
from runtime.settings import Settings
from runtime.temporal import connect_now
from workers.run import workflow_runner


async def main(duty: str) -> None:
    settings = Settings()
    client = await connect_now(settings.temporal)
    limits = settings.workers
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    worker = Worker(
        client,
        task_queue=CALLS if duty == "calls" else QUEUE,
        workflows=[] if duty == "calls" else [Floor],
        activities=[nothing],
        workflow_runner=workflow_runner(sandboxed=limits.sandboxed),
        max_concurrent_workflow_tasks=limits.max_concurrent_workflow_tasks,
        max_concurrent_activities=limits.max_concurrent_activities,
        sticky_queue_schedule_to_start_timeout=timedelta(seconds=2),
    )
    async with worker:
        Path(os.environ["APP_READY_FILE"]).touch()
        await stop.wait()


uvloop.run(main(sys.argv[1]))
os._exit(0)
