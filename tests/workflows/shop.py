"""A shop of fakes: every step of an order's story is written down, and behaves as the test says."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID, uuid4

from temporalio.client import WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities.failures import FailureTranslation
from domain.carriers import Following, FollowParcel, LeaveParcel, ParcelFollowed
from domain.deadlines import Wait, Waiting
from domain.money import Money
from domain.orders import (
    AwaitCustomer,
    AwaitProvider,
    CancelOrder,
    ChangeAddress,
    CheckoutOutcome,
    CloseOrder,
    Closing,
    ConfirmOrder,
    OrderAttention,
    OrderState,
    OrderStatus,
    PlacedOrder,
    Placement,
    PlaceOrder,
    StartCheckout,
)
from domain.payments import (
    Answer,
    AuthorizationRenewed,
    AuthorizePayment,
    AwaitTransfer,
    CapturePayment,
    GiveMoneyBack,
    LateMoneyNoted,
    LookIntoStray,
    LookUpPayment,
    MoneyBack,
    NoteLateMoney,
    PaymentAuthorization,
    PaymentCapture,
    PaymentFound,
    PaymentGivenBack,
    PaymentReleased,
    PaymentStatus,
    ReleasePayment,
    RemindOfTransfer,
    RenewAuthorization,
    StrayFound,
    TransferReceived,
)
from domain.refunds import PaymentRefund, RefundMoney, RefundState, RefundStatus, SettleRefund
from domain.returns import DecideReturn, FollowReturn, ReceiveReturn, ReturnState, ReturnStatus, SettleReturn
from domain.shipping import (
    CancelUnits,
    FulfillmentStatus,
    FulfillOrder,
    GiveUpParcel,
    HoldOrder,
    MoveParcel,
    OrderHold,
    ParcelGivenUp,
    PlannedShipment,
    PlanShipment,
    ReleaseOrder,
    Remedy,
    ShipmentCharge,
    ShipmentState,
    ShipParcel,
    UnitsCancelled,
)
from domain.taxes import AskAboutTaxes, TaxesAsked
from workers.run import workflow_runner
from workflows.aftercare import Aftercare
from workflows.checkout import Checkout
from workflows.fulfillment import Fulfillment
from workflows.goods_return import Return
from workflows.names import Queue, order_id, payment_id, return_id
from workflows.payment import Payment
from workflows.refund import Refund
from workflows.steps import carriers, orders, payments, refunds, returns, shipping, taxes
from workflows.steps.step import Step
from workflows.stray_payment import StrayPayment
from workflows.tracking import Tracking

Request = TypeVar("Request")
Result = TypeVar("Result")
CheckingOut = WorkflowHandle[Checkout, CheckoutOutcome]
Fulfilling = WorkflowHandle[Fulfillment, OrderStatus]
Returning = WorkflowHandle[Return, ReturnStatus]

TOTAL = Money(4497, "USD")
UNITS = 3
A_CANCELLED_ORDER = uuid4()
AUTHORIZED = PaymentAuthorization(answer=Answer.AUTHORIZED, reference="pi_1", amount_minor=TOTAL.minor)
DECLINED = PaymentAuthorization(answer=Answer.DECLINED, reference="pi_1", decline_code="insufficient_funds")
REQUIRES_ACTION = PaymentAuthorization(
    answer=Answer.REQUIRES_ACTION, reference="pi_1", redirect_url="https://bank.example/3ds"
)


WAITING = {
    FulfillmentStatus.PENDING: Waiting.TO_BE_SHIPPED,
    FulfillmentStatus.SHIPPED: Waiting.TO_BE_DELIVERED,
}


class Shop:
    """The world as steps leave it, and every request they were called with.

    A step does what it usually does unless :meth:`when` says otherwise; a test's own behaviour may call ``usually``.
    """

    def __init__(self, environment: WorkflowEnvironment) -> None:
        self.environment = environment
        self.asked: list[tuple[str, Any]] = []
        self.order: OrderStatus | None = None
        self.is_stock_reserved = False
        self.held = 0
        self.captured = 0
        self.refunded = 0
        self.cancelled_units = 0
        self.is_order_held = False
        self.closed: list[UUID] = []
        self.parcels: dict[UUID, tuple[FulfillmentStatus, int]] = {}
        self.authorized_at: datetime | None = None
        """When a card was asked for the money; ``None`` in tests that do not care for how long that lasts."""
        self._since: dict[UUID | None, datetime] = {}
        self._behaviours: dict[str, Callable[[Any], Awaitable[Any]]] = {}

    def when(self, step: Step[Request, Result], behaves: Callable[[Request], Awaitable[Result]]) -> None:
        self._behaviours[step.name] = behaves

    @property
    def steps(self) -> list[str]:
        """The steps in the order they were tried; repetitions of one count once."""
        names = [name for name, _ in self.asked]
        return [name for i, name in enumerate(names) if i == 0 or names[i - 1] != name]

    def requests(self, step: Step[Request, Result]) -> list[Request]:
        return [request for name, request in self.asked if name == step.name]

    @property
    def is_as_it_was(self) -> bool:
        """No goods are reserved, no money is held or kept, and no order is alive."""
        return (
            not self.is_stock_reserved
            and self.held == 0
            and self.captured == self.refunded
            and self.order in (None, OrderStatus.CANCELLED)
        )

    async def _perform(
        self, step: Step[Request, Result], request: Request, usual: Callable[[Request], Awaitable[Result]]
    ) -> Result:
        self.asked.append((step.name, request))
        answer: Result = await self._behaviours.get(step.name, usual)(request)
        return answer

    # --- orders ---------------------------------------------------------------------------------------------------

    @orders.place.performed_by
    async def place(self, request: PlaceOrder) -> Placement:
        return await self._perform(orders.place, request, self.usually_place)

    async def usually_place(self, request: PlaceOrder) -> Placement:
        self.order, self.is_stock_reserved = OrderStatus.PENDING, True
        return Placement(order=PlacedOrder(order_id=request.order_id, total=TOTAL, units=UNITS))

    @orders.await_customer.performed_by
    async def await_customer(self, request: AwaitCustomer) -> OrderState:
        return await self._perform(orders.await_customer, request, self.usually_await_customer)

    async def usually_await_customer(self, request: AwaitCustomer) -> OrderState:
        return self._state(request.order_id, PaymentStatus.REQUIRES_ACTION)

    @orders.await_provider.performed_by
    async def await_provider(self, request: AwaitProvider) -> OrderState:
        return await self._perform(orders.await_provider, request, self.usually_await_provider)

    async def usually_await_provider(self, request: AwaitProvider) -> OrderState:
        return self._state(request.order_id, PaymentStatus.PENDING)

    @orders.await_transfer.performed_by
    async def await_transfer(self, request: AwaitTransfer) -> OrderState:
        return await self._perform(orders.await_transfer, request, self.usually_await_transfer)

    async def usually_await_transfer(self, request: AwaitTransfer) -> OrderState:
        return self._state(request.order_id, PaymentStatus.PENDING)

    @orders.remind_of_transfer.performed_by
    async def remind_of_transfer(self, request: RemindOfTransfer) -> OrderState:
        return await self._perform(orders.remind_of_transfer, request, self.usually_remind_of_transfer)

    async def usually_remind_of_transfer(self, request: RemindOfTransfer) -> OrderState:
        return self._state(request.order_id, PaymentStatus.PENDING)

    @orders.receive_transfer.performed_by
    async def receive_transfer(self, request: TransferReceived) -> OrderState:
        return await self._perform(orders.receive_transfer, request, self.usually_receive_transfer)

    async def usually_receive_transfer(self, request: TransferReceived) -> OrderState:
        self.captured = TOTAL.minor
        return self._state(request.order_id, PaymentStatus.CAPTURED)

    @orders.confirm.performed_by
    async def confirm(self, request: ConfirmOrder) -> OrderState:
        return await self._perform(orders.confirm, request, self.usually_confirm)

    async def usually_confirm(self, request: ConfirmOrder) -> OrderState:
        self.order = OrderStatus.CONFIRMED
        self._since[None] = await self.environment.get_current_time()
        if request.authorization.is_captured:
            self.captured = request.authorization.amount_minor
        return self._state(request.order_id, PaymentStatus.AUTHORIZED)

    @orders.cancel.performed_by
    async def cancel(self, request: CancelOrder) -> OrderState:
        return await self._perform(orders.cancel, request, self.usually_cancel)

    async def usually_cancel(self, request: CancelOrder) -> OrderState:
        if self.order is not None:
            self.order, self.is_stock_reserved = OrderStatus.CANCELLED, False
        return self._state(request.order_id, PaymentStatus.VOIDED)

    @orders.cancel_units.performed_by
    async def cancel_units(self, request: CancelUnits) -> UnitsCancelled:
        return await self._perform(orders.cancel_units, request, self.usually_cancel_units)

    async def usually_cancel_units(self, request: CancelUnits) -> UnitsCancelled:
        units = sum(item.quantity for item in request.items)
        is_everything = units == UNITS and not self.parcels
        if not is_everything:
            self.cancelled_units += units
            self._follow()
        return UnitsCancelled(
            is_everything=is_everything,
            order_status=self.order or OrderStatus.CONFIRMED,
            payment_status=PaymentStatus.AUTHORIZED,
            open_units=self._open_units,
            unpacked=[parcel for parcel, (status, _) in self.parcels.items() if status == FulfillmentStatus.CANCELLED],
            is_complete=self.order in (OrderStatus.SHIPPED, OrderStatus.DELIVERED),
            waits=self._waits(),
        )

    @orders.change_address.performed_by
    async def change_address(self, request: ChangeAddress) -> OrderState:
        return await self._perform(orders.change_address, request, self.usually_change_address)

    async def usually_change_address(self, request: ChangeAddress) -> OrderState:
        return self._state(request.order_id, PaymentStatus.AUTHORIZED)

    @orders.attend.performed_by
    async def attend(self, request: OrderAttention) -> OrderState:
        return await self._perform(orders.attend, request, self.usually_attend)

    async def usually_attend(self, request: OrderAttention) -> OrderState:
        return self._state(request.order_id, PaymentStatus.AUTHORIZED)

    @taxes.ask.performed_by
    async def ask_about_taxes(self, request: AskAboutTaxes) -> TaxesAsked:
        return await self._perform(taxes.ask, request, self.usually_ask_about_taxes)

    async def usually_ask_about_taxes(self, request: AskAboutTaxes) -> TaxesAsked:
        return TaxesAsked(is_answered=True)

    def _state(self, order: UUID, payment: PaymentStatus) -> OrderState:
        return OrderState(order_id=order, status=self.order or OrderStatus.CANCELLED, payment_status=payment)

    # --- payments -------------------------------------------------------------------------------------------------

    @payments.authorize.performed_by
    async def authorize(self, request: AuthorizePayment) -> PaymentAuthorization:
        return await self._perform(payments.authorize, request, self.usually_authorize)

    async def usually_authorize(self, request: AuthorizePayment) -> PaymentAuthorization:
        self.held = request.total.minor
        return AUTHORIZED

    @payments.look_up.performed_by
    async def look_up(self, request: LookUpPayment) -> PaymentAuthorization:
        return await self._perform(payments.look_up, request, self.usually_look_up)

    async def usually_look_up(self, request: LookUpPayment) -> PaymentAuthorization:
        return AUTHORIZED if self.held else REQUIRES_ACTION

    @payments.find.performed_by
    async def find(self, request: LookUpPayment) -> PaymentFound:
        return await self._perform(payments.find, request, self.usually_find)

    async def usually_find(self, request: LookUpPayment) -> PaymentFound:
        return PaymentFound(payment=AUTHORIZED if self.held else None)

    @payments.capture.performed_by
    async def capture(self, request: CapturePayment) -> PaymentCapture:
        return await self._perform(payments.capture, request, self.usually_capture)

    async def usually_capture(self, request: CapturePayment) -> PaymentCapture:
        self.captured += request.amount.minor
        self.held = 0 if request.is_final else self.held - request.amount.minor
        return PaymentCapture(is_captured=True)

    @payments.renew.performed_by
    async def renew(self, request: RenewAuthorization) -> AuthorizationRenewed:
        return await self._perform(payments.renew, request, self.usually_renew)

    async def usually_renew(self, request: RenewAuthorization) -> AuthorizationRenewed:
        self.held = request.total.minor
        if self.authorized_at is not None:
            self.authorized_at = await self.environment.get_current_time()
        return AuthorizationRenewed(waits=self._waits())

    @payments.release.performed_by
    async def release(self, request: ReleasePayment) -> PaymentReleased:
        return await self._perform(payments.release, request, self.usually_release)

    async def usually_release(self, request: ReleasePayment) -> PaymentReleased:
        self.held = 0
        return PaymentReleased(payment_status=PaymentStatus.CAPTURED)

    @payments.inspect.performed_by
    async def inspect(self, request: LookIntoStray) -> StrayFound:
        return await self._perform(payments.inspect, request, self.usually_inspect)

    async def usually_inspect(self, request: LookIntoStray) -> StrayFound:
        is_wanted = self.order in (OrderStatus.PENDING, OrderStatus.CONFIRMED)
        amount = Money(self.held, TOTAL.currency) if self.held else None
        return StrayFound(is_wanted=is_wanted, amount=amount, order_id=A_CANCELLED_ORDER, payment_id=A_CANCELLED_ORDER)

    @orders.note_late_money.performed_by
    async def note_late_money(self, request: NoteLateMoney) -> LateMoneyNoted:
        return await self._perform(orders.note_late_money, request, self.usually_note_late_money)

    async def usually_note_late_money(self, request: NoteLateMoney) -> LateMoneyNoted:
        return LateMoneyNoted(is_news=True)

    @orders.close.performed_by
    async def close(self, request: CloseOrder) -> Closing:
        """At once, in a story of its own, beside what the tests look at."""
        self.closed.append(request.order_id)
        return Closing(closed_at=request.now)

    @payments.give_back.performed_by
    async def give_back(self, request: GiveMoneyBack) -> PaymentGivenBack:
        return await self._perform(payments.give_back, request, self.usually_give_back)

    async def usually_give_back(self, request: GiveMoneyBack) -> PaymentGivenBack:
        was_held, self.held = self.held, 0
        return PaymentGivenBack(how=MoneyBack.VOIDED if was_held else MoneyBack.NOTHING_TAKEN)

    @refunds.pay_back.performed_by
    async def pay_back(self, request: RefundMoney) -> PaymentRefund:
        return await self._perform(refunds.pay_back, request, self.usually_pay_back)

    async def usually_pay_back(self, request: RefundMoney) -> PaymentRefund:
        self.refunded += request.amount.minor
        return PaymentRefund(is_refunded=True, reference="re_1")

    @refunds.call.performed_by
    async def call_for_a_refund(self, request: RefundMoney) -> RefundState:
        return await self._perform(refunds.call, request, self.usually_call_for_a_refund)

    async def usually_call_for_a_refund(self, request: RefundMoney) -> RefundState:
        return RefundState(
            refund_id=request.refund_id, status=RefundStatus.REQUESTED, payment_status=PaymentStatus.CAPTURED
        )

    @refunds.settle.performed_by
    async def settle(self, request: SettleRefund) -> RefundState:
        return await self._perform(refunds.settle, request, self.usually_settle)

    async def usually_settle(self, request: SettleRefund) -> RefundState:
        return RefundState(
            refund_id=request.refund_id,
            status=RefundStatus.SUCCEEDED if request.outcome.is_refunded else RefundStatus.FAILED,
            payment_status=PaymentStatus.REFUNDED if request.outcome.is_refunded else PaymentStatus.CAPTURED,
        )

    # --- returns --------------------------------------------------------------------------------------------------

    @returns.decide.performed_by
    async def decide_return(self, request: DecideReturn) -> ReturnState:
        return await self._perform(returns.decide, request, self.usually_decide_return)

    async def usually_decide_return(self, request: DecideReturn) -> ReturnState:
        return ReturnState(return_id=request.return_id, status=request.decision)

    @returns.receive.performed_by
    async def receive_return(self, request: ReceiveReturn) -> ReturnState:
        return await self._perform(returns.receive, request, self.usually_receive_return)

    async def usually_receive_return(self, request: ReceiveReturn) -> ReturnState:
        return ReturnState(return_id=request.return_id, status=ReturnStatus.RECEIVED)

    @returns.settle.performed_by
    async def settle_return(self, request: SettleReturn) -> ReturnState:
        return await self._perform(returns.settle, request, self.usually_settle_return)

    async def usually_settle_return(self, request: SettleReturn) -> ReturnState:
        return ReturnState(return_id=request.return_id, status=ReturnStatus.REFUNDED)

    # --- parcels --------------------------------------------------------------------------------------------------

    @shipping.plan.performed_by
    async def plan(self, request: PlanShipment) -> PlannedShipment:
        return await self._perform(shipping.plan, request, self.usually_plan)

    async def usually_plan(self, request: PlanShipment) -> PlannedShipment:
        units = self._open_units if request.items is None else sum(item.quantity for item in request.items)
        if not 0 < units <= self._open_units:
            raise ApplicationError("no units", type="units_not_available", non_retryable=True)
        await self._put(request.fulfillment_id, FulfillmentStatus.PENDING, units)
        return PlannedShipment(fulfillment_id=request.fulfillment_id, units=units, waits=self._waits())

    @shipping.charge.performed_by
    async def charge(self, request: ShipParcel) -> ShipmentCharge:
        return await self._perform(shipping.charge, request, self.usually_charge)

    async def usually_charge(self, request: ShipParcel) -> ShipmentCharge:
        status, units = self.parcels[request.fulfillment_id]
        if self.is_order_held:
            raise ApplicationError("held", type="order_held", non_retryable=True)
        return ShipmentCharge(
            amount=Money(TOTAL.minor // UNITS * units, TOTAL.currency),
            is_final=self._open_units == 0,
            is_shipped=status in (FulfillmentStatus.SHIPPED, FulfillmentStatus.DELIVERED),
        )

    @shipping.ship.performed_by
    async def ship(self, request: ShipParcel) -> ShipmentState:
        return await self._perform(shipping.ship, request, self.usually_ship)

    async def usually_ship(self, request: ShipParcel) -> ShipmentState:
        return await self._move(request.fulfillment_id, FulfillmentStatus.SHIPPED)

    @carriers.follow.performed_by
    async def follow_parcel(self, request: FollowParcel) -> ParcelFollowed:
        return await self._perform(carriers.follow, request, self.usually_follow_parcel)

    async def usually_follow_parcel(self, _: FollowParcel) -> ParcelFollowed:
        return ParcelFollowed(outcome=Following.FOLLOWED)

    @carriers.leave.performed_by
    async def leave_parcel(self, request: LeaveParcel) -> ParcelFollowed:
        return await self._perform(carriers.leave, request, self.usually_leave_parcel)

    async def usually_leave_parcel(self, request: LeaveParcel) -> ParcelFollowed:
        return ParcelFollowed(outcome=request.why)

    @shipping.deliver.performed_by
    async def deliver(self, request: MoveParcel) -> ShipmentState:
        return await self._perform(shipping.deliver, request, self.usually_deliver)

    async def usually_deliver(self, request: MoveParcel) -> ShipmentState:
        return await self._move(request.fulfillment_id, FulfillmentStatus.DELIVERED)

    @shipping.give_up.performed_by
    async def give_up(self, request: GiveUpParcel) -> ParcelGivenUp:
        return await self._perform(shipping.give_up, request, self.usually_give_up)

    async def usually_give_up(self, request: GiveUpParcel) -> ParcelGivenUp:
        units = self.parcels[request.fulfillment_id][1]
        if request.remedy is Remedy.RESHIP:
            await self._put(request.replacement_id, FulfillmentStatus.PENDING, units)
            lost = await self._move(request.fulfillment_id, FulfillmentStatus.CANCELLED)
            return ParcelGivenUp(state=lost, refund=None)
        self.order = OrderStatus.CANCELLED
        return ParcelGivenUp(
            state=ShipmentState(
                fulfillment_id=request.fulfillment_id,
                status=FulfillmentStatus.CANCELLED,
                order_status=self.order,
                open_units=0,
            ),
            refund=RefundMoney(
                refund_id=request.refund_id,
                order_id=request.order_id,
                order_number="S-1001",
                payment_id=uuid4(),
                amount=Money(self.captured, TOTAL.currency),
            ),
        )

    @shipping.cancel.performed_by
    async def cancel_parcel(self, request: MoveParcel) -> ShipmentState:
        return await self._perform(shipping.cancel, request, self.usually_cancel_parcel)

    async def usually_cancel_parcel(self, request: MoveParcel) -> ShipmentState:
        return await self._move(request.fulfillment_id, FulfillmentStatus.CANCELLED)

    @shipping.hold.performed_by
    async def hold(self, request: HoldOrder) -> OrderHold:
        return await self._perform(shipping.hold, request, self.usually_hold)

    async def usually_hold(self, _: HoldOrder) -> OrderHold:
        self.is_order_held = True
        return OrderHold(is_held=True, waits=self._waits())

    @shipping.release.performed_by
    async def release_order(self, request: ReleaseOrder) -> OrderHold:
        return await self._perform(shipping.release, request, self.usually_release_order)

    async def usually_release_order(self, _: ReleaseOrder) -> OrderHold:
        self.is_order_held = False
        now = await self.environment.get_current_time()
        here = [None, *(parcel for parcel, (status, _) in self.parcels.items() if status == FulfillmentStatus.PENDING)]
        self._since |= dict.fromkeys(here, now)
        return OrderHold(is_held=False, waits=self._waits())

    @property
    def _open_units(self) -> int:
        packed = sum(units for status, units in self.parcels.values() if status != FulfillmentStatus.CANCELLED)
        return UNITS - self.cancelled_units - packed

    async def _put(self, parcel: UUID, status: FulfillmentStatus, units: int) -> None:
        if self.parcels.get(parcel) == (status, units):
            return
        self.parcels[parcel] = (status, units)
        to_pack = None if status is FulfillmentStatus.CANCELLED else parcel
        self._since[to_pack] = await self.environment.get_current_time()

    def _waits(self) -> list[Wait]:
        """What ``db.deadlines`` would find."""
        waits = []
        if units := self._open_units:
            waits.append(Wait(what=Waiting.TO_BE_PACKED, since=self._since[None], units=units))
        for parcel, (status, units) in self.parcels.items():
            if what := WAITING.get(status):
                waits.append(Wait(what=what, since=self._since[parcel], units=units, fulfillment_id=parcel))
        uncaptured = self._open_units + sum(
            units for status, units in self.parcels.values() if status == FulfillmentStatus.PENDING
        )
        if self.authorized_at is not None and uncaptured:
            waits.append(Wait(what=Waiting.TO_BE_CAPTURED, since=self.authorized_at, units=uncaptured))
        if self.is_order_held:
            waits = [wait for wait in waits if wait.what not in (Waiting.TO_BE_PACKED, Waiting.TO_BE_SHIPPED)]
        return sorted(waits, key=lambda wait: wait.deadline)

    async def _move(self, parcel: UUID, to: FulfillmentStatus) -> ShipmentState:
        await self._put(parcel, to, self.parcels[parcel][1])
        self._follow()
        return ShipmentState(
            fulfillment_id=parcel,
            status=to,
            order_status=self.order or OrderStatus.CONFIRMED,
            open_units=self._open_units,
            waits=self._waits(),
        )

    def _follow(self) -> None:
        moved = [status for status, _ in self.parcels.values() if status != FulfillmentStatus.CANCELLED]
        if self._open_units == 0 and set(moved) == {FulfillmentStatus.DELIVERED}:
            self.order = OrderStatus.DELIVERED
        elif self._open_units == 0 and FulfillmentStatus.PENDING not in moved:
            self.order = OrderStatus.SHIPPED

    # --- stories -------------------------------------------------------------------------------------------------

    async def check_out(self, request: StartCheckout, **options: Any) -> CheckingOut:
        return await self.environment.client.start_workflow(
            Checkout.run, request, id=order_id(request.order_id), task_queue=Queue.CHECKOUT, **options
        )

    async def fulfill(self, request: FulfillOrder) -> Fulfilling:
        self.order, self.is_stock_reserved, self.held = OrderStatus.CONFIRMED, True, request.total.minor
        self._since[None] = request.confirmed_at or await self.environment.get_current_time()
        self.authorized_at = request.authorized_at
        return await self.environment.client.start_workflow(
            Fulfillment.run, request, id=order_id(request.order_id), task_queue=Queue.FULFILLMENT
        )

    async def follow_return(self, request: FollowReturn) -> Returning:
        return await self.environment.client.start_workflow(
            Return.run, request, id=return_id(request.return_id), task_queue=Queue.FULFILLMENT
        )

    def payment_of(self, request: StartCheckout) -> WorkflowHandle[Payment, PaymentAuthorization]:
        return self.environment.client.get_workflow_handle_for(Payment.run, payment_id(request.payment_id))

    def duties(self) -> dict[Queue, tuple[list[type], list[Callable[..., Any]]]]:
        return {
            Queue.CHECKOUT: (
                [Checkout],
                [
                    self.place,
                    self.await_customer,
                    self.await_provider,
                    self.await_transfer,
                    self.remind_of_transfer,
                    self.receive_transfer,
                    self.confirm,
                    self.cancel,
                    self.cancel_units,
                    self.change_address,
                    self.attend,
                    self.close,
                    self.note_late_money,
                    self.ask_about_taxes,
                ],
            ),
            Queue.PAYMENTS: (
                [Payment, Refund, StrayPayment],
                [
                    self.authorize,
                    self.look_up,
                    self.find,
                    self.capture,
                    self.release,
                    self.renew,
                    self.inspect,
                    self.give_back,
                    self.pay_back,
                    self.call_for_a_refund,
                    self.settle,
                ],
            ),
            Queue.FULFILLMENT: (
                [Fulfillment, Return, Aftercare, Tracking],
                [
                    self.plan,
                    self.charge,
                    self.ship,
                    self.follow_parcel,
                    self.leave_parcel,
                    self.deliver,
                    self.give_up,
                    self.cancel_parcel,
                    self.hold,
                    self.release_order,
                    self.decide_return,
                    self.receive_return,
                    self.settle_return,
                ],
            ),
        }


@asynccontextmanager
async def serving(shop: Shop, *queues: Queue) -> AsyncIterator[None]:
    """Workers on these queues; on all of the shop's when none is named."""
    async with AsyncExitStack() as stack:
        for queue, (stories, activities) in shop.duties().items():
            if queues and queue not in queues:
                continue
            worker = Worker(
                shop.environment.client,
                task_queue=queue,
                workflows=stories,
                activities=activities,
                interceptors=[FailureTranslation()],
                workflow_runner=workflow_runner(sandboxed=True),
            )
            await stack.enter_async_context(worker)
        yield


def answering(*answers: Any) -> Callable[[Any], Awaitable[Any]]:
    """A behaviour that gives these answers one after the other, and the last one for ever; exceptions are raised."""
    left = list(answers)

    async def behave(_: Any) -> Any:
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    return behave


def away() -> ApplicationError:
    """What is tried again as long as there is patience."""
    return ApplicationError("the part is away", type="away")


def broken() -> ApplicationError:
    """What is not tried again: patience has ended."""
    return ApplicationError("the part is broken", type="broken", non_retryable=True)


def a_checkout(**otherwise: Any) -> StartCheckout:
    facts: dict[str, Any] = {
        "order_id": uuid4(),
        "order_number": "S-1001",
        "cart_id": uuid4(),
        "payment_id": uuid4(),
        "payment_method": "pm_card_visa",
        "customer": "guest",
    }
    return StartCheckout(**{**facts, **otherwise})


def to_fulfill(**otherwise: Any) -> FulfillOrder:
    order = uuid4()
    facts: dict[str, Any] = {
        "order_id": order,
        "order_number": "S-1001",
        "payment_id": uuid4(),
        "total": TOTAL,
        "units": UNITS,
        "authorize_key": f"order/{order}/authorize/1",
    }
    return FulfillOrder(**{**facts, **otherwise})
