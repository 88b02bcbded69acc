"""Money that was taken goes back to where it came from."""

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from domain.attention import Concern
from domain.orders import OrderAttention
from domain.refunds import PaidByHand, PaymentRefund, RefundMoney, RefundState, RefundStatus, SettleRefund
from workflows import names
from workflows.apart import NEEDS_NOBODY, about_order, begun_apart
from workflows.attention import keep_what_was_said
from workflows.steps import orders, refunds


@workflow.defn
class Refund:
    """One refund, whose amount was set aside before: paid back, or refused and a person called.

    A provider that is away for days is asked for days; money that we owe is not forgotten.
    """

    @workflow.init
    def __init__(self, request: RefundMoney) -> None:
        self._request = request
        self._answer: RefundState | None = None
        self._settled: RefundState | None = None
        self._paid: PaidByHand | None = None

    @workflow.run
    async def run(self, request: RefundMoney) -> RefundState:
        workflow.set_current_details(f"Pays {request.amount} back for order {request.order_number}.")
        if request.is_by_hand:
            outcome = await self._sent_by_a_person()
        else:
            outcome = await refunds.pay_back(request, summary=f"pay back {request.amount}")
        state = await refunds.settle(
            SettleRefund(
                refund_id=request.refund_id,
                order_id=request.order_id,
                outcome=outcome,
                actor=self._paid.actor if self._paid else None,
                note_id=self._paid.note_id if self._paid else None,
            )
        )
        if state.status is RefundStatus.FAILED:
            why = f"the provider refuses to refund {request.amount}: {outcome.refusal}"
            await orders.attend(OrderAttention(order_id=request.order_id, concern=Concern.REFUND_FAILED, detail=why))
        workflow.upsert_search_attributes([names.NEEDS_ATTENTION.value_set(state.status is RefundStatus.FAILED)])
        workflow.set_current_details(f"Refund of {request.amount} for order {request.order_number}: {state.status}.")
        self._answer = self._settled = state
        await workflow.wait_condition(workflow.all_handlers_finished)
        return state

    async def _sent_by_a_person(self) -> PaymentRefund:
        request = self._request
        self._answer = await refunds.call(request)
        workflow.upsert_search_attributes([names.NEEDS_ATTENTION.value_set(True)])
        workflow.set_current_details(
            f"Waits for a person to send {request.amount} back for order {request.order_number}, by bank transfer."
        )
        await workflow.wait_condition(lambda: self._paid is not None)
        await keep_what_was_said()
        return PaymentRefund(is_refunded=True)

    @workflow.update(description="A person has sent the money back")
    async def paid(self, request: PaidByHand) -> RefundState:
        self._paid = self._paid or request
        await workflow.wait_condition(lambda: self._settled is not None)
        return self._known(self._settled)

    @paid.validator
    def _is_sent_by_hand(self, request: PaidByHand) -> None:
        if not self._request.is_by_hand:
            raise ApplicationError("The provider sends this money back.", type="refund_transition_not_allowed")

    @workflow.update(description="Answers when the provider has decided, or as soon as a person has to send the money")
    async def settled(self) -> RefundState:
        await workflow.wait_condition(lambda: self._answer is not None)
        return self._known(self._answer)

    def _known(self, state: RefundState | None) -> RefundState:
        if state is None:
            raise AssertionError("a refund that is answered has a state")
        return state


async def begin_refund(request: RefundMoney) -> None:
    """Have the money paid back by a story of its own, which outlives the one that asks; content when it has begun."""
    await begun_apart(
        Refund.run,
        request,
        workflow_id=names.refund_id(request.refund_id),
        queue=names.Queue.PAYMENTS,
        about=about_order(request.order_id, request.order_number, NEEDS_NOBODY),
        summary=f"Refund of {request.amount}, order {request.order_number}",
    )
