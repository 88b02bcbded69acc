"""Money that was taken goes back to where it came from."""

from contextlib import suppress

from temporalio import workflow
from temporalio.common import SearchAttributePair, TypedSearchAttributes, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from tests.replay.yesterday.domain.attention import Concern
from tests.replay.yesterday.domain.orders import OrderAttention
from tests.replay.yesterday.domain.refunds import RefundMoney, RefundState, RefundStatus, SettleRefund
from tests.replay.yesterday.workflows import names
from tests.replay.yesterday.workflows.steps import orders, refunds


@workflow.defn
class Refund:
    """One refund, whose amount was set aside before: paid back, or refused and a person called.

    A provider that is away for days is asked for days; money that we owe is not forgotten.
    """

    @workflow.init
    def __init__(self, request: RefundMoney) -> None:
        self._state: RefundState | None = None

    @workflow.run
    async def run(self, request: RefundMoney) -> RefundState:
        workflow.set_current_details(f"Pays {request.amount} back for order {request.order_number}.")
        outcome = await refunds.pay_back(request, summary=f"pay back {request.amount}")
        state = await refunds.settle(
            SettleRefund(refund_id=request.refund_id, order_id=request.order_id, outcome=outcome)
        )
        if state.status is RefundStatus.FAILED:
            why = f"the provider refuses to refund {request.amount}: {outcome.refusal}"
            await orders.attend(OrderAttention(order_id=request.order_id, concern=Concern.REFUND_FAILED, detail=why))
        workflow.upsert_search_attributes([names.NEEDS_ATTENTION.value_set(state.status is RefundStatus.FAILED)])
        workflow.set_current_details(f"Refund of {request.amount} for order {request.order_number}: {state.status}.")
        self._state = state
        await workflow.wait_condition(workflow.all_handlers_finished)
        return state

    @workflow.update(description="Answers when the provider has decided")
    async def settled(self) -> RefundState:
        await workflow.wait_condition(lambda: self._state is not None)
        if self._state is None:
            raise AssertionError("a settled refund has a state")
        return self._state


async def begin_refund(request: RefundMoney) -> None:
    """Have the money paid back by a story of its own, which outlives the one that asks; content when it has begun."""
    with suppress(WorkflowAlreadyStartedError):
        await workflow.start_child_workflow(
            Refund.run,
            request,
            id=names.refund_id(request.refund_id),
            task_queue=names.Queue.PAYMENTS,
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            static_summary=f"Refund of {request.amount}, order {request.order_number}",
            search_attributes=TypedSearchAttributes(
                [
                    SearchAttributePair(names.ORDER_ID, str(request.order_id)),
                    SearchAttributePair(names.ORDER_NUMBER, request.order_number),
                    SearchAttributePair(names.NEEDS_ATTENTION, False),
                ]
            ),
        )
