"""Delivered goods on their way back."""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from domain.attention import Concern
from domain.orders import OrderAttention
from domain.refunds import RefundMoney, RefundStatus
from domain.returns import DecideReturn, FollowReturn, ReceiveReturn, ReturnState, ReturnStatus, SettleReturn
from workflows import names
from workflows.apart import NEEDS_NOBODY, about_order
from workflows.refund import Refund
from workflows.steps import orders, returns

TIME_TO_DECIDE = timedelta(days=7)
"""After that the return is on the list of what needs a person."""
TIME_TO_ARRIVE = timedelta(days=30)
"""An approved return that has not come by then is closed."""


@workflow.defn
class Return:
    """One return, from the customer's wish to the money back; the goods have a deadline, and so has the shop."""

    @workflow.init
    def __init__(self, request: FollowReturn) -> None:
        self._request = request
        self._status = request.status
        self._is_late = False
        self._refund_by_hand: RefundMoney | None = None
        self._one_at_a_time = asyncio.Lock()

    @workflow.run
    async def run(self, request: FollowReturn) -> ReturnStatus:
        self._describe("waits for an operator to approve or reject it")
        if not await self._moves_on_from(ReturnStatus.REQUESTED, within=TIME_TO_DECIDE):
            await self._call_for_a_person()
            await workflow.wait_condition(lambda: self._status is not ReturnStatus.REQUESTED)
        if self._status is ReturnStatus.APPROVED:
            self._describe(f"is approved; its goods may arrive within {TIME_TO_ARRIVE.days} days")
            if not await self._moves_on_from(ReturnStatus.APPROVED, within=TIME_TO_ARRIVE):
                await self._decide(ReturnStatus.REJECTED, actor="system")
        await workflow.wait_condition(workflow.all_handlers_finished)
        if self._refund_by_hand is not None:
            await self._pay_back(self._refund_by_hand)
            await self._settle()
        if self._status is ReturnStatus.RECEIVED and workflow.patched("refused-refunds-are-seen-to"):
            await self._wait_for_somebody_to_see_to_the_refund()
        self._describe(f"is {self._status}")
        return self._status

    async def _wait_for_somebody_to_see_to_the_refund(self) -> None:
        """Who takes the goods in once more has it asked for anew; who has paid it back elsewhere says so."""
        self._describe("needs a person: its goods are here, and the provider refuses to refund them")
        workflow.upsert_search_attributes([names.NEEDS_ATTENTION.value_set(True)])
        await workflow.wait_condition(lambda: self._status is ReturnStatus.REFUNDED)
        await workflow.wait_condition(workflow.all_handlers_finished)
        workflow.upsert_search_attributes([names.NEEDS_ATTENTION.value_set(False)])

    async def _moves_on_from(self, status: ReturnStatus, *, within: timedelta) -> bool:
        try:
            await workflow.wait_condition(
                lambda: self._status is not status, timeout=within, timeout_summary=f"the return is {status}"
            )
        except TimeoutError:
            return False
        return True

    @workflow.update(description="The goods may be sent back")
    async def approve(self, request: DecideReturn) -> ReturnState:
        return await self._decide(request.decision, actor=request.actor)

    @workflow.update(description="The goods will not be taken back")
    async def reject(self, request: DecideReturn) -> ReturnState:
        return await self._decide(request.decision, actor=request.actor)

    async def _decide(self, decision: ReturnStatus, *, actor: str) -> ReturnState:
        async with self._one_at_a_time:
            state = await returns.decide(
                DecideReturn(
                    return_id=self._request.return_id, order_id=self._request.order_id, decision=decision, actor=actor
                )
            )
            await self._need_no_person()
            self._status = state.status
            return state

    @workflow.update(description="The goods are here: into the stock with them, and the money back")
    async def receive(self, request: ReceiveReturn) -> ReturnState:
        async with self._one_at_a_time:
            state = await returns.receive(request)
            self._status = state.status
            if state.refund is not None and state.refund.is_by_hand:
                self._refund_by_hand = state.refund  # a person may take days, and nobody waits for that at the desk
                return state
            if state.refund is not None and not await self._pay_back(state.refund):
                raise ApplicationError(
                    "The goods are here, but the provider refuses to refund them; take them in again to ask anew.",
                    {"refund_id": str(state.refund.refund_id)},
                    type="refund_refused",
                    non_retryable=True,
                )
            return await self._settle()

    @workflow.update(description="The refund that the provider refuses is seen to in another way")
    async def do_without_refund(self, request: SettleReturn) -> ReturnState:
        async with self._one_at_a_time:
            return await self._settle(actor=request.actor)

    @do_without_refund.validator
    def _has_received(self, request: SettleReturn) -> None:
        if self._status not in (ReturnStatus.RECEIVED, ReturnStatus.REFUNDED):
            raise ApplicationError("The goods are not here.", type="nothing_to_resolve")

    async def _settle(self, *, actor: str = "system") -> ReturnState:
        state = await returns.settle(
            SettleReturn(return_id=self._request.return_id, order_id=self._request.order_id, actor=actor)
        )
        self._status = state.status
        return state

    async def _pay_back(self, refund: RefundMoney) -> bool:
        self._describe(f"is here; {refund.amount} goes back to the customer")
        settled = await workflow.execute_child_workflow(
            Refund.run,
            refund,
            id=names.refund_id(refund.refund_id),
            task_queue=names.Queue.PAYMENTS,
            static_summary=f"Refund of {refund.amount}, order {refund.order_number}",
            search_attributes=about_order(refund.order_id, refund.order_number, NEEDS_NOBODY),
        )
        return settled.status is RefundStatus.SUCCEEDED

    async def _call_for_a_person(self) -> None:
        self._is_late = True
        why = f"a return has waited for a decision for {TIME_TO_DECIDE.days} days"
        await orders.attend(OrderAttention(order_id=self._request.order_id, concern=Concern.LATE_RETURN, detail=why))
        workflow.upsert_search_attributes([names.NEEDS_ATTENTION.value_set(True)])

    async def _need_no_person(self) -> None:
        if self._is_late:
            self._is_late = False
            await orders.attend(
                OrderAttention(order_id=self._request.order_id, concern=Concern.LATE_RETURN, detail=None)
            )
            workflow.upsert_search_attributes([names.NEEDS_ATTENTION.value_set(False)])

    def _describe(self, what: str) -> None:
        workflow.set_current_details(f"The return for order {self._request.order_number} {what}.")
