"""``sutler queues`` and ``sutler schedules``: what the workflow engine knows of the shop's work."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from sqlalchemy.exc import SQLAlchemyError
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client, ScheduleDescription, ScheduleHandle
from temporalio.service import RPCError, RPCStatusCode

from db import audit_log
from db.engine import sessions_of
from deploy.audit import ACTOR
from deploy.visitor import Json, as_json, terminal
from runtime import temporal
from runtime.catalog import connected
from runtime.settings import Settings, Temporal
from workflows.names import Queue

KINDS = {
    "workflow": TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
    "activity": TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
}


def list_queues(*, for_programs: bool) -> int:
    """Print who serves each task queue, and what waits there; the exit code is 1 when nobody serves one."""

    async def look(client: Client, console: Console) -> int:
        rows = [await _queue(client, queue) for queue in Queue]
        console.print(as_json(rows) if for_programs else queues_table(rows), soft_wrap=for_programs)
        return 0 if all(row["workflow_pollers"] for row in rows) else 1

    return _with_engine(look)


async def _queue(client: Client, queue: Queue) -> Json:
    row: dict[str, Any] = {"queue": str(queue)}
    for name, kind in KINDS.items():
        found = await client.workflow_service.describe_task_queue(
            DescribeTaskQueueRequest(
                namespace=client.namespace,
                task_queue=TaskQueue(name=queue),
                task_queue_type=kind,
                report_stats=True,
            )
        )
        row[f"{name}_pollers"] = len(found.pollers)
        row[f"{name}_waiting"] = found.stats.approximate_backlog_count
        row[f"{name}_oldest_seconds"] = found.stats.approximate_backlog_age.ToTimedelta().total_seconds()
    return row


def queues_table(rows: Sequence[Json]) -> Table:
    table = Table(show_edge=False)
    table.add_column("queue")
    for name in KINDS:
        for heading in (f"{name} pollers", "waiting", "oldest"):
            table.add_column(heading, justify="right")
    for row in rows:
        cells = [
            cell
            for name in KINDS
            for cell in (
                str(row[f"{name}_pollers"]),
                str(row[f"{name}_waiting"]),
                f"{row[f'{name}_oldest_seconds']:.0f} s" if row[f"{name}_waiting"] else "",
            )
        ]
        table.add_row(row["queue"], *cells, style="" if row["workflow_pollers"] else "red")
    return table


def list_schedules(*, for_programs: bool) -> int:
    """Print what comes by the clock; the exit code."""

    async def look(client: Client, console: Console) -> None:
        ids = sorted([found.id async for found in await client.list_schedules()])
        rows = [_schedule(await client.get_schedule_handle(schedule_id).describe()) for schedule_id in ids]
        console.print(as_json(rows) if for_programs else schedules_table(rows), soft_wrap=for_programs)

    return _with_engine(look)


def pause_schedule(schedule_id: str, reason: str) -> int:
    """Let it not come any more, for the reason; the exit code."""

    async def pause(schedule: ScheduleHandle) -> str:
        await schedule.pause(note=reason)
        return f"{schedule_id} is paused."

    return _change("schedule.pause", schedule_id, pause, reason)


def resume_schedule(schedule_id: str, reason: str) -> int:
    """Let it come again by the clock; the exit code."""

    async def resume(schedule: ScheduleHandle) -> str:
        await schedule.unpause(note=reason)
        return f"{schedule_id} comes by the clock again."

    return _change("schedule.resume", schedule_id, resume, reason)


def run_schedule(schedule_id: str) -> int:
    """Let it come now, besides; the exit code."""

    async def trigger(schedule: ScheduleHandle) -> str:
        await schedule.trigger()
        return f"{schedule_id} runs, unless it does already."

    return _change("schedule.run", schedule_id, trigger)


def _change(
    action: str, schedule_id: str, change: Callable[[ScheduleHandle], Awaitable[str]], reason: str | None = None
) -> int:
    """Do it once the audit log says so; the exit code. What is not there is not noted."""

    async def carry_out(client: Client, console: Console) -> None:
        schedule = client.get_schedule_handle(schedule_id)
        await schedule.describe()
        async with connected(Settings()) as engine, sessions_of(engine).begin() as session:
            words = f"{schedule_id}: {reason}" if reason else schedule_id
            await audit_log.note(session, ACTOR, action, words=words)
        console.print(await change(schedule))

    return _with_engine(carry_out)


def _schedule(found: ScheduleDescription) -> Json:
    state, info = found.schedule.state, found.info
    last = info.recent_actions[-1].started_at if info.recent_actions else None
    following = info.next_action_times[0] if info.next_action_times and not state.paused else None
    return {
        "schedule": found.id,
        "is_paused": state.paused,
        "note": state.note,
        "last": last.isoformat() if last else None,
        "next": following.isoformat() if following else None,
    }


def schedules_table(rows: Sequence[Json]) -> Table:
    table = Table(show_edge=False)
    for heading in ("schedule", "state", "last (UTC)", "next (UTC)", "note"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        times = [(row[name] or "")[:16].replace("T", " ") for name in ("last", "next")]
        table.add_row(row["schedule"], "paused" if row["is_paused"] else "by the clock", *times, row["note"] or "")
    return table


def _with_engine(look: Callable[[Client, Console], Awaitable[int | None]]) -> int:
    """Ask the engine something; the exit code, 0 when it says none."""
    settings, console = Settings().temporal, terminal()
    try:
        return asyncio.run(_asked(settings, look, console)) or 0
    except (SQLAlchemyError, OSError) as error:
        console.print(f"Nothing was changed, as it could not be noted who did it: {error}", soft_wrap=True)
        return 1
    except (RPCError, RuntimeError) as error:
        is_unknown = isinstance(error, RPCError) and error.status is RPCStatusCode.NOT_FOUND
        silent = f"The workflow engine does not answer at {settings.address}."
        console.print(f"There is no such thing: {error}" if is_unknown else silent, soft_wrap=True)
        return 1


async def _asked(
    settings: Temporal, look: Callable[[Client, Console], Awaitable[int | None]], console: Console
) -> int | None:
    return await look(await temporal.connect(settings, is_lazy=False), console)
