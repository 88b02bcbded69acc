"""What is left of an order that was delivered: its customer may still send something back."""

from contextlib import suppress
from datetime import datetime

from temporalio import workflow
from temporalio.common import SearchAttributePair, TypedSearchAttributes, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from domain.orders import CloseOrder, OrderAftercare
from workflows import names
from workflows.steps import orders


@workflow.defn
class Aftercare:
    """Close a delivered order once nothing of it can be sent back any more and nothing is on its way back."""

    @workflow.run
    async def run(self, request: OrderAftercare) -> datetime:
        while True:
            closing = await orders.close(CloseOrder(order_id=request.order_id, now=workflow.now()))
            if closing.closed_at is not None:
                workflow.set_current_details(f"Order {request.order_number} is closed.")
                return closing.closed_at
            await self._rest_until(closing.look_again_at or workflow.now(), request)

    async def _rest_until(self, deadline: datetime, request: OrderAftercare) -> None:
        workflow.set_current_details(
            f"Order {request.order_number} is delivered; whether it can be closed is looked at on "
            f"{deadline:%d %B, %H:%M} UTC."
        )
        await workflow.sleep(deadline - workflow.now(), summary="until nothing can be sent back any more")


async def begin_aftercare(request: OrderAftercare) -> None:
    """Have the delivered order closed by a story of its own, which outlives the one that asks."""
    with suppress(WorkflowAlreadyStartedError):
        await workflow.start_child_workflow(
            Aftercare.run,
            request,
            id=names.aftercare_id(request.order_id),
            task_queue=names.Queue.FULFILLMENT,
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            static_summary=f"Order {request.order_number} after its delivery",
            search_attributes=TypedSearchAttributes(
                [
                    SearchAttributePair(names.ORDER_ID, str(request.order_id)),
                    SearchAttributePair(names.ORDER_NUMBER, request.order_number),
                ]
            ),
        )
