"""What is left of an order that was delivered: its customer may still send something back."""

from datetime import datetime

from temporalio import workflow

from domain.orders import CloseOrder, OrderAftercare
from workflows import names
from workflows.apart import about_order, begun_apart
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
    await begun_apart(
        Aftercare.run,
        request,
        workflow_id=names.aftercare_id(request.order_id),
        queue=names.Queue.FULFILLMENT,
        about=about_order(request.order_id, request.order_number),
        summary=f"Order {request.order_number} after its delivery",
    )
