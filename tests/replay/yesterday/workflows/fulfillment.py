"""The second chapter of an order: confirmed, and on its way to the customer's door."""

import asyncio
from collections import Counter
from contextlib import suppress
from typing import Any
from uuid import UUID

from temporalio import workflow
from temporalio.common import SearchAttributeUpdate
from temporalio.exceptions import ApplicationError

from tests.replay.yesterday.domain.attention import Concern, Decision
from tests.replay.yesterday.domain.orders import (
    AskToCancel,
    CancelOrder,
    CancelReason,
    CheckoutOutcome,
    CheckoutStatus,
    OrderState,
    OrderStatus,
    Resolve,
)
from tests.replay.yesterday.domain.payments import CapturePayment, GiveMoneyBack, PaymentStatus, ReleasePayment
from tests.replay.yesterday.domain.shipping import (
    CancelUnits,
    FulfillOrder,
    GiveUpParcel,
    MoveParcel,
    PlannedShipment,
    PlanShipment,
    ShipmentCharge,
    ShipmentState,
    ShipParcel,
)
from tests.replay.yesterday.workflows import names
from tests.replay.yesterday.workflows.attention import Concerns
from tests.replay.yesterday.workflows.refund import begin_refund
from tests.replay.yesterday.workflows.steps import orders, payments, shipping


@workflow.defn
class Fulfillment:
    """The owner of a confirmed order until it is delivered, or cancelled before anything was shipped.

    Operators and customers speak to it by updates, which are carried out one after the other: a cancel and a
    shipment that arrive in the same instant have one order, and the loser is told so.
    """

    @workflow.init
    def __init__(self, request: FulfillOrder) -> None:
        self._request = request
        self._status = OrderStatus.CONFIRMED
        self._waiting_units = request.units
        self._has_shipped = False
        self._concerns = Concerns(request.order_id)
        self._refused: dict[UUID, ShipParcel] = {}
        self._captures_refused: Counter[UUID] = Counter()
        self._one_at_a_time = asyncio.Lock()

    @workflow.run
    async def run(self, request: FulfillOrder) -> OrderStatus:
        self._describe()
        await self._until_it_is_over()
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self._status

    async def _until_it_is_over(self) -> None:
        """The engine's own cancel is an operator's wish like any other: undone as one, or too late once it shipped."""
        if self._request.is_cancelled:
            await self._cancel_for_the_engine()
        while not self._is_over():
            try:
                await workflow.wait_condition(self._is_over)
            except asyncio.CancelledError:
                await self._cancel_for_the_engine()

    async def _cancel_for_the_engine(self) -> None:
        with suppress(ApplicationError):
            await self._cancel_unless_shipped(AskToCancel(reason=CancelReason.OPERATOR, actor="operator:engine"))

    def _is_over(self) -> bool:
        return self._status in (OrderStatus.DELIVERED, OrderStatus.CANCELLED)

    @workflow.update(description="Whoever asks late whether the order was placed hears that it was")
    async def place(self) -> CheckoutOutcome:
        return CheckoutOutcome(status=CheckoutStatus.CONFIRMED)

    @workflow.update(description="Put units into a parcel")
    async def plan_shipment(self, request: PlanShipment) -> PlannedShipment:
        async with self._one_at_a_time:
            self._check_not_cancelled()
            planned = await shipping.plan(request)
            self._waiting_units -= planned.units
            self._describe()
            return planned

    @workflow.update(description="Capture what the parcel costs, then send it off")
    async def ship(self, request: ShipParcel) -> ShipmentState:
        return await self._ship(request)

    async def _ship(self, request: ShipParcel) -> ShipmentState:
        async with self._one_at_a_time:
            self._check_not_cancelled()
            charge = await shipping.charge(request)
            if not charge.is_shipped:
                await self._capture(request, charge)
            self._has_shipped = True
            return self._follow_parcel(await shipping.ship(request))

    @workflow.update(description="The parcel arrived")
    async def deliver(self, request: MoveParcel) -> ShipmentState:
        async with self._one_at_a_time:
            return self._follow_parcel(await shipping.deliver(request))

    @workflow.update(description="The parcel has left and will not arrive: send it again, or refund it")
    async def give_up_parcel(self, request: GiveUpParcel) -> ShipmentState:
        async with self._one_at_a_time:
            given_up = await shipping.give_up(request)
            if given_up.refund is not None:
                await begin_refund(given_up.refund)
            return self._follow_parcel(given_up.state)

    @workflow.update(description="The parcel will not leave; its units wait for another one")
    async def cancel_shipment(self, request: MoveParcel) -> ShipmentState:
        async with self._one_at_a_time:
            unpacked = await shipping.cancel(request)
            await self._need_no_capture_of([request.fulfillment_id])
            return self._follow_parcel(unpacked)

    @workflow.update(description="Money and goods back, order cancelled; only while nothing was shipped")
    async def cancel(self, request: AskToCancel) -> OrderState:
        return await self._cancel_unless_shipped(request)

    @cancel.validator
    def _may_be_cancelled(self, request: AskToCancel) -> None:
        self._check_nothing_shipped()

    @workflow.update(description="Some units are not wanted any more; only those that have not left")
    async def cancel_units(self, request: CancelUnits) -> OrderState:
        async with self._one_at_a_time:
            self._check_not_cancelled()
            cancelled = await orders.cancel_units(request)
            if cancelled.is_everything:
                return await self._cancel(
                    AskToCancel(reason=CancelReason.of(request.actor), actor=request.actor, note_id=request.note_id)
                )
            await self._need_no_capture_of(cancelled.unpacked)
            payment = cancelled.payment_status
            if cancelled.is_complete:
                payment = await self._free_the_rest()
            self._follow(cancelled.order_status, cancelled.open_units)
            return OrderState(order_id=request.order_id, status=cancelled.order_status, payment_status=payment)

    async def _free_the_rest(self) -> PaymentStatus:
        released = await payments.release(
            ReleasePayment(
                payment_id=self._request.payment_id,
                order_id=self._request.order_id,
                key=f"order/{self._request.order_id}/release",
            ),
            summary="free what is still held",
        )
        return released.payment_status

    async def _cancel_unless_shipped(self, request: AskToCancel) -> OrderState:
        async with self._one_at_a_time:
            self._check_nothing_shipped()
            return await self._cancel(request)

    async def _cancel(self, request: AskToCancel) -> OrderState:
        state = await self._undo_the_order(request)
        self._status = state.status
        self._note(state.status, state.payment_status)
        self._describe()
        return state

    async def _undo_the_order(self, request: AskToCancel) -> OrderState:
        workflow.set_current_details(f"Order {self._request.order_number}: giving money and goods back.")
        given_back = await self._concerns.if_it_takes_long(
            payments.give_back(
                GiveMoneyBack(
                    payment_id=self._request.payment_id,
                    order_id=self._request.order_id,
                    total=self._request.total,
                    authorize_key=self._request.authorize_key,
                ),
                summary=f"give back {self._request.total}",
            ),
            "giving the money back",
        )
        self._concerns.forget()
        return await orders.cancel(
            CancelOrder(
                order_id=self._request.order_id,
                reason=request.reason,
                actor=request.actor,
                note_id=request.note_id,
                money=given_back.how,
            )
        )

    async def _capture(self, request: ShipParcel, charge: ShipmentCharge) -> None:
        if charge.amount.minor == 0:
            if charge.is_final:
                await self._free_the_rest()
            return await self._need_no_capture_of([request.fulfillment_id])
        parcel = request.fulfillment_id
        capture = await payments.capture(
            CapturePayment(
                payment_id=self._request.payment_id,
                amount=charge.amount,
                is_final=charge.is_final,
                key=self._capture_key(parcel),
            ),
            summary=f"capture {charge.amount}",
        )
        if capture.is_captured:
            return await self._need_no_capture_of([parcel])
        self._refused[parcel] = request
        self._captures_refused[parcel] += 1
        why = f"the provider refuses to capture {charge.amount}: {capture.refusal}"
        await self._concerns.voice(Concern.CAPTURE_REFUSED, why)
        self._describe()
        raise ApplicationError(
            f"The provider refuses to take {charge.amount}; the parcel must not leave.",
            {"refusal": capture.refusal},
            type="capture_refused",
            non_retryable=True,
        )

    async def _need_no_capture_of(self, parcels: list[UUID]) -> None:
        """They are paid for, or will not leave: nobody has to decide about them any more."""
        for parcel in parcels:
            self._refused.pop(parcel, None)
        if not self._refused:
            await self._concerns.settle(Concern.CAPTURE_REFUSED)

    def _capture_key(self, parcel: UUID) -> str:
        """One key a wish: a lost answer is asked for with the same, a wish after a refusal is a new one."""
        refused = self._captures_refused[parcel]
        key = f"order/{self._request.order_id}/capture/{parcel}"
        return f"{key}/{refused + 1}" if refused else key

    @workflow.update(description="A person's answer: retry what was refused, or cancel the order")
    async def resolve(self, request: Resolve) -> OrderState:
        if request.decision is Decision.CANCEL:
            reason = CancelReason.OPERATOR
            return await self._cancel_unless_shipped(
                AskToCancel(reason=reason, actor=request.actor, note_id=request.note_id)
            )
        for parcel in list(self._refused.values()):
            await self._ship(parcel)
        payment = PaymentStatus.CAPTURED if self._status is OrderStatus.SHIPPED else PaymentStatus.AUTHORIZED
        return OrderState(order_id=self._request.order_id, status=self._status, payment_status=payment)

    @resolve.validator
    def _has_a_question(self, request: Resolve) -> None:
        allowed = self._decisions()
        if request.decision not in allowed:
            raise ApplicationError(
                "The order does not wait for such a decision.",
                {"allowed": sorted(str(decision) for decision in allowed)},
                type="nothing_to_resolve",
            )

    def _decisions(self) -> set[Decision]:
        if Concern.CAPTURE_REFUSED not in self._concerns:
            return set()
        return {Decision.RETRY} if self._has_shipped else {Decision.RETRY, Decision.CANCEL}

    def _check_not_cancelled(self) -> None:
        if self._status is OrderStatus.CANCELLED:
            raise ApplicationError(
                "The order is cancelled.", {"current_status": "cancelled"}, type="order_transition_not_allowed"
            )

    def _check_nothing_shipped(self) -> None:
        if self._has_shipped:
            raise ApplicationError(
                "Something of this order has been shipped; it can be returned, not cancelled.",
                {"current_status": str(self._status)},
                type="order_not_cancellable",
            )

    def _follow_parcel(self, state: ShipmentState) -> ShipmentState:
        self._follow(state.order_status, state.open_units)
        return state

    def _follow(self, order: OrderStatus, waiting_units: int) -> None:
        if order is not self._status:
            self._note(order, PaymentStatus.CAPTURED if self._status is OrderStatus.CONFIRMED else None)
        self._status, self._waiting_units = order, waiting_units
        self._describe()

    def _note(self, order: OrderStatus, payment: PaymentStatus | None) -> None:
        changes: list[SearchAttributeUpdate[Any]] = [
            names.ORDER_STATUS.value_set(order),
        ]
        if payment is not None:
            changes.append(names.PAYMENT_STATUS.value_set(payment))
        workflow.upsert_search_attributes(changes)

    def _describe(self) -> None:
        match self._status:
            case OrderStatus.CONFIRMED if self._waiting_units:
                waits = f"waits for an operator to pack {self._waiting_units} of {self._request.units} units"
            case OrderStatus.CONFIRMED:
                waits = "is packed and waits for an operator to ship it"
            case OrderStatus.SHIPPED:
                waits = "is on its way and waits for its delivery"
            case status:
                waits = f"is {status}"
        words = self._concerns.words
        needs = f"**Order {self._request.order_number} needs a person**: {words}. " if words else ""
        workflow.set_current_details(f"{needs}Order {self._request.order_number} {waits}.")
