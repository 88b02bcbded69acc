"""From a cart to a paid order, or back to where it began."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import NoReturn

from temporalio import workflow
from temporalio.common import RawValue, SearchAttributePair, TypedSearchAttributes
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

from tests.replay.yesterday.domain.orders import (
    AskToCancel,
    AwaitCustomer,
    CancelOrder,
    CancelReason,
    CheckoutOutcome,
    CheckoutStatus,
    ConfirmOrder,
    OrderStatus,
    PlacedOrder,
    PlaceOrder,
    Refused,
    StartCheckout,
)
from tests.replay.yesterday.domain.payments import (
    Answer,
    AuthorizePayment,
    FollowPayment,
    GiveMoneyBack,
    MoneyBack,
    PaymentAuthorization,
    PaymentStatus,
)
from tests.replay.yesterday.domain.shipping import FulfillOrder
from tests.replay.yesterday.workflows import names
from tests.replay.yesterday.workflows.attention import Concerns
from tests.replay.yesterday.workflows.fulfillment import Fulfillment
from tests.replay.yesterday.workflows.payment import PAYMENT_WINDOW, Payment
from tests.replay.yesterday.workflows.steps import orders, payments
from tests.replay.yesterday.workflows.undo import undone_on_failure

HOLD_SECONDS = int(PAYMENT_WINDOW.total_seconds()) + 300
"""Stock stays reserved a little longer than a customer may take to pay, so that late money still finds its goods."""

LONGEST_REST = timedelta(hours=1)
"""After that an order moves on to its Fulfillment by itself, which knows of all later deadlines."""


@workflow.defn
class Checkout:
    """A cart becomes a paid order whose goods are reserved, or everything is as if nothing had happened.

    The customer is answered as soon as that is decided; what follows does not keep anybody waiting.
    """

    @workflow.init
    def __init__(self, request: StartCheckout) -> None:
        self._request = request
        self._answer: CheckoutOutcome | None = None
        self._outcome: CheckoutOutcome | None = None
        self._authorization: PaymentAuthorization | None = None
        self._asked_to_cancel: AskToCancel | None = None
        self._money = MoneyBack.NOTHING_TAKEN
        self._is_wanted = False

    @workflow.run
    async def run(self, request: StartCheckout) -> CheckoutOutcome:
        async with undone_on_failure() as undo:
            undo.remember(self._cancel_the_order)
            placement = await orders.place(self._the_order_to_place())
            order = placement.order
            if order is None:
                return self._refuse(placement.refused or UNEXPLAINED)

            undo.remember(lambda: self._give_the_money_back(order))
            await self._take_payment(order)
            if refusal := self._reason_not_to_confirm():
                await undo.run()
                return self._refuse(refusal)

            await orders.confirm(self._the_order_to_confirm())
        self._note_confirmation(order)
        is_cancelled = await self._rest_until_somebody_begins_with_it()
        return await self._hand_over_to_fulfillment(order, is_cancelled=is_cancelled)

    async def _take_payment(self, order: PlacedOrder) -> None:
        try:
            self._authorization = await payments.authorize(
                self._the_payment_to_authorize(order), summary=f"authorise {order.total}"
            )
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            return  # the provider was silent for as long as we can wait; nobody knows what it did
        if self._authorization.answer is Answer.REQUIRES_ACTION:
            self._authorization = await self._let_the_customer_act(order, self._authorization)

    async def _let_the_customer_act(
        self, order: PlacedOrder, authorization: PaymentAuthorization
    ) -> PaymentAuthorization:
        request = self._request
        await orders.await_customer(
            AwaitCustomer(order_id=order.order_id, payment_id=request.payment_id, authorization=authorization)
        )
        payment = await workflow.start_child_workflow(
            Payment.run,
            FollowPayment(
                payment_id=request.payment_id,
                order_id=order.order_id,
                order_number=request.order_number,
                authorization=authorization,
            ),
            id=names.payment_id(request.payment_id),
            task_queue=names.Queue.PAYMENTS,
            search_attributes=self._search_attributes(OrderStatus.PENDING, PaymentStatus.REQUIRES_ACTION),
            static_summary=f"Payment of order {request.order_number}, {order.total}",
        )
        workflow.upsert_search_attributes(
            [
                names.ORDER_STATUS.value_set(OrderStatus.PENDING),
                names.PAYMENT_STATUS.value_set(PaymentStatus.REQUIRES_ACTION),
            ]
        )
        self._answer = CheckoutOutcome(status=CheckoutStatus.REQUIRES_ACTION)
        workflow.set_current_details(
            f"Order {request.order_number} waits for its customer to approve the payment of {order.total} "
            f"with the bank, {PAYMENT_WINDOW.total_seconds() / 60:.0f} minutes at most."
        )
        await workflow.wait_condition(lambda: payment.done() or self._asked_to_cancel is not None)
        if not payment.done():
            await payment.signal(Payment.give_up)
        return await payment

    def _reason_not_to_confirm(self) -> Refused | None:
        # A step that ends well swallows the engine's own cancel, which is how operators stop a checkout from outside.
        if self._asked_to_cancel is not None or workflow.cancellation_reason() is not None:
            return Refused(code="checkout_cancelled", detail="The checkout was cancelled; nothing was charged.")
        match self._authorization:
            case PaymentAuthorization(answer=Answer.AUTHORIZED):
                return None
            case PaymentAuthorization(decline_code=decline_code):
                return Refused(
                    code="payment_declined",
                    detail="The payment was declined; nothing was charged and nothing is reserved.",
                    facts={"decline_code": decline_code},
                )
        return Refused(
            code="payment_unavailable",
            detail="The payment provider could not be reached; nothing was charged and nothing is reserved.",
        )

    def _refuse(self, refused: Refused) -> CheckoutOutcome:
        payment = PaymentStatus.VOIDED if self._money is MoneyBack.VOIDED else PaymentStatus.FAILED
        workflow.upsert_search_attributes(
            [names.ORDER_STATUS.value_set(OrderStatus.CANCELLED), names.PAYMENT_STATUS.value_set(payment)]
        )
        workflow.set_current_details(f"Order {self._request.order_number} came to nothing: {refused.code}.")
        self._answer = self._outcome = CheckoutOutcome(status=CheckoutStatus.REFUSED, refused=refused)
        return self._outcome

    def _note_confirmation(self, order: PlacedOrder) -> None:
        workflow.upsert_search_attributes(
            [
                names.ORDER_STATUS.value_set(OrderStatus.CONFIRMED),
                names.PAYMENT_STATUS.value_set(PaymentStatus.AUTHORIZED),
            ]
        )
        workflow.set_current_details(
            f"Order {self._request.order_number} waits for an operator to pack {order.units} of {order.units} units."
        )
        self._answer = self._outcome = CheckoutOutcome(status=CheckoutStatus.CONFIRMED)

    async def _rest_until_somebody_begins_with_it(self) -> bool:
        """In a rush, confirmed orders must not take the time of those that wait; true when the engine cancels it."""
        try:
            await workflow.wait_condition(
                lambda: self._is_wanted,
                timeout=LONGEST_REST,
                timeout_summary="the rest before the order is handed over",
            )
        except TimeoutError:
            return False
        except asyncio.CancelledError:
            return True
        return False

    @workflow.signal(description="Somebody has to do with the confirmed order: let its Fulfillment begin")
    def hand_over(self) -> None:
        self._is_wanted = True

    async def _hand_over_to_fulfillment(self, order: PlacedOrder, *, is_cancelled: bool) -> NoReturn:
        """The same workflow goes on as the order's Fulfillment; whoever still waits is answered first."""
        await workflow.wait_condition(workflow.all_handlers_finished)
        request = self._request
        workflow.continue_as_new(
            FulfillOrder(
                order_id=order.order_id,
                order_number=request.order_number,
                payment_id=request.payment_id,
                total=order.total,
                units=order.units,
                authorize_key=self._authorize_key,
                is_cancelled=is_cancelled,
            ),
            workflow=Fulfillment.run,
            task_queue=names.Queue.FULFILLMENT,
            search_attributes=self._search_attributes(OrderStatus.CONFIRMED, PaymentStatus.AUTHORIZED),
            initial_versioning_behavior=workflow.ContinueAsNewVersioningBehavior.AUTO_UPGRADE,
        )

    async def _give_the_money_back(self, order: PlacedOrder) -> None:
        declined = self._declined()
        if declined is not None and declined.reference is None:
            return  # the provider has said that it made nothing of this wish
        workflow.set_current_details(f"Order {self._request.order_number}: giving the money back.")
        given_back = await Concerns(order.order_id).if_it_takes_long(
            payments.give_back(
                GiveMoneyBack(
                    payment_id=self._request.payment_id,
                    order_id=order.order_id,
                    total=order.total,
                    authorize_key=self._authorize_key,
                    reference=self._authorization.reference if self._authorization else None,
                )
            ),
            "giving the money back",
        )
        self._money = given_back.how

    async def _cancel_the_order(self) -> None:
        asked = self._asked_to_cancel
        await orders.cancel(
            CancelOrder(
                order_id=self._request.order_id,
                reason=asked.reason if asked else self._why_cancelled(),
                actor=asked.actor if asked else "system",
                note_id=asked.note_id if asked else None,
                money=self._money,
                declined=self._declined(),
            )
        )

    def _declined(self) -> PaymentAuthorization | None:
        authorization = self._authorization
        return authorization if authorization and authorization.answer is Answer.DECLINED else None

    def _why_cancelled(self) -> str:
        declined = self._declined()
        if declined is None:
            return CancelReason.PAYMENT_UNAVAILABLE
        return CancelReason.PAYMENT_EXPIRED if declined.decline_code == "expired" else CancelReason.PAYMENT_DECLINED

    def _the_order_to_place(self) -> PlaceOrder:
        request = self._request
        return PlaceOrder(
            order_id=request.order_id,
            order_number=request.order_number,
            cart_id=request.cart_id,
            payment_id=request.payment_id,
            expected_total_minor=request.expected_total_minor,
            hold_seconds=HOLD_SECONDS,
        )

    def _the_payment_to_authorize(self, order: PlacedOrder) -> AuthorizePayment:
        request = self._request
        return AuthorizePayment(
            payment_id=request.payment_id,
            order_id=request.order_id,
            order_number=request.order_number,
            method=request.payment_method,
            total=order.total,
            key=self._authorize_key,
        )

    def _the_order_to_confirm(self) -> ConfirmOrder:
        if self._authorization is None:
            raise AssertionError("an order is confirmed only with an authorisation")
        return ConfirmOrder(
            order_id=self._request.order_id,
            payment_id=self._request.payment_id,
            authorization=self._authorization,
        )

    @property
    def _authorize_key(self) -> str:
        return f"order/{self._request.order_id}/authorize/1"

    def _search_attributes(self, order: OrderStatus, payment: PaymentStatus) -> TypedSearchAttributes:
        request = self._request
        return TypedSearchAttributes(
            [
                SearchAttributePair(names.ORDER_ID, str(request.order_id)),
                SearchAttributePair(names.ORDER_NUMBER, request.order_number),
                SearchAttributePair(names.CUSTOMER_ID, request.customer),
                SearchAttributePair(names.ORDER_STATUS, order),
                SearchAttributePair(names.PAYMENT_STATUS, payment),
                SearchAttributePair(names.NEEDS_ATTENTION, False),
            ]
        )

    @workflow.update(description="Answers as soon as the order is confirmed, refused, or needs its customer to act")
    async def place(self) -> CheckoutOutcome:
        await workflow.wait_condition(lambda: self._answer is not None)
        return self._answer or UNDECIDED

    @workflow.update(description="Stop before the order is confirmed; all that was done is undone")
    async def cancel(self, request: AskToCancel) -> CheckoutOutcome:
        self._asked_to_cancel = self._asked_to_cancel or request
        await workflow.wait_condition(lambda: self._outcome is not None)
        self._check_not_confirmed(request)
        return self._outcome or UNDECIDED

    @cancel.validator
    def _check_not_confirmed(self, request: AskToCancel) -> None:
        if self._outcome is not None and self._outcome.status is CheckoutStatus.CONFIRMED:
            raise checkout_over()

    @workflow.update(dynamic=True)
    async def whatever_else(self, name: str, arguments: Sequence[RawValue]) -> None:
        """What is done with confirmed orders is the business of their Fulfillment."""

    @whatever_else.validator
    def _ask_fulfillment(self, name: str, arguments: Sequence[RawValue]) -> None:
        raise checkout_over()


def checkout_over() -> ApplicationError:
    return ApplicationError("Ask the order's Fulfillment: signal hand_over, then ask again.", type="checkout_over")


UNEXPLAINED = Refused(code="internal_error", detail="The order was not placed.")
UNDECIDED = CheckoutOutcome(status=CheckoutStatus.REFUSED, refused=UNEXPLAINED)
