"""How the API speaks to running workflows: start, ask, and turn what comes back into the API's own words."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid5

from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowExecutionStatus,
    WorkflowHandle,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import (
    Priority,
    SearchAttributePair,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from api.errors import PROBLEMS
from db import order_views, returns
from db.base import new_id
from db.engine import Sessions
from domain.audit import Breach, Law, Repair, RepairBreach
from domain.cart_reminders import RemindOfCart
from domain.errors import Refusal
from domain.exports import WriteExport
from domain.imports import ImportCatalog
from domain.orders import AskToCancel, ChangeAddress, CheckoutOutcome, CheckoutStatus, OrderStatus, StartCheckout
from domain.payments import Listener, LookIntoStray, Notice
from domain.refunds import PaidByHand, RefundMoney, RefundState
from domain.returns import FollowReturn, ReturnState
from domain.shipping import CancelUnits
from workflows import names
from workflows.apart import NEEDS_NOBODY, about_order
from workflows.audit import Repair as RepairStory
from workflows.catalog_export import CatalogExport
from workflows.catalog_import import CatalogImport
from workflows.checkout import Checkout
from workflows.goods_return import Return
from workflows.refund import Refund
from workflows.reminder import Reminder
from workflows.stray_payment import StrayPayment

Result = TypeVar("Result")

FIRST = Priority(priority_key=1)
"""Customers who wait for an answer go before all other work."""

WORKFLOW_TASK_TIMEOUT = timedelta(seconds=5)
"""A worker that is killed in a local step is noticed after this long, well within a customer's wait."""

HAND_OVER = timedelta(seconds=10)
"""How long it may take until a confirmed order's Fulfillment has begun."""


PATIENCE_WITH_THE_ENGINE = timedelta(seconds=2)
"""A checkout that is not answered by then makes us ask whether the engine is there at all."""

PROVIDER_EVENT = "provider_event"
"""The signal by which every story hears of a provider's event."""

CODES_OF_WHAT_IS_OVER = {
    "cancel": "order_not_cancellable",
    "cancel_units": "order_not_cancellable",
    "change_address": "address_not_changeable",
}
"""How what was asked of an order is refused when its workflow has ended."""

AWAY = (RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED)


def update_id(wish_id: UUID, expected: list[int] | None) -> str:
    """Questions about one wish are one question, unless they are based on other versions of what it is about.

    Whoever was told that theirs is too old may ask again with the same key, and the engine must hear that.
    """
    return str(wish_id if expected is None else uuid5(wish_id, str(expected)))


class EngineAwayError(ConnectionError):
    """The workflow engine cannot be reached; nothing is known of what was asked of it."""


class Stories:
    """The running stories of orders, as the API sees them."""

    def __init__(self, client: Client, sessions: Sessions, *, wait_seconds: float) -> None:
        self._client = client
        self._sessions = sessions
        self._wait_seconds = wait_seconds

    async def check_out(self, request: StartCheckout) -> CheckoutOutcome | None:
        """Start the checkout or join the one that runs; ``None`` when it takes longer than the wait.

        Raises ``EngineAwayError`` as soon as it is clear that nobody will answer.

        The workflow's id is the order's and the update's id is constant, so however often this is called, one
        checkout runs and every caller gets its one answer.
        """
        start = WithStartWorkflowOperation(Checkout.run, request, **_to_check_out(request))
        asking: Any = self._client.execute_update_with_start_workflow(
            Checkout.place,
            start_workflow_operation=start,
            id="place",
            rpc_timeout=timedelta(seconds=self._wait_seconds),
        )
        placing: asyncio.Future[CheckoutOutcome | None] = asyncio.ensure_future(self._within_the_wait(asking))
        try:
            await asyncio.wait({placing}, timeout=PATIENCE_WITH_THE_ENGINE.total_seconds())
            if not placing.done() and not await self._engine_answers():
                raise EngineAwayError
            return await placing
        except WorkflowAlreadyStartedError:  # it is over, and its answer has left the engine's memory
            return CheckoutOutcome(status=CheckoutStatus.REQUIRES_ACTION)
        except RPCError as error:
            if error.status in AWAY:
                raise EngineAwayError from error
            raise
        finally:
            placing.cancel()

    async def begin_checkout(self, request: StartCheckout) -> None:
        """Start the checkout and do not wait for it; content when it was started before, however long ago."""
        await self._begun(
            self._client.start_workflow(
                Checkout.run, request, **_to_check_out(request), rpc_timeout=PATIENCE_WITH_THE_ENGINE
            )
        )

    async def _engine_answers(self) -> bool:
        try:
            return await self._client.service_client.check_health(timeout=ENGINES_ANSWER)
        except (RPCError, RuntimeError):
            return False

    async def is_begun(self, order_id: UUID) -> bool | None:
        """Has the engine ever heard of the order? ``None`` when it cannot be asked."""
        try:
            async with asyncio.timeout(ENGINES_ANSWER.total_seconds()):
                await self._client.get_workflow_handle(names.order_id(order_id)).describe()
        except RPCError as error:
            return False if error.status is RPCStatusCode.NOT_FOUND else None
        except (RuntimeError, TimeoutError):
            return None
        return True

    async def refund(self, request: RefundMoney) -> RefundState | None:
        """Start the refund or join the one that runs; ``None`` when the provider takes longer than the wait."""
        settling: Any = self._client.execute_update_with_start_workflow(
            Refund.settled,
            start_workflow_operation=WithStartWorkflowOperation(Refund.run, request, **_to_refund(request)),
            id="settled",
            rpc_timeout=timedelta(seconds=self._wait_seconds),
        )
        try:
            state: RefundState | None = await self._within_the_wait(settling)
            return state
        except WorkflowAlreadyStartedError:
            return None

    async def begin_refund(self, request: RefundMoney) -> None:
        """Start the refund's story and do not wait for it; content when it was started before, however long ago."""
        waiting = timedelta(seconds=self._wait_seconds)
        await self._begun(self._client.start_workflow(Refund.run, request, **_to_refund(request), rpc_timeout=waiting))

    async def ask_refund(self, request: PaidByHand) -> None:
        """Have the refund's story note that a person has sent the money; content when it is over."""
        handle = self._client.get_workflow_handle(names.refund_id(request.refund_id))
        try:
            await self._asked(handle.execute_update("paid", request, result_type=RefundState))
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise

    async def begin_reminder(self, cart_id: UUID) -> None:
        """See to it that somebody looks after the cart; content when somebody does."""
        starting = self._client.start_workflow(
            Reminder.run,
            RemindOfCart(cart_id=cart_id),
            id=names.reminder_id(cart_id),
            task_queue=names.Queue.NOTIFICATIONS,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            rpc_timeout=PATIENCE_WITH_THE_ENGINE,
        )
        await self._begun(starting)

    async def begin_import(self, request: ImportCatalog) -> None:
        """Start a pass over an import's rows; content when it was started before, however long ago."""
        starting = self._client.start_workflow(
            CatalogImport.run,
            request,
            id=names.catalog_import_id(request.import_id, request.attempt),
            task_queue=names.Queue.CATALOG,
            rpc_timeout=PATIENCE_WITH_THE_ENGINE,
            **ONCE,
        )
        await self._begun(starting)

    async def begin_export(self, request: WriteExport) -> None:
        """Start to write the export; content when it was started before, however long ago."""
        starting = self._client.start_workflow(
            CatalogExport.run,
            request,
            id=names.catalog_export_id(request.export_id),
            task_queue=names.Queue.CATALOG,
            rpc_timeout=PATIENCE_WITH_THE_ENGINE,
            **ONCE,
        )
        await self._begun(starting)

    async def follow_return(self, request: FollowReturn) -> None:
        """Start the return's story; content when it was started before, however long ago."""
        waiting = timedelta(seconds=self._wait_seconds)
        await self._begun(self._client.start_workflow(Return.run, request, **_to_return(request), rpc_timeout=waiting))

    async def _begun(self, starting: Awaitable[object]) -> None:
        try:
            await starting
        except WorkflowAlreadyStartedError:
            return
        except RuntimeError as error:  # what the SDK raises when it has never reached the engine
            raise EngineAwayError from error
        except RPCError as error:
            if error.status in AWAY:
                raise EngineAwayError from error
            raise

    async def ask_return(self, return_id: UUID, update: str, request: Any, *, update_id: str) -> ReturnState:
        """Have the return's story do something; refuses ``return_transition_not_allowed`` when it is over."""
        handle = self._client.get_workflow_handle(names.return_id(return_id))
        try:
            return await self._asked(handle.execute_update(update, request, id=update_id, result_type=ReturnState))
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            raise await self._return_is_over(return_id) from None

    async def _return_is_over(self, return_id: UUID) -> Refusal:
        async with self._sessions() as session:
            status = await returns.status_of(session, return_id)
        return Refusal(
            "return_transition_not_allowed",
            f"A return that is {status} cannot be changed any more.",
            current_status=str(status),
            allowed=[],
        )

    async def cancel_order(self, order_id: UUID, request: AskToCancel, *, update_id: str) -> None:
        """Cancel the order in whichever chapter it is; content when it is cancelled already.

        Refuses ``order_not_cancellable`` once anything has shipped.
        """
        try:
            await self.ask(order_id, "cancel", request, result_type=dict, update_id=update_id)
        except Refusal:
            if await self._status_of(order_id) is not OrderStatus.CANCELLED:
                raise

    async def change_address(self, request: ChangeAddress) -> None:
        """Refuses ``address_not_changeable`` once anything has shipped."""
        await self.ask(request.order_id, "change_address", request, result_type=dict, update_id=str(request.change_id))

    async def cancel_units(self, request: CancelUnits) -> None:
        """Cancel some units of the order; content when the whole order is cancelled."""
        try:
            await self.ask(
                request.order_id,
                "cancel_units",
                request,
                result_type=dict,
                update_id=update_id(request.cancellation_id, request.expected),
            )
        except Refusal as refusal:
            is_stale = refusal.code == "precondition_failed"
            if is_stale or await self._status_of(request.order_id) is not OrderStatus.CANCELLED:
                raise

    async def ask(
        self, order_id: UUID, update: str, request: Any, *, result_type: type[Result], update_id: str
    ) -> Result:
        """Have the order's workflow do something, and wait for it; its refusals become the API's.

        Questions with the same ``update_id`` are one question.

        A confirmed order rests at its Checkout until somebody asks for what only a Fulfillment can do. Then it changes
        hands, and for that moment the question is repeated.
        """
        deadline = asyncio.get_running_loop().time() + HAND_OVER.total_seconds()
        handle = self._client.get_workflow_handle(names.order_id(order_id))
        is_told_to_hand_over = False
        while True:
            try:
                return await self._asked(handle.execute_update(update, request, id=update_id, result_type=result_type))
            except RPCError as error:
                if error.status is RPCStatusCode.NOT_FOUND:
                    raise await self._it_is_over(order_id, update) from None
                # A question that comes in the very moment of the change is turned away by the engine, unheard.
                turned_away = error.status is RPCStatusCode.FAILED_PRECONDITION
                if not turned_away or asyncio.get_running_loop().time() > deadline:
                    raise
            except Refusal as refusal:
                if refusal.code != "checkout_over":
                    raise
                if asyncio.get_running_loop().time() > deadline:
                    raise Refusal("unavailable", "The order changes hands; ask again in a moment.") from None
                if not is_told_to_hand_over:
                    await self._hand_over(handle)
                    is_told_to_hand_over = True
            await asyncio.sleep(0.02)

    async def resume(self, order_id: UUID, *, actor: str) -> None:
        """Begin the order's workflow again where the order stands; content when it runs."""
        breach = Breach(
            law=Law.ORDERS_HAVE_A_STORY,
            subject=str(order_id),
            words="somebody asked for the order's workflow to begin again",
            order_id=order_id,
            repair=Repair.RESUME_ORDER,
        )
        resuming = self._client.execute_workflow(
            RepairStory.run,
            RepairBreach(breach=breach, actor=actor, note_id=new_id()),
            id=names.repair_id(breach.law, breach.subject),
            task_queue=names.Queue.OPERATIONS,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        )
        outcome = await self._asked(resuming)
        if not outcome.is_healed:
            raise Refusal("unavailable", outcome.problem or "The order's workflow does not begin; look at the engine.")

    async def _hand_over(self, handle: WorkflowHandle[Any, Any]) -> None:
        try:
            await handle.signal(Checkout.hand_over)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise

    async def inside(self, order_id: UUID) -> "Inside":
        """What the engine is doing for the order at this moment; nothing when it cannot be asked."""
        handle = self._client.get_workflow_handle(names.order_id(order_id))
        try:
            async with asyncio.timeout(ENGINES_ANSWER.total_seconds()):
                run = await handle.describe()
        except RPCError as error:
            return Inside(is_reachable=error.status is RPCStatusCode.NOT_FOUND)
        except (RuntimeError, TimeoutError):
            return Inside(is_reachable=False)
        if run.status is not WorkflowExecutionStatus.RUNNING:
            return Inside(is_reachable=True)
        steps = [_step_inside(pending) for pending in run.raw_description.pending_activities]
        return Inside(is_reachable=True, story=run.workflow_type, steps=steps)

    async def _it_is_over(self, order_id: UUID, update: str) -> Refusal:
        """Why an order whose workflow has ended cannot be changed any more."""
        status = await self._status_of(order_id)
        return Refusal(
            CODES_OF_WHAT_IS_OVER.get(update, "order_transition_not_allowed"),
            f"An order that is {status} cannot be changed any more.",
            current_status=str(status),
            allowed=[],
        )

    async def tell(self, notice: Notice) -> None:
        """Pass a provider's event on to the story that has to hear of it; content when that one is over.

        Raises ``EngineAwayError`` when it cannot be told now.
        """
        try:
            match notice:
                case Notice(listener=Listener.PAYMENT, payment_id=UUID() as payment_id):
                    payment = self._client.get_workflow_handle(names.payment_id(payment_id))
                    await payment.signal(PROVIDER_EVENT, notice.event_id)
                case Notice(listener=Listener.ORDER, order_id=UUID() as order_id):
                    order = self._client.get_workflow_handle(names.order_id(order_id))
                    await order.signal(PROVIDER_EVENT, notice.event_id)
                case Notice(listener=Listener.STRAY, reference=str(reference)):
                    await self._client.start_workflow(
                        StrayPayment.run,
                        LookIntoStray(reference=reference),
                        id=names.stray_id(reference),
                        task_queue=names.Queue.PAYMENTS,
                        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                        start_signal=PROVIDER_EVENT,
                        start_signal_args=[notice.event_id],
                        static_summary=f"Money without an order: {reference}",
                    )
        except RPCError as error:
            if error.status in AWAY:
                raise EngineAwayError from error
            if error.status is not RPCStatusCode.NOT_FOUND:  # nobody waits any more: what it waited for was decided
                raise
        except RuntimeError as error:  # what the SDK raises when it has never reached the engine
            raise EngineAwayError from error

    async def _asked(self, answer: Awaitable[Result]) -> Result:
        told = await self._within_the_wait(answer)
        if told is None:
            raise Refusal("unavailable", "This takes longer than usual and goes on; look again in a moment.")
        return told

    async def _within_the_wait(self, answer: Awaitable[Result]) -> Result | None:
        try:
            async with asyncio.timeout(self._wait_seconds):
                return await answer
        except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError):
            return None
        except WorkflowUpdateFailedError as error:
            raise refusal_of(error) from error
        except RuntimeError as error:  # what the SDK raises when it has never reached the engine
            raise EngineAwayError from error

    async def _status_of(self, order_id: UUID) -> OrderStatus | None:
        async with self._sessions() as session:
            row = await order_views.order(session, order_id)
        return OrderStatus(row["status"]) if row else None


ENGINES_ANSWER = timedelta(seconds=2)

ONCE: dict[str, Any] = {
    "id_conflict_policy": WorkflowIDConflictPolicy.USE_EXISTING,
    "id_reuse_policy": WorkflowIDReusePolicy.REJECT_DUPLICATE,
}


def _to_check_out(request: StartCheckout) -> dict[str, Any]:
    return {
        "id": names.order_id(request.order_id),
        "task_queue": names.Queue.CHECKOUT,
        "task_timeout": WORKFLOW_TASK_TIMEOUT,
        "priority": FIRST,
        "static_summary": f"Order {request.order_number}",
        "search_attributes": about_order(
            request.order_id,
            request.order_number,
            SearchAttributePair(names.CUSTOMER_ID, request.customer),
            SearchAttributePair(names.ORDER_STATUS, OrderStatus.PENDING),
            NEEDS_NOBODY,
        ),
        **ONCE,
    }


def _to_refund(request: RefundMoney) -> dict[str, Any]:
    return {
        "id": names.refund_id(request.refund_id),
        "task_queue": names.Queue.PAYMENTS,
        "static_summary": f"Refund of {request.amount}, order {request.order_number}",
        "search_attributes": about_order(request.order_id, request.order_number, NEEDS_NOBODY),
        **ONCE,
    }


def _to_return(request: FollowReturn) -> dict[str, Any]:
    return {
        "id": names.return_id(request.return_id),
        "task_queue": names.Queue.FULFILLMENT,
        "static_summary": f"Return, order {request.order_number}",
        "search_attributes": about_order(request.order_id, request.order_number, NEEDS_NOBODY),
        **ONCE,
    }


@dataclass(frozen=True, kw_only=True)
class StepInside:
    """A step that the engine has asked for and that is not done."""

    name: str
    attempt: int
    last_error: str | None
    next_try_at: datetime | None
    deadline: datetime | None


@dataclass(frozen=True, kw_only=True)
class Inside:
    is_reachable: bool
    story: str | None = None
    steps: list[StepInside] = field(default_factory=list)


def _step_inside(pending: PendingActivityInfo) -> StepInside:
    failure = pending.last_failure if pending.HasField("last_failure") else None
    kind = failure.application_failure_info.type if failure else ""
    return StepInside(
        name=pending.activity_type.name,
        attempt=max(pending.attempt, 1),
        last_error=": ".join(part for part in (kind, failure.message) if part) if failure else None,
        next_try_at=_time(pending, "next_attempt_schedule_time") or _time(pending, "scheduled_time"),
        deadline=_time(pending, "expiration_time"),
    )


def _time(pending: PendingActivityInfo, name: str) -> datetime | None:
    if not pending.HasField(name):  # type: ignore[arg-type]
        return None
    at: datetime = getattr(pending, name).ToDatetime(UTC)
    return at if at.year > 1970 else None


KNOWN_REFUSALS = {*PROBLEMS, "checkout_over"}
"""``checkout_over`` is only ever told to :meth:`Stories.ask`. Everything else that fails is no answer for a client."""


def refusal_of(failure: BaseException) -> Refusal:
    """The refusal that a workflow's failure carries; ``unavailable`` when it is none that the API knows."""
    cause: BaseException | None = failure
    while cause is not None:
        if isinstance(cause, ApplicationError) and cause.type in KNOWN_REFUSALS:
            facts = cause.details[0] if cause.details and isinstance(cause.details[0], dict) else {}
            return Refusal(cause.type, cause.message, **facts)
        cause = cause.__cause__
    return Refusal("unavailable", "This could not be carried out; look at the order and try again.")
