"""Serve task queues until told to stop."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

from temporalio.client import Client
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion, WorkflowIDConflictPolicy
from temporalio.worker import UnsandboxedWorkflowRunner, Worker, WorkerDeploymentConfig, WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from activities.failures import FailureTranslation
from activities.outcomes import Outcomes
from runtime.resources import Resources
from runtime.settings import Workers
from runtime.temporal import connect_now
from workers import (
    catalog,
    checkout,
    events,
    fulfillment,
    notifications,
    operations,
    payments,
    registration,
    schedules,
    webhooks,
)
from workers.breakpoints import breakpoints
from workers.duty import Duty
from workflows.names import Queue

DUTIES: dict[Queue, Callable[[Resources], Duty]] = {
    Queue.REGISTRATION: registration.build,
    Queue.CHECKOUT: checkout.build,
    Queue.PAYMENTS: payments.build,
    Queue.FULFILLMENT: fulfillment.build,
    Queue.NOTIFICATIONS: notifications.build,
    Queue.OPERATIONS: operations.build,
    Queue.EVENTS: events.build,
    Queue.CATALOG: catalog.build,
    Queue.WEBHOOKS: webhooks.build,
}

PASSED_THROUGH = (
    *("domain", "workflows.steps", "workflows.names"),
    *("pydantic", "pydantic_core", "iso4217", "annotated_types", "typing_extensions"),
    # No story imports these, but connections that are collected as garbage while one runs do, by their finalizers.
    *("redis", "opentelemetry"),
)
"""Modules the sandbox need not load anew for every workflow: they hold rules, names and types, and no state."""


def workflow_runner(*, sandboxed: bool) -> WorkflowRunner:
    if not sandboxed:
        return UnsandboxedWorkflowRunner()
    restrictions = SandboxRestrictions.default.with_passthrough_modules(*PASSED_THROUGH)
    return SandboxedWorkflowRunner(restrictions=restrictions)


def deployment_of(duty: Duty, limits: Workers) -> WorkerDeploymentConfig | None:
    """Said for a whole queue and not on the stories themselves, which the engine refuses of workers without builds."""
    if limits.deployment is None or limits.build_id is None:
        return None
    version = WorkerDeploymentVersion(deployment_name=limits.deployment, build_id=limits.build_id)
    behavior = VersioningBehavior.PINNED if duty.is_pinned else VersioningBehavior.AUTO_UPGRADE
    return WorkerDeploymentConfig(version=version, use_worker_versioning=True, default_versioning_behavior=behavior)


def worker_for(queue: Queue, duty: Duty, client: Client, resources: Resources) -> Worker:
    limits = resources.settings.workers
    return Worker(
        client,
        task_queue=queue,
        workflows=duty.workflows,
        activities=duty.activities,
        interceptors=[*breakpoints(limits.breakpoints), FailureTranslation(), Outcomes()],
        workflow_runner=workflow_runner(sandboxed=limits.sandboxed),
        deployment_config=deployment_of(duty, limits),
        max_concurrent_workflow_tasks=limits.max_concurrent_workflow_tasks,
        max_concurrent_activities=duty.at_once or limits.max_concurrent_activities,
        max_concurrent_local_activities=limits.max_concurrent_activities,
        # How long orders wait for the cache of a worker that was killed.
        sticky_queue_schedule_to_start_timeout=timedelta(seconds=2),
        graceful_shutdown_timeout=timedelta(seconds=limits.graceful_stop_seconds),
    )


@asynccontextmanager
async def serving(resources: Resources, queues: Iterable[Queue] = DUTIES.keys()) -> AsyncIterator[None]:
    """The queues are polled inside the block; leaving it lets running activities finish."""
    client = await connect_now(resources.settings.temporal)
    async with AsyncExitStack() as stack:
        for queue in queues:
            duty = DUTIES[queue](resources)
            await stack.enter_async_context(worker_for(queue, duty, client, resources))
            for workflow_id, story in duty.always.items():
                await client.start_workflow(
                    story.__name__,
                    id=workflow_id,
                    task_queue=queue,
                    id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                )
            for scheduled in duty.scheduled:
                is_paused = not resources.settings.operations.is_scheduled
                await schedules.see_to(client, queue, scheduled, is_paused=is_paused)
        yield
