"""From a cart to a paid order, or back to where it began."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NoReturn

from temporalio import workflow
from temporalio.common import RawValue, SearchAttributePair, TypedSearchAttributes
from temporalio.exceptions import ActivityError, ApplicationError, FailureError, is_cancelled_exception

from domain.attention import Concern, Decision
from domain.deadlines import PATIENCE, Waiting
from domain.money import Money
from domain.orders import (
    AskToCancel,
    AwaitCustomer,
    CancelOrder,
    CancelReason,
    CheckoutOutcome,
    CheckoutStatus,
    ConfirmOrder,
    OrderState,
    OrderStatus,
    PlacedOrder,
    Placement,
    PlaceOrder,
    Refused,
    Resolve,
    StartCheckout,
)
from domain.payments import (
    Answer,
    AuthorizePayment,
    AwaitTransfer,
    FollowPayment,
    GiveMoneyBack,
    MoneyBack,
    PaymentAuthorization,
    PaymentStatus,
    RemindOfTransfer,
    TransferReceived,
    authorize_key,
)
from domain.shipping import FulfillOrder
from domain.taxes import AskAboutTaxes
from workflows import names
from workflows.apart import NEEDS_NOBODY, about_order
from workflows.attention import Concerns, keep_what_was_said
from workflows.fulfillment import CANCELLED_AT_THE_ENGINE, Fulfillment
from workflows.inquiry import Inquiry, authorized
from workflows.measures import checkout_decided
from workflows.payment import PAYMENT_WINDOW, Payment
from workflows.steps import orders, payments, taxes
from workflows.undo import undone_on_failure

HOLD_SECONDS = int(PAYMENT_WINDOW.total_seconds()) + 300
"""Stock stays reserved a little longer than a customer may take to pay, so that late money still finds its goods."""

MOST_QUESTIONS = 3
"""Nobody changes a cart that often while it is checked out."""

LONGEST_WAIT_FOR_A_RETRY = timedelta(seconds=5)
"""A person who asks for a retry is told what came of it, if that is clear so soon."""

LONGEST_REST = timedelta(hours=1)
"""After that an order moves on to its Fulfillment by itself, which keeps all later deadlines, the first of them counted
from the confirmation."""


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
        self._concerns = Concerns(request.order_id)
        self._inquiry: Inquiry | None = None
        self._confirmed_at: datetime | None = None
        self._authorized_at: datetime | None = None
        self._is_wanted = False
        self._transfer_due_at: datetime | None = None
        self._is_transfer_awaited = False
        self._transfer: TransferReceived | None = None
        self._waiver: Resolve | None = None
        self._held_instead: Money | None = None

    @workflow.run
    async def run(self, request: StartCheckout) -> CheckoutOutcome:
        try:
            order = await self._confirmed_order()
        except (FailureError, asyncio.CancelledError) as error:
            if is_cancelled_exception(error) and workflow.patched("whoever-waits-for-a-cancelled-checkout-is-answered"):
                if self._outcome is None:
                    self._refuse(CANCELLED)
                await workflow.wait_condition(workflow.all_handlers_finished)
            raise
        if isinstance(order, CheckoutOutcome):
            return order
        self._note_confirmation(order)
        is_cancelled = await self._rest_until_somebody_begins_with_it()
        return await self._hand_over_to_fulfillment(order, is_cancelled=is_cancelled)

    async def _confirmed_order(self) -> PlacedOrder | CheckoutOutcome:
        """The refusal when it comes to nothing."""
        async with undone_on_failure() as undo:
            undo.remember(self._cancel_the_order)
            placement = await self._place()
            order = placement.order
            if order is None:
                return self._refuse(placement.refused or UNEXPLAINED)

            undo.remember(lambda: self._give_the_money_back(order))
            await self._take_payment(order)
            if refusal := self._reason_not_to_confirm(order):
                await undo.run()
                outcome = self._refuse(refusal)
                if self._held_instead is not None:
                    await self._have_somebody_look_at(self._held_instead, order)
                return outcome

            await orders.confirm(self._the_order_to_confirm())
            return order

    async def _place(self) -> Placement:
        """Where a tax provider has to be asked first, it is asked while nothing is locked, and again if the cart has
        changed meanwhile."""
        wish = self._the_order_to_place()
        placement, questions = await orders.place(wish), 0
        while placement.asks_for_taxes:
            is_heard = questions < MOST_QUESTIONS and await self._taxes_are_asked()
            questions += 1
            placement = await orders.place(replace(wish, is_tax_provider_silent=not is_heard))
        return placement

    async def _taxes_are_asked(self) -> bool:
        """False when the provider was silent for as long as a customer can wait."""
        try:
            await taxes.ask(AskAboutTaxes(cart_id=self._request.cart_id), summary="which taxes are due")
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            return False
        return True

    async def _take_payment(self, order: PlacedOrder) -> None:
        wish = self._the_payment_to_authorize(order)
        if self._request.transfer_window is None and order.total.minor > 0:
            self._authorized_at = workflow.now()
        self._authorization = await authorized(wish) or await self._what_became_of(wish)
        if self._authorization is not None and self._authorization.answer is Answer.REQUIRES_ACTION:
            self._authorization = await self._let_the_customer_act(order, self._authorization)
        elif self._request.transfer_window is not None and order.total.minor > 0:
            self._authorization = await self._wait_for_the_transfer(order, self._request.transfer_window)

    async def _wait_for_the_transfer(self, order: PlacedOrder, window: timedelta) -> PaymentAuthorization:
        """A person's word and the deadline meet here, and what is first counts; half way the customer is reminded."""
        due_at = self._request.transfer_until or workflow.now() + window
        await orders.await_transfer(
            AwaitTransfer(order_id=order.order_id, payment_id=self._request.payment_id, due_at=due_at)
        )
        self._transfer_due_at, self._is_transfer_awaited = due_at, True
        self._note_status(OrderStatus.PENDING, PaymentStatus.PENDING)
        self._answer = CheckoutOutcome(status=CheckoutStatus.REQUIRES_ACTION)
        workflow.set_current_details(
            f"Order {self._request.order_number} waits for a bank transfer of {order.total} until "
            f"{due_at:%d %B, %H:%M} UTC."
        )
        if not await self._somebody_decides_before(due_at - window / 2):
            await orders.remind_of_transfer(RemindOfTransfer(order_id=order.order_id))
            await self._somebody_decides_before(due_at)
        self._is_transfer_awaited = False
        if self._transfer is not None:
            await keep_what_was_said()
            return PaymentAuthorization(
                answer=Answer.AUTHORIZED, reference=None, amount_minor=order.total.minor, is_captured=True
            )
        if self._waiver is not None:
            await keep_what_was_said()
            return PaymentAuthorization(answer=Answer.EXPECTED, reference=None)
        code = "abandoned" if self._asked_to_cancel else "expired"
        return PaymentAuthorization(answer=Answer.DECLINED, reference=None, decline_code=code)

    async def _somebody_decides_before(self, deadline: datetime) -> bool:
        try:
            await workflow.wait_condition(
                lambda: not self._is_undecided(),
                timeout=max(deadline - workflow.now(), timedelta(0)),
                timeout_summary="the customer's time to send the money",
            )
        except TimeoutError:
            return False
        return True

    def _is_undecided(self) -> bool:
        return self._transfer is None and self._waiver is None and self._asked_to_cancel is None

    async def _what_became_of(self, wish: AuthorizePayment) -> PaymentAuthorization | None:
        """Ask until the provider says; the customer is told meanwhile that nothing is decided yet."""
        if not workflow.patched("unanswered-payments-are-asked-about"):
            return None
        self._answer = CheckoutOutcome(status=CheckoutStatus.UNDECIDED)
        self._inquiry = Inquiry(wish, self._concerns, is_given_up=self._is_to_be_cancelled)
        return await self._inquiry.outcome()

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
        self._note_status(OrderStatus.PENDING, PaymentStatus.REQUIRES_ACTION)
        self._answer = CheckoutOutcome(status=CheckoutStatus.REQUIRES_ACTION)
        workflow.set_current_details(
            f"Order {request.order_number} waits for its customer to approve the payment of {order.total} "
            f"with the bank, {PAYMENT_WINDOW.total_seconds() / 60:.0f} minutes at most."
        )
        await workflow.wait_condition(lambda: payment.done() or self._asked_to_cancel is not None)
        if not payment.done():
            await payment.signal(Payment.give_up)
        return await payment

    async def _have_somebody_look_at(self, held: Money, order: PlacedOrder) -> None:
        """Its books and ours differ, which must never be: all is undone, and a person says that it was seen."""
        why = f"the provider held {held} instead of {order.total}; it was given back"
        await self._concerns.voice(Concern.PAYMENT_MISMATCH, why)
        await workflow.wait_condition(lambda: self._waiver is not None)
        await self._concerns.settle(Concern.PAYMENT_MISMATCH)
        await workflow.wait_condition(workflow.all_handlers_finished)

    def _is_to_be_cancelled(self) -> bool:
        # A step that ends by itself swallows the engine's own cancel, which is how operators stop a checkout from
        # outside.
        return self._asked_to_cancel is not None or workflow.cancellation_reason() is not None

    def _reason_not_to_confirm(self, order: PlacedOrder) -> Refused | None:
        if self._is_to_be_cancelled():
            return CANCELLED
        match self._authorization:
            case PaymentAuthorization(answer=Answer.AUTHORIZED, amount_minor=order.total.minor):
                return None
            case PaymentAuthorization(answer=Answer.AUTHORIZED, amount_minor=minor):
                if not workflow.patched("another-amount-is-given-back"):
                    return None
                self._held_instead = Money(minor, order.total.currency)
                return Refused(
                    code="payment_mismatch",
                    detail="The provider held another amount than the order's total; it was given back.",
                )
            case PaymentAuthorization(answer=Answer.EXPECTED) if self._waiver is not None:
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
        self._note_status(OrderStatus.CANCELLED, self._how_the_payment_ended())
        self._concerns.forget()
        workflow.set_current_details(f"Order {self._request.order_number} came to nothing: {refused.code}.")
        checkout_decided(refused.code)
        self._answer = self._outcome = CheckoutOutcome(status=CheckoutStatus.REFUSED, refused=refused)
        return self._outcome

    def _how_the_payment_ended(self) -> PaymentStatus:
        is_voided = self._money in (MoneyBack.VOIDED, MoneyBack.BY_HAND)
        return PaymentStatus.VOIDED if is_voided else PaymentStatus.FAILED

    def _note_confirmation(self, order: PlacedOrder) -> None:
        self._note_status(OrderStatus.CONFIRMED, self._payment_status)
        self._confirmed_at = workflow.now()
        deadline = self._confirmed_at + PATIENCE[Waiting.TO_BE_PACKED]
        workflow.set_current_details(
            f"Order {self._request.order_number} waits for an operator to pack {order.units} of {order.units} units, "
            f"until {deadline:%d %b %H:%M} UTC."
        )
        checkout_decided("confirmed")
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
        while not workflow.all_handlers_finished():
            try:
                await workflow.wait_condition(workflow.all_handlers_finished)
            except asyncio.CancelledError:
                is_cancelled = True  # the order is confirmed: its Fulfillment has to see to it
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
                confirmed_at=self._confirmed_at,
                authorized_at=self._authorized_at,
                transfer_due_at=self._transfer_due_at if self._waiver else None,
            ),
            workflow=Fulfillment.run,
            task_queue=names.Queue.FULFILLMENT,
            search_attributes=self._search_attributes(OrderStatus.CONFIRMED, self._payment_status),
            initial_versioning_behavior=workflow.ContinueAsNewVersioningBehavior.AUTO_UPGRADE,
        )

    async def _give_the_money_back(self, order: PlacedOrder) -> None:
        declined = self._declined()
        if declined is not None and declined.reference is None:
            return  # the provider has said that it made nothing of this wish
        workflow.set_current_details(f"Order {self._request.order_number}: giving the money back.")
        given_back = await self._concerns.if_it_takes_long(
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
        asked = self._asked_to_cancel or self._cancelled_at_the_engine()
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

    def _cancelled_at_the_engine(self) -> AskToCancel | None:
        """An operator's wish, unless the order came to nothing by itself before."""
        is_over_anyhow = self._held_instead is not None or self._declined() is not None
        return None if is_over_anyhow or workflow.cancellation_reason() is None else CANCELLED_AT_THE_ENGINE

    def _declined(self) -> PaymentAuthorization | None:
        authorization = self._authorization
        return authorization if authorization and authorization.answer is Answer.DECLINED else None

    def _why_cancelled(self) -> str:
        declined = self._declined()
        if self._held_instead is not None:
            return CancelReason.PAYMENT_MISMATCH
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
            is_manual=request.transfer_window is not None,
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
            is_resumed=request.is_resumed,
        )

    def _the_order_to_confirm(self) -> ConfirmOrder:
        if self._authorization is None:
            raise AssertionError("an order is confirmed only with an authorisation")
        word = self._transfer or self._waiver
        return ConfirmOrder(
            order_id=self._request.order_id,
            payment_id=self._request.payment_id,
            authorization=self._authorization,
            actor=word.actor if word else "system",
            note_id=word.note_id if word else None,
        )

    @property
    def _payment_status(self) -> PaymentStatus:
        if self._waiver is not None:
            return PaymentStatus.PENDING
        return PaymentStatus.CAPTURED if self._transfer is not None else PaymentStatus.AUTHORIZED

    @property
    def _authorize_key(self) -> str:
        return authorize_key(self._request.order_id)

    def _note_status(self, order: OrderStatus, payment: PaymentStatus) -> None:
        workflow.upsert_search_attributes(
            [names.ORDER_STATUS.value_set(order), names.PAYMENT_STATUS.value_set(payment)]
        )

    def _search_attributes(self, order: OrderStatus, payment: PaymentStatus) -> TypedSearchAttributes:
        request = self._request
        return about_order(
            request.order_id,
            request.order_number,
            SearchAttributePair(names.CUSTOMER_ID, request.customer),
            SearchAttributePair(names.ORDER_STATUS, order),
            SearchAttributePair(names.PAYMENT_STATUS, payment),
            NEEDS_NOBODY,
        )

    @workflow.update(description="Answers as soon as the order is confirmed, refused, or needs its customer to act")
    async def place(self) -> CheckoutOutcome:
        await workflow.wait_condition(lambda: self._answer is not None)
        return self._answer or UNDECIDED

    @workflow.update(description="Stop before the order is confirmed; all that was done is undone")
    async def cancel(self, request: AskToCancel) -> CheckoutOutcome:
        return await self._stop(request)

    async def _stop(self, request: AskToCancel) -> CheckoutOutcome:
        if self._is_undecided():
            self._asked_to_cancel = request
        await workflow.wait_condition(lambda: self._outcome is not None)
        self._check_not_confirmed(request)
        return self._outcome or UNDECIDED

    @cancel.validator
    def _check_not_confirmed(self, request: AskToCancel) -> None:
        if self._outcome is not None and self._outcome.status is CheckoutStatus.CONFIRMED:
            raise checkout_over()

    @workflow.update(description="A person has seen the money of the bank transfer come")
    async def payment_received(self, request: TransferReceived) -> CheckoutOutcome:
        self._transfer = self._transfer or request
        await workflow.wait_condition(lambda: self._outcome is not None)
        return self._outcome or UNDECIDED

    @payment_received.validator
    def _may_be_received(self, request: TransferReceived) -> None:
        if self._waiver is not None:
            raise checkout_over()
        if self._transfer is None and not (self._is_transfer_awaited and self._is_undecided()):
            raise ApplicationError(
                "The order does not wait for a bank transfer.",
                {"current_status": str(self._state().status)},
                type="order_transition_not_allowed",
            )

    @workflow.signal(description="The provider's webhook told us something about this order's payment")
    def provider_event(self, event_id: str) -> None:
        if self._inquiry is not None:
            self._inquiry.ask_now()

    @workflow.update(description="A person's answer: ask the provider again, do without the bank transfer, or cancel")
    async def resolve(self, request: Resolve) -> OrderState:
        if request.decision is Decision.CANCEL:
            reason = CancelReason.OPERATOR
            await self._stop(AskToCancel(reason=reason, actor=request.actor, note_id=request.note_id))
        elif request.decision is Decision.SKIP:
            self._waiver = request
            await workflow.wait_condition(lambda: self._outcome is not None)
        elif self._inquiry is not None:
            self._inquiry.try_again()
            with suppress(TimeoutError):
                await workflow.wait_condition(
                    lambda: self._outcome is not None,
                    timeout=LONGEST_WAIT_FOR_A_RETRY,
                    timeout_summary="until somebody who asked for a retry is answered",
                )
        return self._state()

    @resolve.validator
    def _has_a_question(self, request: Resolve) -> None:
        if self._outcome is not None and self._outcome.status is CheckoutStatus.CONFIRMED:
            raise checkout_over()
        allowed = self._decisions()
        if request.decision not in allowed:
            raise ApplicationError(
                "The order does not wait for such a decision.",
                {"allowed": sorted(str(decision) for decision in allowed)},
                type="nothing_to_resolve",
            )

    def _decisions(self) -> set[Decision]:
        if self._is_transfer_awaited and self._is_undecided():
            return {Decision.SKIP, Decision.CANCEL}
        if Concern.PAYMENT_MISMATCH in self._concerns:
            return {Decision.SKIP}
        if self._outcome is None and self._inquiry is not None and self._inquiry.needs_a_person:
            return {Decision.RETRY, Decision.CANCEL}
        return set()

    def _state(self) -> OrderState:
        order_id = self._request.order_id
        match self._outcome:
            case None:
                return OrderState(order_id=order_id, status=OrderStatus.PENDING, payment_status=PaymentStatus.PENDING)
            case CheckoutOutcome(status=CheckoutStatus.CONFIRMED):
                status, payment = OrderStatus.CONFIRMED, self._payment_status
            case _:
                status, payment = OrderStatus.CANCELLED, self._how_the_payment_ended()
        return OrderState(order_id=order_id, status=status, payment_status=payment)

    @workflow.update(dynamic=True)
    async def whatever_else(self, name: str, arguments: Sequence[RawValue]) -> None:
        """What is done with confirmed orders is the business of their Fulfillment."""

    @whatever_else.validator
    def _ask_fulfillment(self, name: str, arguments: Sequence[RawValue]) -> None:
        raise checkout_over()


def checkout_over() -> ApplicationError:
    return ApplicationError("Ask the order's Fulfillment: signal hand_over, then ask again.", type="checkout_over")


CANCELLED = Refused(code="checkout_cancelled", detail="The checkout was cancelled; nothing was charged.")
UNEXPLAINED = Refused(code="internal_error", detail="The order was not placed.")
UNDECIDED = CheckoutOutcome(status=CheckoutStatus.REFUSED, refused=UNEXPLAINED)
