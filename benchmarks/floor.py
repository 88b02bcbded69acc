"""The floor of the engine: a workflow that does one no-op activity, started and awaited as a checkout is."""

from datetime import timedelta
from uuid import uuid4

from temporalio import activity, workflow
from temporalio.client import Client, WithStartWorkflowOperation
from temporalio.common import (
    Priority,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)

from workflows import names

QUEUE = "floor"
CALLS = "floor-calls"


@activity.defn
async def nothing(order_id: str) -> str:
    return order_id


@workflow.defn
class Floor:
    @workflow.init
    def __init__(self, order_id: str, queue: str) -> None:
        self._answer: str | None = None

    @workflow.run
    async def run(self, order_id: str, queue: str) -> str:
        self._answer = await workflow.execute_activity(
            nothing, order_id, task_queue=queue, start_to_close_timeout=timedelta(seconds=15)
        )
        return self._answer

    @workflow.update
    async def place(self) -> str:
        await workflow.wait_condition(lambda: self._answer is not None)
        return self._answer or ""


async def place(client: Client, queue: str = CALLS) -> None:
    order_id = str(uuid4())
    start = WithStartWorkflowOperation(
        Floor.run,
        args=[order_id, queue],
        id=f"floor:{order_id}",
        task_queue=QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
        task_timeout=timedelta(seconds=5),
        priority=Priority(priority_key=1),
        static_summary=f"Order {order_id}",
        search_attributes=TypedSearchAttributes(
            [
                SearchAttributePair(names.ORDER_ID, order_id),
                SearchAttributePair(names.ORDER_NUMBER, "S-1001"),
                SearchAttributePair(names.CUSTOMER_ID, "guest"),
                SearchAttributePair(names.ORDER_STATUS, "pending"),
                SearchAttributePair(names.NEEDS_ATTENTION, False),
            ]
        ),
    )
    await client.execute_update_with_start_workflow(Floor.place, start_workflow_operation=start, id="place")
