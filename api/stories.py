"""How the API speaks to running workflows: start, ask, and turn what comes back into the API's own words."""

import asyncio
from collections.abc import Awaitable
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import (
    Priority,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from db import order_views
from db.engine import Sessions
from domain.errors import Refusal
from domain.orders import AskToCancel, CheckoutOutcome, CheckoutStatus, OrderStatus, StartCheckout
from domain.payments import PaymentStatus
from workflows import names
from workflows.checkout import Checkout
from workflows.fulfillment import Fulfillment
from workflows.payment import Payment

Result = TypeVar("Result")

FIRST = Priority(priority_key=1)
"""Customers who wait for an answer go before all other work."""

WORKFLOW_TASK_TIMEOUT = timedelta(seconds=5)
"""A worker that is killed in a local step is noticed after this long, well within a customer's wait."""

HAND_OVER = timedelta(seconds=5)
"""How long a confirmed order may be without its Fulfillment, which the checkout starts after its answer."""


class Stories:
    """The running stories of orders, as the API sees them."""

    def __init__(self, client: Client, sessions: Sessions, *, wait_seconds: float) -> None:
        self._client = client
        self._sessions = sessions
        self._wait_seconds = wait_seconds

    async def check_out(self, request: StartCheckout) -> CheckoutOutcome | None:
        """Start the checkout or join the one that runs; ``None`` when it takes longer than the wait.

        The workflow's id is the order's and the update's id is constant, so however often this is called, one
        checkout runs and every caller gets its one answer.
        """
        start = WithStartWorkflowOperation(
            Checkout.run,
            request,
            id=names.checkout_id(request.order_id),
            task_queue=names.Queue.CHECKOUT,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            task_timeout=WORKFLOW_TASK_TIMEOUT,
            priority=FIRST,
            static_summary=f"Order {request.order_number}",
            search_attributes=TypedSearchAttributes(
                [
                    SearchAttributePair(names.ORDER_ID, str(request.order_id)),
                    SearchAttributePair(names.ORDER_NUMBER, request.order_number),
                    SearchAttributePair(names.CUSTOMER_ID, request.customer),
                    SearchAttributePair(names.ORDER_STATUS, OrderStatus.PENDING),
                    SearchAttributePair(names.PAYMENT_STATUS, PaymentStatus.PENDING),
                    SearchAttributePair(names.NEEDS_ATTENTION, False),
                ]
            ),
        )
        placing: Any = self._client.execute_update_with_start_workflow(
            Checkout.place,
            start_workflow_operation=start,
            id="place",
            rpc_timeout=timedelta(seconds=self._wait_seconds),
        )
        try:
            outcome: CheckoutOutcome | None = await self._within_the_wait(placing)
            return outcome
        except WorkflowAlreadyStartedError:  # it is over, and its answer has left the engine's memory
            return CheckoutOutcome(status=CheckoutStatus.REQUIRES_ACTION)

    async def cancel_order(self, order_id: UUID, request: AskToCancel) -> None:
        """Cancel through whoever owns the order at this moment; refuses ``order_not_cancellable`` once it shipped."""
        deadline = asyncio.get_running_loop().time() + HAND_OVER.total_seconds()
        while True:
            status = await self._status_of(order_id)
            if status is OrderStatus.CANCELLED:
                return
            if status in (OrderStatus.SHIPPED, OrderStatus.DELIVERED):
                raise Refusal(
                    "order_not_cancellable",
                    "Something of this order has been shipped; it can be returned, not cancelled.",
                    status=str(status),
                )
            if await self._ask_owner_to_cancel(order_id, status, request):
                return
            if asyncio.get_running_loop().time() > deadline:
                raise Refusal("unavailable", "The order is changing hands; try again in a moment.")
            await asyncio.sleep(0.05)

    async def _ask_owner_to_cancel(self, order_id: UUID, status: OrderStatus | None, request: AskToCancel) -> bool:
        """False when the owner has changed since the status was read."""
        try:
            if status in (None, OrderStatus.PENDING):
                checkout = self._client.get_workflow_handle_for(Checkout.run, names.checkout_id(order_id))
                stopping: Any = checkout.execute_update(Checkout.cancel, request)
                outcome: CheckoutOutcome = await self._asked(stopping)
                return outcome.status is not CheckoutStatus.CONFIRMED
            fulfillment = self._client.get_workflow_handle_for(Fulfillment.run, names.fulfillment_id(order_id))
            undoing: Any = fulfillment.execute_update(Fulfillment.cancel, request)
            await self._asked(undoing)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return False
            raise
        except Refusal as refusal:
            if refusal.code == "checkout_over":
                return False
            raise
        return True

    async def ask_fulfillment(self, order_id: UUID, update: Any, request: Any, *, result_type: type[Result]) -> Result:
        """Have the order's Fulfillment do something, and wait for it; its refusals become the API's."""
        deadline = asyncio.get_running_loop().time() + HAND_OVER.total_seconds()
        handle = self._client.get_workflow_handle_for(Fulfillment.run, names.fulfillment_id(order_id))
        while True:
            try:
                answer: Any = await self._asked(handle.execute_update(update, request, result_type=result_type))
                return answer  # type: ignore[no-any-return]
            except RPCError as error:
                if error.status is not RPCStatusCode.NOT_FOUND:
                    raise
                status = await self._status_of(order_id)
                if status is not OrderStatus.CONFIRMED or asyncio.get_running_loop().time() > deadline:
                    raise Refusal(
                        "order_transition_not_allowed",
                        f"An order that is {status} cannot be changed like that.",
                        status=str(status),
                    ) from None
            await asyncio.sleep(0.05)

    async def tell_payment(self, payment_id: UUID, event_id: str) -> None:
        """Pass a webhook on to the payment's workflow, if one waits for it."""
        payment = self._client.get_workflow_handle_for(Payment.run, names.payment_id(payment_id))
        try:
            await payment.signal(Payment.provider_event, event_id)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:  # nobody waits: the call itself was the answer
                raise

    async def _asked(self, answer: Awaitable[Result]) -> Result:
        told = await self._within_the_wait(answer)
        if told is None:
            raise Refusal("unavailable", "This takes longer than usual and goes on; look again in a moment.")
        return told

    async def _within_the_wait(self, answer: Awaitable[Result]) -> Result | None:
        try:
            return await asyncio.wait_for(answer, self._wait_seconds)
        except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError):
            return None
        except WorkflowUpdateFailedError as error:
            raise refusal_of(error) from error

    async def _status_of(self, order_id: UUID) -> OrderStatus | None:
        async with self._sessions() as session:
            row = await order_views.order(session, order_id)
        return OrderStatus(row["status"]) if row else None


def refusal_of(failure: BaseException) -> Refusal:
    """The business refusal that a workflow's failure carries; ``unavailable`` when it is none."""
    cause: BaseException | None = failure
    while cause is not None:
        if isinstance(cause, ApplicationError) and cause.type and cause.non_retryable:
            facts = cause.details[0] if cause.details and isinstance(cause.details[0], dict) else {}
            return Refusal(cause.type, cause.message, **facts)
        cause = cause.__cause__
    return Refusal("unavailable", "This could not be carried out; look at the order and try again.")
