"""The second chapter of an order: confirmed, and on its way to the customer's door."""

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NoReturn
from uuid import UUID

from temporalio import workflow
from temporalio.common import SearchAttributeUpdate
from temporalio.exceptions import ApplicationError

from domain.attention import Concern, Decision
from domain.carriers import FollowParcel
from domain.deadlines import Wait, Waiting
from domain.orders import (
    AskToCancel,
    CancelOrder,
    CancelReason,
    ChangeAddress,
    CheckoutOutcome,
    CheckoutStatus,
    OrderAftercare,
    OrderState,
    OrderStatus,
    Resolve,
    allowed_moves,
)
from domain.payments import (
    CapturePayment,
    GiveMoneyBack,
    PaymentCapture,
    PaymentStatus,
    ReleasePayment,
    RenewAuthorization,
    TransferReceived,
    authorize_key,
)
from domain.shipping import (
    CancelUnits,
    FulfillmentSoFar,
    FulfillOrder,
    GiveUpParcel,
    HoldOrder,
    MoveParcel,
    OrderHold,
    PlannedShipment,
    PlanShipment,
    ReleaseOrder,
    ShipmentCharge,
    ShipmentState,
    ShipParcel,
)
from workflows import names
from workflows.aftercare import begin_aftercare
from workflows.attention import Concerns
from workflows.refund import begin_refund
from workflows.steps import orders, payments, shipping
from workflows.tracking import begin_tracking

CANCELLED_AT_THE_ENGINE = AskToCancel(reason=CancelReason.OPERATOR, actor="operator:engine")
"""The engine's own cancel is an operator's wish like any other."""


@workflow.defn
class Fulfillment:
    """The owner of a confirmed order until it is delivered, or cancelled before anything was shipped.

    Operators and customers speak to it by updates, which are carried out one after the other: a cancel and a
    shipment that arrive in the same instant have one order, and the loser is told so. What nobody does in time calls
    for a person, until it is done.
    """

    @workflow.init
    def __init__(self, request: FulfillOrder) -> None:
        self._request = request
        so_far = request.progress
        self._status = so_far.status
        self._waiting_units = so_far.waiting_units
        self._has_shipped = so_far.has_shipped
        self._waits = so_far.waits
        self._concerns = Concerns(request.order_id, so_far.concerns)
        self._refused = {parcel.fulfillment_id: parcel for parcel in so_far.refused}
        self._captures_refused = Counter(so_far.captures_refused)
        self._has_lapsed = so_far.has_lapsed
        self._authorizations = so_far.authorizations
        self._is_held = so_far.is_held
        self._transfer_due_at = request.transfer_due_at
        self._one_at_a_time = asyncio.Lock()

    @workflow.run
    async def run(self, request: FulfillOrder) -> OrderStatus:
        self._describe()
        self._clock = asyncio.create_task(self._watch_the_clock())
        if self._transfer_due_at is not None:
            self._cashier = asyncio.create_task(self._watch_for_the_money(self._transfer_due_at))
        await self._until_it_is_over_or_long()
        if not self._is_over():
            self._go_on_in_a_new_run()
        await workflow.wait_condition(lambda: self._is_quiet)
        if self._status is OrderStatus.DELIVERED and workflow.patched("delivered-orders-are-closed"):
            await begin_aftercare(OrderAftercare(order_id=request.order_id, order_number=request.order_number))
        return self._status

    async def _until_it_is_over_or_long(self) -> None:
        """The engine's own cancel is an operator's wish like any other: undone as one, or too late once it shipped."""
        if self._request.is_cancelled:
            await self._cancel_for_the_engine()
        while not self._is_over() and not self._is_long():
            try:
                await workflow.wait_condition(lambda: self._is_over() or self._is_long())
            except asyncio.CancelledError:
                await self._cancel_for_the_engine()

    async def _cancel_for_the_engine(self) -> None:
        with suppress(ApplicationError):
            await self._cancel_unless_shipped(CANCELLED_AT_THE_ENGINE)

    def _is_over(self) -> bool:
        if self._status is OrderStatus.DELIVERED:
            return self._transfer_due_at is None
        return self._status is OrderStatus.CANCELLED

    async def _watch_for_the_money(self, due_at: datetime) -> None:
        try:
            await workflow.wait_condition(
                lambda: self._transfer_due_at is None or self._is_over(),
                timeout=max(due_at - workflow.now(), timedelta(0)),
                timeout_summary="the customer's time to send the money",
            )
        except TimeoutError:
            await self._concerns.keep_true(Concern.PAYMENT_OVERDUE, self._what_is_overdue)
            self._describe()

    def _what_is_overdue(self) -> str | None:
        if self._transfer_due_at is None or self._is_over():
            return None
        return f"the bank transfer of {self._request.total} was due on {self._transfer_due_at:%d %B}, and has not come"

    def _is_long(self) -> bool:
        """The engine wants to begin a new history, and nothing is under way that would be lost with this one."""
        return self._is_quiet and workflow.info().is_continue_as_new_suggested()

    @property
    def _is_quiet(self) -> bool:
        return workflow.all_handlers_finished() and self._concerns.are_written_down

    def _go_on_in_a_new_run(self) -> NoReturn:
        so_far = FulfillmentSoFar(
            status=self._status,
            waiting_units=self._waiting_units,
            has_shipped=self._has_shipped,
            waits=self._waits,
            concerns=dict(self._concerns.open),
            refused=list(self._refused.values()),
            captures_refused=dict(self._captures_refused),
            has_lapsed=self._has_lapsed,
            authorizations=self._authorizations,
            is_held=self._is_held,
        )
        workflow.continue_as_new(
            replace(self._request, so_far=so_far, is_cancelled=False, transfer_due_at=self._transfer_due_at)
        )

    async def _watch_the_clock(self) -> None:
        while True:
            alarm = self._next_deadline()
            try:
                await workflow.wait_condition(
                    partial(self._is_something_due_before, alarm),
                    timeout=None if alarm is None else alarm - workflow.now(),
                    timeout_summary="until something is late",
                )
            except TimeoutError:
                await self._say_what_is_late()

    def _next_deadline(self) -> datetime | None:
        return min((wait.deadline for wait in self._waits if not wait.is_late(workflow.now())), default=None)

    def _is_something_due_before(self, alarm: datetime | None) -> bool:
        """What is due later than the alarm is looked at when it rings: a parcel in time costs the engine nothing."""
        deadline = self._next_deadline()
        return deadline is not None and (alarm is None or deadline < alarm)

    async def _say_what_is_late(self) -> None:
        await self._concerns.keep_true(Concern.LATE_PARCEL, self._what_is_late)
        await self._concerns.keep_true(Concern.AUTHORIZATION_EXPIRING, self._what_lapses)
        self._describe()

    def _what_is_late(self) -> str | None:
        return "; ".join(wait.words for wait in self._late() if wait.what is not Waiting.TO_BE_CAPTURED) or None

    def _what_lapses(self) -> str | None:
        return "; ".join(wait.words for wait in self._late() if wait.what is Waiting.TO_BE_CAPTURED) or None

    def _late(self) -> list[Wait]:
        return [wait for wait in self._waits if wait.is_late(workflow.now())]

    @workflow.update(description="Whoever asks late whether the order was placed hears that it was")
    async def place(self) -> CheckoutOutcome:
        return CheckoutOutcome(status=CheckoutStatus.CONFIRMED)

    @workflow.update(description="A person has seen the money of the bank transfer come")
    async def payment_received(self, request: TransferReceived) -> CheckoutOutcome:
        async with self._one_at_a_time:
            self._check_not_cancelled()
            if self._transfer_due_at is not None:
                received = await orders.receive_transfer(request)
                self._transfer_due_at = None
                await self._concerns.keep_true(Concern.PAYMENT_OVERDUE, self._what_is_overdue)
                self._note(received.status, received.payment_status)
                self._describe()
            return CheckoutOutcome(status=CheckoutStatus.CONFIRMED)

    @workflow.update(description="Put units into a parcel")
    async def plan_shipment(self, request: PlanShipment) -> PlannedShipment:
        async with self._one_at_a_time:
            self._check_not_cancelled()
            planned = await shipping.plan(request)
            self._waiting_units -= planned.units
            await self._wait_for(planned.waits)
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
            shipped = await self._follow_parcel(await shipping.ship(request))
            if shipped.to_follow and workflow.patched("carriers-are-asked-to-tell"):
                await begin_tracking(
                    FollowParcel(
                        order_id=request.order_id,
                        order_number=self._request.order_number,
                        fulfillment_id=request.fulfillment_id,
                    )
                )
            return shipped

    @workflow.update(description="The parcel arrived")
    async def deliver(self, request: MoveParcel) -> ShipmentState:
        async with self._one_at_a_time:
            return await self._follow_parcel(await shipping.deliver(request))

    @workflow.update(description="The parcel has left and will not arrive: send it again, or refund it")
    async def give_up_parcel(self, request: GiveUpParcel) -> ShipmentState:
        async with self._one_at_a_time:
            given_up = await shipping.give_up(request)
            if given_up.refund is not None:
                await begin_refund(given_up.refund)
            return await self._follow_parcel(given_up.state)

    @workflow.update(description="The parcel will not leave; its units wait for another one")
    async def cancel_shipment(self, request: MoveParcel) -> ShipmentState:
        async with self._one_at_a_time:
            unpacked = await shipping.cancel(request)
            await self._need_no_capture_of([request.fulfillment_id])
            return await self._follow_parcel(unpacked)

    @workflow.update(description="Money and goods back, order cancelled; only while nothing was shipped")
    async def cancel(self, request: AskToCancel) -> OrderState:
        return await self._cancel_unless_shipped(request)

    @cancel.validator
    def _may_be_cancelled(self, request: AskToCancel) -> None:
        self._check_nothing_shipped()

    @workflow.update(description="Nothing may leave until the order is released")
    async def hold(self, request: HoldOrder) -> OrderHold:
        async with self._one_at_a_time:
            self._check_something_is_here()
            return await self._follow_hold(await shipping.hold(request))

    @hold.validator
    def _may_be_held(self, request: HoldOrder) -> None:
        self._check_something_is_here()

    def _check_something_is_here(self) -> None:
        if self._status is not OrderStatus.CONFIRMED:
            raise ApplicationError(
                "Nothing of this order is here any more that could be held.",
                {"current_status": str(self._status), "allowed": allowed_moves(self._status)},
                type="order_transition_not_allowed",
            )

    @workflow.update(description="What was held may leave")
    async def release(self, request: ReleaseOrder) -> OrderHold:
        async with self._one_at_a_time:
            return await self._follow_hold(await shipping.release(request))

    async def _follow_hold(self, hold: OrderHold) -> OrderHold:
        self._is_held = hold.is_held
        await self._wait_for(hold.waits)
        return hold

    @workflow.update(description="Some units are not wanted any more; only those that have not left")
    async def cancel_units(self, request: CancelUnits) -> OrderState:
        async with self._one_at_a_time:
            self._check_not_cancelled()
            cancelled = await orders.cancel_units(request)
            if cancelled.is_everything:
                return await self._cancel(
                    AskToCancel(reason=CancelReason.of(request.actor), actor=request.actor, note_id=request.note_id)
                )
            if cancelled.refund is not None:
                await begin_refund(cancelled.refund)
            await self._need_no_capture_of(cancelled.unpacked)
            payment = cancelled.payment_status
            if cancelled.is_complete:
                payment = await self._free_the_rest()
            await self._follow(cancelled.order_status, cancelled.open_units, cancelled.waits)
            return OrderState(order_id=request.order_id, status=cancelled.order_status, payment_status=payment)

    @workflow.update(description="The order goes to another address; only while nothing was shipped")
    async def change_address(self, request: ChangeAddress) -> OrderState:
        async with self._one_at_a_time:
            self._check_not_cancelled()
            self._check_may_go_elsewhere()
            return await orders.change_address(request)

    @change_address.validator
    def _may_go_elsewhere(self, request: ChangeAddress) -> None:
        self._check_may_go_elsewhere()

    def _check_may_go_elsewhere(self) -> None:
        if self._has_shipped:
            raise ApplicationError(
                "Something of this order has been shipped to its address.",
                {
                    "current_status": str(self._status),
                    "allowed": allowed_moves(self._status, but=OrderStatus.CANCELLED),
                },
                type="address_not_changeable",
            )

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
        await self._wait_for([])
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
                    authorize_key=self._authorize_key,
                ),
                summary=f"give back {self._request.total}",
            ),
            "giving the money back",
        )
        self._concerns.forget()
        state = await orders.cancel(
            CancelOrder(
                order_id=self._request.order_id,
                reason=request.reason,
                actor=request.actor,
                note_id=request.note_id,
                money=given_back.how,
            )
        )
        if state.refund is not None:
            await begin_refund(state.refund)
        return state

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
        self._has_lapsed = capture.has_lapsed
        raise await self._refusal_to_ship(
            f"The provider refuses to take {charge.amount}; the parcel must not leave.",
            capture.refusal,
            why=_why_not_captured(charge, capture),
        )

    async def _refusal_to_ship(self, detail: str, refusal: str | None, *, why: str) -> ApplicationError:
        """What to raise, once a person is called."""
        await self._concerns.voice(Concern.CAPTURE_REFUSED, why)
        self._describe()
        return ApplicationError(detail, {"refusal": refusal}, type="capture_refused", non_retryable=True)

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
        await self._renew_what_has_lapsed()
        for parcel in list(self._refused.values()):
            await self._ship(parcel)
        payment = PaymentStatus.CAPTURED if self._status is OrderStatus.SHIPPED else PaymentStatus.AUTHORIZED
        return OrderState(order_id=self._request.order_id, status=self._status, payment_status=payment)

    async def _renew_what_has_lapsed(self) -> None:
        """Each wish has a key of its own: a refused one may be granted when a person asks once more."""
        async with self._one_at_a_time:
            self._check_not_cancelled()
            if not self._has_lapsed:
                return
            self._authorizations += 1
            total = self._request.total
            renewed = await payments.renew(
                RenewAuthorization(
                    payment_id=self._request.payment_id,
                    order_id=self._request.order_id,
                    order_number=self._request.order_number,
                    total=total,
                    key=self._authorize_key,
                ),
                summary=f"authorise {total} anew",
            )
            if renewed.refusal is not None:
                raise await self._refusal_to_ship(
                    f"The authorisation has lapsed, and {total} is not authorised anew; the parcel must not leave.",
                    renewed.refusal,
                    why=f"the authorisation has lapsed, and {total} is not authorised anew: {renewed.refusal}",
                )
            self._has_lapsed = False
            await self._wait_for(renewed.waits)

    @property
    def _authorize_key(self) -> str:
        """The key of the newest authorisation."""
        if self._authorizations == 1:
            return self._request.authorize_key
        return authorize_key(self._request.order_id, self._authorizations)

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
                "The order is cancelled.",
                {"current_status": "cancelled", "allowed": []},
                type="order_transition_not_allowed",
            )

    def _check_nothing_shipped(self) -> None:
        if self._has_shipped:
            raise ApplicationError(
                "Something of this order has been shipped; it can be returned, not cancelled.",
                {
                    "current_status": str(self._status),
                    "allowed": allowed_moves(self._status, but=OrderStatus.CANCELLED),
                },
                type="order_not_cancellable",
            )

    async def _follow_parcel(self, state: ShipmentState) -> ShipmentState:
        await self._follow(state.order_status, state.open_units, state.waits)
        return state

    async def _follow(self, order: OrderStatus, waiting_units: int, waits: list[Wait]) -> None:
        if order is not self._status:
            is_captured = self._status is OrderStatus.CONFIRMED and self._transfer_due_at is None
            self._note(order, PaymentStatus.CAPTURED if is_captured else None)
        self._status, self._waiting_units = order, waiting_units
        await self._wait_for(waits)

    async def _wait_for(self, waits: list[Wait]) -> None:
        self._waits = waits
        await self._say_what_is_late()

    def _note(self, order: OrderStatus, payment: PaymentStatus | None) -> None:
        changes: list[SearchAttributeUpdate[Any]] = [
            names.ORDER_STATUS.value_set(order),
        ]
        if payment is not None:
            changes.append(names.PAYMENT_STATUS.value_set(payment))
        workflow.upsert_search_attributes(changes)

    def _describe(self) -> None:
        match self._status:
            case OrderStatus.CONFIRMED if self._is_held:
                waits = "is held, and waits for an operator to release it"
            case OrderStatus.CONFIRMED if self._waiting_units:
                waits = f"waits for an operator to pack {self._waiting_units} of {self._request.units} units"
            case OrderStatus.CONFIRMED:
                waits = "is packed and waits for an operator to ship it"
            case OrderStatus.SHIPPED:
                waits = "is on its way and waits for its delivery"
            case status:
                waits = f"is {status}"
        if self._waits:
            waits += f", until {min(wait.deadline for wait in self._waits):%d %b %H:%M} UTC"
        words = self._concerns.words
        needs = f"**Order {self._request.order_number} needs a person**: {words}. " if words else ""
        unpaid = f" Its money, {self._request.total}, is still to come." if self._transfer_due_at else ""
        workflow.set_current_details(f"{needs}Order {self._request.order_number} {waits}.{unpaid}")


def _why_not_captured(charge: ShipmentCharge, capture: PaymentCapture) -> str:
    lapsed = "; its authorisation has lapsed, and a retry asks for a new one" if capture.has_lapsed else ""
    return f"the provider refuses to capture {charge.amount}: {capture.refusal}{lapsed}"
