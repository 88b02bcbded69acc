"""``sutler audit``: do goods, money and workflows add up? And what is done when they do not."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict
from uuid import uuid4

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError

from db.base import new_id
from deploy.visitor import terminal
from domain.audit import REPAIRS_IN_WORDS, AuditReport, Breach, LookAtBooks, RepairBreach, RepairOutcome
from runtime import temporal
from runtime.settings import Settings, Temporal
from workflows import names
from workflows.audit import Audit, Repair

ACTOR = "operator:terminal"


class NobodyAuditsError(Exception):
    """The engine, or the worker that looks at the books, does not run."""


def audit(*, days: int, as_json: bool, repair: bool, yes: bool) -> int:
    """Look, print, repair if that is wished, and look again; the exit code is 1 while something is wrong."""
    console = terminal()
    try:
        report = asyncio.run(looked(Settings().temporal, days))
        if as_json:
            typer.echo(json.dumps([_as_json(breach) for breach in report.breaches], indent=2))
        else:
            _tell(console, report)
        repairable = [breach for breach in report.breaches if breach.repair]
        if repair and repairable and (yes or typer.confirm(f"Repair {len(repairable)} of them?")):
            asyncio.run(repaired(Settings().temporal, repairable, console))
            report = asyncio.run(looked(Settings().temporal, days))
            _tell(console, report)
    except NobodyAuditsError as problem:
        console.print(str(problem), soft_wrap=True)
        return 2
    return 1 if report.breaches else 0


async def looked(settings: Temporal, days: int) -> AuditReport:
    client = await _client(settings)
    look = LookAtBooks(days=days, patience_seconds=10, pause_seconds=5)
    return await client.execute_workflow(
        Audit.run, look, id=f"{names.AUDIT_ID}-{uuid4()}", task_queue=names.Queue.OPERATIONS
    )


async def repaired(settings: Temporal, breaches: Sequence[Breach], console: Console) -> None:
    client = await _client(settings)
    for breach in breaches:
        outcome: RepairOutcome = await client.execute_workflow(
            Repair.run,
            RepairBreach(breach=breach, actor=ACTOR, note_id=new_id()),
            id=names.repair_id(breach.law, breach.subject),
            task_queue=names.Queue.OPERATIONS,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        )
        done = "repaired" if outcome.is_healed else f"not repaired: {outcome.problem or 'look at its workflow'}"
        console.print(f"{breach.words}: {done}", style="green" if outcome.is_healed else "red", soft_wrap=True)


async def _client(settings: Temporal) -> Client:
    """A client of an engine that somebody serves."""
    try:
        client = await temporal.connect(settings, is_lazy=False)
        queue = await client.workflow_service.describe_task_queue(
            DescribeTaskQueueRequest(
                namespace=settings.namespace,
                task_queue=TaskQueue(name=names.Queue.OPERATIONS),
                task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
            )
        )
    except (RPCError, RuntimeError) as error:
        raise NobodyAuditsError(f"The workflow engine does not answer at {settings.address}.") from error
    if not queue.pollers:
        raise NobodyAuditsError("Nobody serves the queue `operations`: start `sutler worker operations`.")
    return client


def _as_json(breach: Breach) -> dict[str, str | None]:
    return {name: None if value is None else str(value) for name, value in asdict(breach).items()}


def _tell(console: Console, report: AuditReport) -> None:
    if not report.breaches:
        console.print("Everything adds up.", style="green")
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("law", style="red", overflow="fold")
    table.add_column("what is wrong", overflow="fold")
    table.add_column("what heals it", overflow="fold")
    for breach in report.breaches:
        heals = REPAIRS_IN_WORDS[breach.repair] if breach.repair else "a person has to decide"
        table.add_row(breach.law, breach.words, heals, style=None if breach.repair else "yellow")
    console.print(table)
    console.print(f"{len(report.breaches)} breaches.", style="red")
