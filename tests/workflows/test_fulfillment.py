"""From a confirmed order to the customer's door, or to its cancellation; and payments that wait for their customer."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid4

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import WorkflowExecutionStatus, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from domain.attention import Concern, Decision
from domain.deadlines import AUTHORIZATION_LASTS, PATIENCE, Waiting
from domain.money import Money
from domain.orders import (
    AskToCancel,
    CancelOrder,
    ChangeAddress,
    CheckoutOutcome,
    CheckoutStatus,
    OrderAttention,
    OrderState,
    OrderStatus,
    Resolve,
)
from domain.payments import (
    AuthorizationRenewed,
    CapturePayment,
    GiveMoneyBack,
    MoneyBack,
    PaymentCapture,
    PaymentReleased,
    PaymentStatus,
    ReleasePayment,
)
from domain.shipping import (
    CancelUnits,
    FulfillmentStatus,
    FulfillOrder,
    GiveUpParcel,
    HoldOrder,
    MoveParcel,
    OrderHold,
    PlannedShipment,
    PlanShipment,
    ReleaseOrder,
    Remedy,
    ShipmentState,
    ShipParcel,
    Undelivered,
    Units,
)
from tests.support.waiting import eventually
from tests.workflows.conftest import engine
from tests.workflows.shop import TOTAL, Fulfilling, Shop, answering, away, broken, serving, to_fulfill
from workflows import names
from workflows.steps import orders, payments, refunds, shipping

Result = TypeVar("Result")

BY_CUSTOMER = AskToCancel(reason="changed my mind", actor="customer:1")
THIRD = Money(TOTAL.minor // 3, "USD")


class Desk:
    """Operators and customers who speak to one running order."""

    def __init__(self, shop: Shop, order: Fulfilling, request: FulfillOrder) -> None:
        self.shop = shop
        self.order = order
        self.request = request

    async def ask(self, update: str, request: Any, answer: type[Result]) -> Result:
        told: Result = await self.order.execute_update(update, request, result_type=answer)
        return told

    async def pack(self, units: int | None = None) -> UUID:
        items = None if units is None else [Units(order_line_id=uuid4(), quantity=units)]
        plan = PlanShipment(order_id=self.request.order_id, fulfillment_id=uuid4(), actor="operator:1", items=items)
        return (await self.ask("plan_shipment", plan, PlannedShipment)).fulfillment_id

    async def ship(self, parcel: UUID) -> ShipmentState:
        request = ShipParcel(
            order_id=self.request.order_id,
            fulfillment_id=parcel,
            carrier="UPS",
            tracking_number="1Z999",
            actor="operator:1",
        )
        return await self.ask("ship", request, ShipmentState)

    async def deliver(self, parcel: UUID) -> ShipmentState:
        return await self.ask("deliver", self._move(parcel), ShipmentState)

    async def unpack(self, parcel: UUID) -> ShipmentState:
        return await self.ask("cancel_shipment", self._move(parcel), ShipmentState)

    async def cancel(self) -> OrderState:
        return await self.ask("cancel", BY_CUSTOMER, OrderState)

    async def send_elsewhere(self) -> OrderState:
        request = ChangeAddress(order_id=self.request.order_id, change_id=uuid4(), actor="customer:1")
        return await self.ask("change_address", request, OrderState)

    async def cancel_units(self, units: int) -> OrderState:
        request = CancelUnits(
            cancellation_id=uuid4(),
            order_id=self.request.order_id,
            actor="customer:1",
            items=[Units(order_line_id=uuid4(), quantity=units)],
        )
        return await self.ask("cancel_units", request, OrderState)

    def gives_up(self, parcel: UUID, remedy: Remedy) -> GiveUpParcel:
        return GiveUpParcel(
            order_id=self.request.order_id,
            fulfillment_id=parcel,
            why=Undelivered.LOST,
            remedy=remedy,
            is_resellable=False,
            replacement_id=uuid4(),
            refund_id=uuid4(),
            actor="operator:1",
        )

    async def hold(self) -> OrderHold:
        request = HoldOrder(order_id=self.request.order_id, actor="operator:1", note_id=uuid4())
        return await self.ask("hold", request, OrderHold)

    async def release(self) -> OrderHold:
        request = ReleaseOrder(order_id=self.request.order_id, actor="operator:1")
        return await self.ask("release", request, OrderHold)

    def _move(self, parcel: UUID) -> MoveParcel:
        return MoveParcel(order_id=self.request.order_id, fulfillment_id=parcel, actor="operator:1")

    @property
    def steps(self) -> list[str]:
        """What was asked of the world."""
        return self.shop.steps


@pytest.fixture
async def desk(shop: Shop) -> Desk:
    request = to_fulfill()
    return Desk(shop, await shop.fulfill(request), request)


async def refusal(asking: Any) -> tuple[str | None, dict[str, Any]]:
    """Code and facts that the one who asked was told."""
    with pytest.raises(WorkflowUpdateFailedError) as failed:
        await asking
    cause: BaseException | None = failed.value.cause
    while cause is not None and not isinstance(cause, ApplicationError):
        cause = cause.__cause__
    assert isinstance(cause, ApplicationError)
    return cause.type, cause.details[0] if cause.details else {}


async def test_one_parcel_goes_from_packed_to_delivered_and_ends_the_story(desk: Desk) -> None:
    parcel = await desk.pack()
    shipped = await desk.ship(parcel)
    delivered = await desk.deliver(parcel)

    assert (shipped.status, shipped.order_status, shipped.open_units) == (
        FulfillmentStatus.SHIPPED,
        OrderStatus.SHIPPED,
        0,
    )
    assert (delivered.status, delivered.order_status) == (FulfillmentStatus.DELIVERED, OrderStatus.DELIVERED)
    assert await desk.order.result() == OrderStatus.DELIVERED
    assert desk.steps == [
        "shipping.plan",
        "shipping.charge",
        "payments.capture",
        "shipping.ship",
        "shipping.deliver",
    ]
    aftercare = desk.shop.environment.client.get_workflow_handle(names.aftercare_id(desk.request.order_id))
    await aftercare.result()
    assert desk.shop.closed == [desk.request.order_id]
    assert desk.shop.requests(payments.capture) == [
        CapturePayment(
            payment_id=desk.request.payment_id,
            amount=TOTAL,
            is_final=True,
            key=f"order/{desk.request.order_id}/capture/{parcel}",
        )
    ]
    assert (desk.shop.captured, desk.shop.held) == (TOTAL.minor, 0)


async def test_parcels_are_captured_one_by_one_and_the_last_one_is_final(desk: Desk) -> None:
    first = await desk.pack(1)
    partly = await desk.ship(first)
    last = await desk.pack()
    wholly = await desk.ship(last)

    assert (partly.order_status, partly.open_units) == (OrderStatus.CONFIRMED, 2)
    assert (wholly.order_status, wholly.open_units) == (OrderStatus.SHIPPED, 0)
    captures = desk.shop.requests(payments.capture)
    assert [(capture.amount, capture.is_final) for capture in captures] == [(THIRD, False), (THIRD * 2, True)]
    assert len({capture.key for capture in captures}) == 2
    assert desk.shop.captured == TOTAL.minor
    await desk.deliver(first)
    assert (await desk.order.describe()).status is WorkflowExecutionStatus.RUNNING
    await desk.deliver(last)
    assert await desk.order.result() == OrderStatus.DELIVERED


async def test_a_parcel_shipped_twice_is_captured_once(desk: Desk) -> None:
    parcel = await desk.pack()

    first, again = await desk.ship(parcel), await desk.ship(parcel)

    assert again == first
    assert len(desk.shop.requests(payments.capture)) == 1


async def test_a_parcel_that_costs_nothing_is_not_captured(shop: Shop) -> None:
    request = to_fulfill(total=Money(0, "USD"))
    desk = Desk(shop, await shop.fulfill(request), request)

    async def free(asked: ShipParcel) -> Any:
        charge = await shop.usually_charge(asked)
        return type(charge)(amount=Money(0, "USD"), is_final=True, is_shipped=False)

    shop.when(shipping.charge, free)
    await desk.ship(await desk.pack())

    assert shop.requests(payments.capture) == []


async def test_unpacked_units_can_be_packed_again(desk: Desk) -> None:
    parcel = await desk.pack()
    unpacked = await desk.unpack(parcel)

    assert (unpacked.status, unpacked.order_status, unpacked.open_units) == (
        FulfillmentStatus.CANCELLED,
        OrderStatus.CONFIRMED,
        3,
    )
    await desk.ship(await desk.pack())
    assert desk.shop.captured == TOTAL.minor


async def test_what_the_database_refuses_is_told_to_whoever_asked(desk: Desk) -> None:
    await desk.pack(3)

    assert (await refusal(desk.pack(1)))[0] == "units_not_available"
    assert len(desk.shop.parcels) == 1


# --- captures that fail -------------------------------------------------------------------------------------------


async def test_a_refused_capture_keeps_the_parcel_here_and_calls_for_a_person(desk: Desk) -> None:
    desk.shop.when(payments.capture, answering(PaymentCapture(is_captured=False, refusal="charge_expired_for_capture")))
    parcel = await desk.pack()

    assert await refusal(desk.ship(parcel)) == ("capture_refused", {"refusal": "charge_expired_for_capture"})

    assert "shipping.ship" not in desk.steps
    assert desk.shop.parcels[parcel][0] is FulfillmentStatus.PENDING
    [attention] = desk.shop.requests(orders.attend)
    assert attention.detail == (f"the provider refuses to capture {TOTAL}: charge_expired_for_capture")
    found = (await desk.order.describe()).typed_search_attributes
    assert found.get(names.NEEDS_ATTENTION) is True


async def test_a_capture_that_works_after_all_lets_the_parcel_go_and_sends_the_person_home(desk: Desk) -> None:
    desk.shop.when(payments.capture, answering(PaymentCapture(is_captured=False, refusal="card_declined")))
    parcel = await desk.pack()
    await refusal(desk.ship(parcel))

    desk.shop.when(payments.capture, desk.shop.usually_capture)
    state = await desk.ship(parcel)

    assert state.status is FulfillmentStatus.SHIPPED
    assert [request.detail is None for request in desk.shop.requests(orders.attend)] == [False, True]
    found = (await desk.order.describe()).typed_search_attributes
    assert found.get(names.NEEDS_ATTENTION) is False


async def test_a_wish_after_a_refusal_is_a_new_wish_with_a_key_of_its_own(desk: Desk) -> None:
    refused = PaymentCapture(is_captured=False, refusal="card_declined")
    desk.shop.when(payments.capture, answering(refused, refused, PaymentCapture(is_captured=True)))
    parcel = await desk.pack()
    await refusal(desk.ship(parcel))
    await refusal(desk.ship(parcel))
    await desk.ship(parcel)

    first = f"order/{desk.request.order_id}/capture/{parcel}"
    assert [capture.key for capture in desk.shop.requests(payments.capture)] == [first, f"{first}/2", f"{first}/3"]


async def resolve(desk: Desk, decision: Decision) -> OrderState:
    return await desk.ask("resolve", Resolve(decision=decision, actor="operator:1"), OrderState)


@pytest.mark.matrix("ship: the provider refuses to capture")
async def test_a_person_who_says_retry_has_the_parcel_captured_and_shipped(desk: Desk) -> None:
    desk.shop.when(payments.capture, answering(PaymentCapture(is_captured=False, refusal="card_declined")))
    parcel = await desk.pack()
    await refusal(desk.ship(parcel))

    desk.shop.when(payments.capture, desk.shop.usually_capture)
    state = await resolve(desk, Decision.RETRY)

    assert (state.status, state.payment_status) == (OrderStatus.SHIPPED, PaymentStatus.CAPTURED)
    assert desk.shop.parcels[parcel][0] is FulfillmentStatus.SHIPPED
    assert [request.detail is None for request in desk.shop.requests(orders.attend)] == [False, True]


async def test_a_person_who_says_cancel_has_the_order_undone(desk: Desk) -> None:
    desk.shop.when(payments.capture, answering(PaymentCapture(is_captured=False, refusal="card_declined")))
    await refusal(desk.ship(await desk.pack()))

    assert (await resolve(desk, Decision.CANCEL)).status is OrderStatus.CANCELLED
    assert desk.shop.is_as_it_was


async def test_decisions_that_nobody_waits_for_are_refused_and_say_which_are_allowed(desk: Desk) -> None:
    assert await refusal(resolve(desk, Decision.RETRY)) == ("nothing_to_resolve", {"allowed": []})

    desk.shop.when(payments.capture, answering(PaymentCapture(is_captured=False, refusal="card_declined")))
    await refusal(desk.ship(await desk.pack()))
    assert await refusal(resolve(desk, Decision.SKIP)) == ("nothing_to_resolve", {"allowed": ["cancel", "retry"]})
    assert desk.shop.captured == 0


@pytest.mark.matrix("checkout: money does not come back")
async def test_money_that_does_not_come_back_for_long_calls_a_person_until_it_does(desk: Desk) -> None:
    tries = 0

    async def down_for_an_hour(request: Any) -> Any:
        nonlocal tries
        tries += 1
        if tries < 20:
            raise away()
        return await desk.shop.usually_give_back(request)

    desk.shop.when(payments.give_back, down_for_an_hour)
    cancelling = asyncio.create_task(desk.cancel())

    async def is_trying() -> bool:
        return tries > 0

    await eventually(is_trying)
    assert await desk.order.result() == OrderStatus.CANCELLED  # time is skipped only while somebody waits for this
    assert (await cancelling).status is OrderStatus.CANCELLED

    assert [(call.concern, call.detail is None) for call in desk.shop.requests(orders.attend)] == [
        (Concern.UNDO_FAILING, False),
        (Concern.UNDO_FAILING, True),
    ]
    assert desk.shop.is_as_it_was


async def test_an_order_whose_capture_was_refused_can_still_be_cancelled(desk: Desk) -> None:
    desk.shop.when(payments.capture, answering(PaymentCapture(is_captured=False, refusal="card_declined")))
    await refusal(desk.ship(await desk.pack()))

    assert (await desk.cancel()).status is OrderStatus.CANCELLED
    assert desk.shop.is_as_it_was


@pytest.mark.matrix("ship: the provider is away")
async def test_a_provider_that_is_away_is_waited_for_with_the_same_key(desk: Desk) -> None:
    desk.shop.when(payments.capture, answering(away(), away(), PaymentCapture(is_captured=True)))
    parcel = await desk.pack()

    await desk.ship(parcel)

    assert len(desk.shop.requests(payments.capture)) == 3
    assert len({capture.key for capture in desk.shop.requests(payments.capture)}) == 1
    assert desk.shop.parcels[parcel][0] is FulfillmentStatus.SHIPPED


# --- cancelling ---------------------------------------------------------------------------------------------------


async def test_cancelling_gives_the_money_and_then_the_goods_back_and_ends_the_story(desk: Desk) -> None:
    await desk.pack()

    state = await desk.cancel()

    assert state.status is OrderStatus.CANCELLED
    assert await desk.order.result() == OrderStatus.CANCELLED
    assert desk.steps == ["shipping.plan", "payments.give_back", "orders.cancel"]
    assert desk.shop.requests(payments.give_back) == [
        GiveMoneyBack(
            payment_id=desk.request.payment_id,
            order_id=desk.request.order_id,
            total=TOTAL,
            authorize_key=desk.request.authorize_key,
        )
    ]
    assert desk.shop.requests(orders.cancel) == [
        CancelOrder(
            order_id=desk.request.order_id, reason="changed my mind", actor="customer:1", money=MoneyBack.VOIDED
        )
    ]
    assert desk.shop.is_as_it_was
    found = (await desk.order.describe()).typed_search_attributes
    assert found.get(names.ORDER_STATUS) == OrderStatus.CANCELLED


@pytest.mark.parametrize("units", [1, 3], ids=["one of three units", "all of it"])
async def test_what_has_been_shipped_is_not_cancelled(desk: Desk, units: int) -> None:
    await desk.ship(await desk.pack(units))

    code, facts = await refusal(desk.cancel())

    assert code == "order_not_cancellable"
    assert facts == (
        {"current_status": "confirmed", "allowed": ["shipped"]}
        if units == 1
        else {"current_status": "shipped", "allowed": ["delivered"]}
    )
    assert "payments.give_back" not in desk.steps
    assert "orders.cancel" not in desk.steps


async def test_the_engines_own_cancel_undoes_the_order_like_any_other(desk: Desk) -> None:
    await desk.order.cancel()

    assert await desk.order.result() == OrderStatus.CANCELLED
    assert desk.steps == ["payments.give_back", "orders.cancel"]
    [cancelled] = desk.shop.requests(orders.cancel)
    assert (cancelled.reason, cancelled.actor) == ("operator", "operator:engine")
    assert desk.shop.is_as_it_was


async def test_the_engines_own_cancel_comes_too_late_for_what_has_been_shipped(desk: Desk) -> None:
    parcel = await desk.pack()
    await desk.ship(parcel)

    await desk.order.cancel()
    await desk.deliver(parcel)

    assert await desk.order.result() == OrderStatus.DELIVERED
    assert "payments.give_back" not in desk.steps


async def test_a_refused_cancel_leaves_no_trace_in_the_history(desk: Desk) -> None:
    await desk.ship(await desk.pack())
    before = len((await desk.order.fetch_history()).events)

    await refusal(desk.cancel())

    events = list((await desk.order.fetch_history()).events)[before:]
    assert [event for event in events if event.HasField("workflow_execution_update_accepted_event_attributes")] == []


async def test_a_cancel_that_waits_behind_a_shipment_is_told_that_it_lost(desk: Desk) -> None:
    may_capture = asyncio.Event()

    async def slowly(request: CapturePayment) -> PaymentCapture:
        await may_capture.wait()
        return await desk.shop.usually_capture(request)

    desk.shop.when(payments.capture, slowly)
    parcel = await desk.pack()
    shipping_it = asyncio.create_task(desk.ship(parcel))
    await eventually(lambda: is_asked(desk, "payments.capture"))
    cancelling = asyncio.create_task(refusal(desk.cancel()))
    may_capture.set()

    assert (await shipping_it).order_status is OrderStatus.SHIPPED
    assert (await cancelling)[0] == "order_not_cancellable"
    assert "payments.give_back" not in desk.steps


async def test_a_shipment_that_waits_behind_a_cancel_is_told_that_it_lost(desk: Desk) -> None:
    may_give_back = asyncio.Event()

    async def slowly(request: GiveMoneyBack) -> Any:
        await may_give_back.wait()
        return await desk.shop.usually_give_back(request)

    desk.shop.when(payments.give_back, slowly)
    parcel = await desk.pack()
    cancelling = asyncio.create_task(desk.cancel())
    await eventually(lambda: is_asked(desk, "payments.give_back"))
    shipping_it = asyncio.create_task(refusal(desk.ship(parcel)))
    await eventually(lambda: is_accepted(desk, "ship"))
    may_give_back.set()

    assert (await cancelling).status is OrderStatus.CANCELLED
    assert await shipping_it == ("order_transition_not_allowed", {"current_status": "cancelled", "allowed": []})
    assert "payments.capture" not in desk.steps
    assert desk.shop.is_as_it_was


async def is_asked(desk: Desk, step: str) -> bool:
    return step in desk.shop.steps


async def is_accepted(desk: Desk, update: str) -> bool:
    events = (await desk.order.fetch_history()).events
    accepted = [event.workflow_execution_update_accepted_event_attributes for event in events]
    return update in [attributes.accepted_request.input.name for attributes in accepted]


async def test_cancelled_twice_at_once_gives_back_once(desk: Desk) -> None:
    outcomes = await asyncio.gather(desk.cancel(), desk.cancel(), return_exceptions=True)

    states = [outcome for outcome in outcomes if isinstance(outcome, OrderState)]
    assert {state.status for state in states} == {OrderStatus.CANCELLED}
    assert await desk.order.result() == OrderStatus.CANCELLED
    assert desk.shop.is_as_it_was
    assert {cancel.money for cancel in desk.shop.requests(orders.cancel)[:1]} == {MoneyBack.VOIDED}


async def test_money_that_was_taken_already_is_refunded(desk: Desk) -> None:
    async def refund(request: GiveMoneyBack) -> Any:
        answer = await desk.shop.usually_give_back(request)
        return type(answer)(how=MoneyBack.REFUNDED)

    desk.shop.when(payments.give_back, refund)

    await desk.cancel()

    assert desk.shop.requests(orders.cancel)[0].money is MoneyBack.REFUNDED


@pytest.mark.matrix("cancel: the provider is away")
async def test_a_refund_is_tried_until_it_works_and_only_then_the_order_is_cancelled(desk: Desk) -> None:
    tries = 0

    async def down_for_a_while(request: GiveMoneyBack) -> Any:
        nonlocal tries
        tries += 1
        if tries < 3:
            assert desk.shop.requests(orders.cancel) == []
            raise away()
        return await desk.shop.usually_give_back(request)

    desk.shop.when(payments.give_back, down_for_a_while)

    assert (await desk.cancel()).status is OrderStatus.CANCELLED
    assert tries == 3
    assert desk.shop.is_as_it_was


# --- cancelling some units ----------------------------------------------------------------------------------------


async def test_units_that_are_cancelled_wait_no_more_and_the_rest_goes_on(desk: Desk) -> None:
    state = await desk.cancel_units(1)

    assert (state.status, state.payment_status) == (OrderStatus.CONFIRMED, "authorized")
    assert desk.steps == ["orders.cancel_units"]
    parcel = await desk.pack()
    await desk.ship(parcel)
    await desk.deliver(parcel)
    assert await desk.order.result() == OrderStatus.DELIVERED
    assert desk.shop.requests(payments.capture)[0].is_final
    assert desk.shop.requests(payments.release) == []


async def test_with_the_last_units_that_are_cancelled_the_rest_of_the_money_is_freed(desk: Desk) -> None:
    parcel = await desk.pack(1)
    await desk.ship(parcel)
    assert desk.shop.held > 0

    state = await desk.cancel_units(2)

    assert (state.status, state.payment_status) == (OrderStatus.SHIPPED, "captured")
    assert (desk.shop.held, desk.shop.captured) == (0, THIRD.minor)
    assert desk.shop.requests(payments.release) == [
        ReleasePayment(
            payment_id=desk.request.payment_id,
            order_id=desk.request.order_id,
            key=f"order/{desk.request.order_id}/release",
        )
    ]
    found = (await desk.order.describe()).typed_search_attributes
    assert found.get(names.ORDER_STATUS) == OrderStatus.SHIPPED
    await desk.deliver(parcel)
    assert await desk.order.result() == OrderStatus.DELIVERED


async def test_money_that_nobody_wants_any_more_is_freed_until_it_is(desk: Desk) -> None:
    await desk.ship(await desk.pack(1))
    desk.shop.when(payments.release, answering(away(), away(), PaymentReleased(payment_status=PaymentStatus.CAPTURED)))

    assert (await desk.cancel_units(2)).payment_status is PaymentStatus.CAPTURED
    assert len({request.key for request in desk.shop.requests(payments.release)}) == 1


async def test_cancelling_every_unit_cancels_the_order(desk: Desk) -> None:
    state = await desk.cancel_units(3)

    assert state.status is OrderStatus.CANCELLED
    assert await desk.order.result() == OrderStatus.CANCELLED
    assert desk.steps == ["orders.cancel_units", "payments.give_back", "orders.cancel"]
    [cancelled] = desk.shop.requests(orders.cancel)
    assert (cancelled.reason, cancelled.actor) == ("customer", "customer:1")
    assert desk.shop.is_as_it_was


async def test_a_parcel_that_is_unpacked_needs_nobody_to_decide_about_its_capture(desk: Desk) -> None:
    desk.shop.when(payments.capture, answering(PaymentCapture(is_captured=False, refusal="expired_card")))
    for give_up in (desk.unpack, lambda _: desk.cancel_units(1)):
        parcel = await desk.pack()
        await refusal(desk.ship(parcel))
        found = (await desk.order.describe()).typed_search_attributes
        assert found.get(names.NEEDS_ATTENTION)

        if give_up != desk.unpack:

            async def unpacks(request: CancelUnits, parcel: UUID = parcel) -> Any:
                desk.shop.parcels[parcel] = (FulfillmentStatus.CANCELLED, desk.shop.parcels[parcel][1])
                return await desk.shop.usually_cancel_units(request)

            desk.shop.when(orders.cancel_units, unpacks)
        await give_up(parcel)

        found = (await desk.order.describe()).typed_search_attributes
        assert not found.get(names.NEEDS_ATTENTION)
        assert desk.shop.requests(orders.attend)[-1].detail is None


async def test_an_order_goes_elsewhere_until_something_was_shipped(desk: Desk) -> None:
    assert (await desk.send_elsewhere()).status is OrderStatus.CONFIRMED
    parcel = await desk.pack(1)
    await desk.send_elsewhere()
    await desk.ship(parcel)

    code, facts = await refusal(desk.send_elsewhere())

    assert (code, facts) == ("address_not_changeable", {"current_status": "confirmed", "allowed": ["shipped"]})
    assert len(desk.shop.requests(orders.change_address)) == 2


async def test_units_of_a_cancelled_order_are_not_cancelled_again(desk: Desk) -> None:
    entered, may_go_on = asyncio.Event(), asyncio.Event()

    async def slow(request: Any) -> Any:
        entered.set()
        await may_go_on.wait()
        return await desk.shop.usually_give_back(request)

    desk.shop.when(payments.give_back, slow)
    cancelling = asyncio.create_task(desk.cancel())
    await entered.wait()
    units = asyncio.create_task(refusal(desk.cancel_units(1)))
    may_go_on.set()

    assert (await cancelling).status is OrderStatus.CANCELLED
    assert await units == ("order_transition_not_allowed", {"current_status": "cancelled", "allowed": []})
    assert desk.shop.requests(orders.cancel_units) == []


async def test_a_last_parcel_that_costs_nothing_frees_what_is_held(desk: Desk) -> None:
    async def free(asked: ShipParcel) -> Any:
        charge = await desk.shop.usually_charge(asked)
        return replace(charge, amount=Money(0, "USD"))

    desk.shop.when(shipping.charge, free)
    await desk.ship(await desk.pack())

    assert (desk.shop.held, desk.shop.captured) == (0, 0)
    assert desk.steps == ["shipping.plan", "shipping.charge", "payments.release", "shipping.ship"]


async def test_each_try_after_a_refused_capture_is_a_wish_of_its_own(desk: Desk) -> None:
    refused = PaymentCapture(is_captured=False, refusal="charge_expired_for_capture")
    desk.shop.when(payments.capture, answering(refused, refused, PaymentCapture(is_captured=True)))
    parcel = await desk.pack()
    for _ in range(2):
        assert (await refusal(desk.ship(parcel)))[0] == "capture_refused"
    await desk.ship(parcel)

    key = f"order/{desk.request.order_id}/capture/{parcel}"
    assert [capture.key for capture in desk.shop.requests(payments.capture)] == [key, f"{key}/2", f"{key}/3"]


# --- parcels that do not arrive -----------------------------------------------------------------------------------


async def test_a_lost_parcel_is_sent_again_and_not_charged_again(desk: Desk) -> None:
    parcel = await desk.pack()
    await desk.ship(parcel)
    request = desk.gives_up(parcel, Remedy.RESHIP)

    given_up = await desk.ask("give_up_parcel", request, ShipmentState)

    assert given_up.status is FulfillmentStatus.CANCELLED
    assert desk.shop.requests(refunds.pay_back) == []

    async def for_nothing(asked: ShipParcel) -> Any:
        return replace(await desk.shop.usually_charge(asked), amount=Money(0, "USD"), is_final=False)

    desk.shop.when(shipping.charge, for_nothing)
    await desk.ship(request.replacement_id)
    await desk.deliver(request.replacement_id)
    assert await desk.order.result() == OrderStatus.DELIVERED
    assert len(desk.shop.requests(payments.capture)) == 1


async def test_a_lost_parcel_is_refunded_by_a_story_of_its_own_and_the_order_does_not_wait_for_it(desk: Desk) -> None:
    parcel = await desk.pack()
    await desk.ship(parcel)
    request = desk.gives_up(parcel, Remedy.REFUND)
    desk.shop.when(refunds.pay_back, answering(away()))

    await desk.ask("give_up_parcel", request, ShipmentState)

    assert await desk.order.result() == OrderStatus.CANCELLED
    refund: Any = desk.shop.environment.client.get_workflow_handle(names.refund_id(request.refund_id))
    assert (await refund.describe()).status is WorkflowExecutionStatus.RUNNING
    desk.shop.when(refunds.pay_back, desk.shop.usually_pay_back)
    assert (await refund.result())["status"] == "succeeded"
    assert desk.shop.refunded == desk.shop.captured == TOTAL.minor
    assert len({wish.key for wish in desk.shop.requests(refunds.pay_back)}) == 1


async def test_a_parcel_given_up_twice_at_once_is_refunded_once(desk: Desk) -> None:
    parcel = await desk.pack()
    await desk.ship(parcel)
    request = desk.gives_up(parcel, Remedy.REFUND)

    await asyncio.gather(*(desk.ask("give_up_parcel", request, ShipmentState) for _ in range(3)))

    await desk.shop.environment.client.get_workflow_handle(names.refund_id(request.refund_id)).result()
    assert desk.shop.refunded == TOTAL.minor


# --- the story itself ---------------------------------------------------------------------------------------------


async def test_an_order_waits_for_its_operator_as_long_as_it_takes(desk: Desk) -> None:
    await desk.shop.environment.sleep(timedelta(days=60))

    assert (await desk.order.describe()).status is WorkflowExecutionStatus.RUNNING
    parcel = await desk.pack()
    await desk.ship(parcel)
    await desk.deliver(parcel)
    assert await desk.order.result() == OrderStatus.DELIVERED


async def test_whoever_asks_late_whether_the_order_was_placed_hears_that_it_was(desk: Desk) -> None:
    answer = await desk.order.execute_update("place", id="place", result_type=CheckoutOutcome)

    assert answer == CheckoutOutcome(status=CheckoutStatus.CONFIRMED)


async def test_a_step_that_is_broken_fails_the_request_and_not_the_order(desk: Desk) -> None:
    desk.shop.when(shipping.plan, answering(broken()))
    assert (await refusal(desk.pack()))[0] == "broken"

    desk.shop.when(shipping.plan, desk.shop.usually_plan)
    parcel = await desk.pack()
    await desk.ship(parcel)
    await desk.deliver(parcel)
    assert await desk.order.result() == OrderStatus.DELIVERED


# --- deadlines ------------------------------------------------------------------------------------------------------


@pytest.fixture
async def watched(shop: Shop) -> Desk:
    """An order that was confirmed three hours before its Fulfillment began."""
    confirmed_at = await shop.environment.get_current_time() - timedelta(hours=3)
    request = to_fulfill(confirmed_at=confirmed_at)
    return Desk(shop, await shop.fulfill(request), request)


async def calls_for_a_person(desk: Desk) -> list[str | None]:
    return [call.detail for call in desk.shop.requests(orders.attend) if call.concern is Concern.LATE_PARCEL]


def in_words(moment: datetime | None) -> str:
    return f"{moment:%d %b %H:%M} UTC"


async def needs_attention(desk: Desk) -> bool | None:
    return (await desk.order.describe()).typed_search_attributes.get(names.NEEDS_ATTENTION)


async def details(desk: Desk) -> str:
    told = await desk.order.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
    return str(told.current_details)


@pytest.mark.matrix("ship: nobody packs the order, or ships what is packed")
async def test_an_order_that_nobody_packs_calls_for_a_person_a_day_after_it_was_confirmed(watched: Desk) -> None:
    since = in_words(watched.request.confirmed_at)

    await watched.shop.environment.sleep(timedelta(hours=20))
    assert await calls_for_a_person(watched) == []
    await watched.shop.environment.sleep(timedelta(hours=2))

    late = f"3 units have waited to be packed since {since}"
    assert await calls_for_a_person(watched) == [late]
    assert late in await details(watched)
    await watched.pack(1)
    assert await calls_for_a_person(watched) == [late, f"2 units have waited to be packed since {since}"]
    await watched.pack()
    assert (await calls_for_a_person(watched))[-1] is None
    assert await needs_attention(watched) is False


@pytest.mark.matrix("ship: nobody packs the order, or ships what is packed")
async def test_a_packed_parcel_that_nobody_ships_calls_for_a_person_a_day_after_it_was_packed(watched: Desk) -> None:
    parcel = await watched.pack()
    packed_at = in_words(await watched.shop.environment.get_current_time())

    await watched.shop.environment.sleep(timedelta(hours=25))

    late = f"parcel {parcel} is packed and has waited to be shipped since {packed_at}"
    assert await calls_for_a_person(watched) == [late]
    await watched.ship(parcel)
    assert await calls_for_a_person(watched) == [late, None]


@pytest.mark.matrix("ship: the parcel does not arrive")
async def test_a_shipped_parcel_that_does_not_arrive_calls_for_a_person_after_five_days(watched: Desk) -> None:
    parcel = await watched.pack()
    await watched.ship(parcel)
    shipped_at = in_words(await watched.shop.environment.get_current_time())

    await watched.shop.environment.sleep(timedelta(days=4, hours=23))
    assert await calls_for_a_person(watched) == []
    await watched.shop.environment.sleep(timedelta(hours=2))

    late = f"parcel {parcel} has been on its way since {shipped_at} and was not delivered"
    assert await calls_for_a_person(watched) == [late]
    await watched.deliver(parcel)
    assert await calls_for_a_person(watched) == [late, None]
    assert await watched.order.result() == OrderStatus.DELIVERED


async def test_of_several_parcels_the_one_that_is_due_first_is_noticed_first(watched: Desk) -> None:
    first = await watched.pack(1)
    await watched.ship(first)
    second = await watched.pack()
    await watched.shop.environment.sleep(timedelta(hours=25))

    [late] = await calls_for_a_person(watched)
    assert late is not None
    assert f"parcel {second}" in late
    await watched.shop.environment.sleep(timedelta(days=5))
    [_, both] = await calls_for_a_person(watched)
    assert both is not None
    assert all(str(parcel) in both for parcel in (first, second))


async def test_an_order_that_goes_on_in_time_calls_for_nobody_and_sets_one_timer(watched: Desk) -> None:
    parcel = await watched.pack()
    await watched.ship(parcel)
    await watched.deliver(parcel)

    assert await watched.order.result() == OrderStatus.DELIVERED
    assert await calls_for_a_person(watched) == []
    kinds = [EventType.Name(event.event_type) for event in (await watched.order.fetch_history()).events]
    assert [kind for kind in kinds if "TIMER" in kind] == ["EVENT_TYPE_TIMER_STARTED"]


@pytest.mark.matrix("ship: the order is held")
async def test_of_a_held_order_nothing_leaves_and_nobody_is_called_for_what_waits(watched: Desk) -> None:
    parcel = await watched.pack()
    assert (await watched.hold()).is_held

    assert (await refusal(watched.ship(parcel)))[0] == "order_held"
    assert "is held, and waits for an operator to release it" in await details(watched)
    await watched.shop.environment.sleep(timedelta(days=3))
    assert await calls_for_a_person(watched) == []
    assert watched.shop.requests(payments.capture) == []

    await watched.release()
    since = in_words(await watched.shop.environment.get_current_time())
    await watched.shop.environment.sleep(timedelta(hours=25))
    late = f"parcel {parcel} is packed and has waited to be shipped since {since}"
    assert await calls_for_a_person(watched) == [late]
    await watched.ship(parcel)
    assert await calls_for_a_person(watched) == [late, None]
    assert (await refusal(watched.hold()))[0] == "order_transition_not_allowed"


async def test_a_late_order_that_is_held_needs_nobody_until_it_is_released_and_can_be_cancelled(watched: Desk) -> None:
    await watched.shop.environment.sleep(timedelta(hours=25))
    assert len(await calls_for_a_person(watched)) == 1

    await watched.hold()

    assert (await calls_for_a_person(watched))[-1] is None
    await watched.cancel()
    assert await watched.order.result() == OrderStatus.CANCELLED


async def test_a_late_order_that_is_cancelled_needs_nobody_any_more(watched: Desk) -> None:
    await watched.shop.environment.sleep(timedelta(hours=25))
    assert len(await calls_for_a_person(watched)) == 1

    await watched.cancel()

    assert (await calls_for_a_person(watched))[-1] is None
    assert await watched.order.result() == OrderStatus.CANCELLED


async def about_to_be_late(shop: Shop) -> Desk:
    now = await shop.environment.get_current_time()
    request = to_fulfill(confirmed_at=now - PATIENCE[Waiting.TO_BE_PACKED] + timedelta(seconds=0.5))
    return Desk(shop, await shop.fulfill(request), request)


async def test_what_was_done_while_the_shop_was_told_that_it_is_late_is_taken_back_afterwards(real_shop: Shop) -> None:
    may_be_told = asyncio.Event()

    async def told_slowly(request: OrderAttention) -> OrderState:
        await may_be_told.wait()
        return await real_shop.usually_attend(request)

    real_shop.when(orders.attend, told_slowly)
    desk = await about_to_be_late(real_shop)
    await eventually(lambda: calls_for_a_person(desk))
    packing = asyncio.create_task(desk.pack())
    await eventually(lambda: asyncio.sleep(0, real_shop.parcels))
    may_be_told.set()
    await packing

    assert [detail is None for detail in await calls_for_a_person(desk)] == [False, True]
    assert await needs_attention(desk) is False


# --- authorisations that lapse --------------------------------------------------------------------------------------

LAPSED = PaymentCapture(is_captured=False, refusal="payment_intent_unexpected_state", has_lapsed=True)


@pytest.fixture
async def held(shop: Shop) -> Desk:
    """An order whose card was asked for the money just now."""
    now = await shop.environment.get_current_time()
    request = to_fulfill(confirmed_at=now, authorized_at=now)
    return Desk(shop, await shop.fulfill(request), request)


async def warnings(desk: Desk) -> list[str | None]:
    return [call.detail for call in desk.shop.requests(orders.attend) if call.concern is Concern.AUTHORIZATION_EXPIRING]


async def test_money_that_is_about_to_lapse_calls_for_a_person_a_day_before(held: Desk) -> None:
    since = held.request.authorized_at
    assert since is not None
    await held.pack()

    await held.shop.environment.sleep(timedelta(days=5, hours=23))
    assert await warnings(held) == []
    await held.shop.environment.sleep(timedelta(hours=2))

    [told] = await warnings(held)
    until = in_words(since + AUTHORIZATION_LASTS)
    assert (
        told
        == f"the card's money has been held since {in_words(since)} and can be captured until {until}; 3 units wait"
    )
    assert told in await details(held)


async def test_nobody_is_needed_any_more_once_all_of_it_is_captured(held: Desk) -> None:
    await held.ship(await held.pack(1))
    await held.shop.environment.sleep(timedelta(days=6, hours=1))
    last = await held.pack()
    await held.ship(last)

    [told, taken_back] = await warnings(held)
    assert told is not None
    assert told.endswith("2 units wait")
    assert taken_back is None


async def test_nobody_is_needed_any_more_once_the_order_is_cancelled(held: Desk) -> None:
    await held.shop.environment.sleep(timedelta(days=6, hours=1))
    await held.cancel()

    assert [told is None for told in await warnings(held)] == [False, True]
    assert held.shop.is_as_it_was


async def test_an_order_in_time_sets_one_timer_although_its_money_could_lapse(held: Desk) -> None:
    parcel = await held.pack()
    await held.ship(parcel)
    await held.deliver(parcel)

    assert await held.order.result() == OrderStatus.DELIVERED
    assert held.shop.requests(orders.attend) == []
    kinds = [EventType.Name(event.event_type) for event in (await held.order.fetch_history()).events]
    assert [kind for kind in kinds if "TIMER" in kind] == ["EVENT_TYPE_TIMER_STARTED"]


@pytest.mark.matrix("ship: the authorisation has lapsed")
async def test_a_retry_authorises_anew_what_has_lapsed_then_captures_and_ships(held: Desk) -> None:
    held.shop.when(payments.capture, answering(LAPSED))
    parcel = await held.pack()
    await held.shop.environment.sleep(timedelta(days=7))
    await refusal(held.ship(parcel))
    held.shop.when(payments.capture, held.shop.usually_capture)
    held.shop.held = 0

    state = await resolve(held, Decision.RETRY)

    assert (state.status, state.payment_status) == (OrderStatus.SHIPPED, PaymentStatus.CAPTURED)
    [renewal] = held.shop.requests(payments.renew)
    assert (renewal.key, renewal.total) == (f"order/{held.request.order_id}/authorize/2", TOTAL)
    assert (held.shop.captured, held.shop.held) == (TOTAL.minor, 0)
    assert [told is None for told in await warnings(held)] == [False, True]
    assert await needs_attention(held) is False


@pytest.mark.matrix("ship: the authorisation has lapsed")
async def test_a_refused_renewal_is_told_and_the_next_one_is_a_new_wish(held: Desk) -> None:
    held.shop.when(payments.capture, answering(LAPSED))
    parcel = await held.pack()
    await refusal(held.ship(parcel))
    held.shop.when(payments.renew, answering(AuthorizationRenewed(refusal="insufficient_funds")))

    told = await refusal(resolve(held, Decision.RETRY))

    assert told == ("capture_refused", {"refusal": "insufficient_funds"})
    assert held.shop.parcels[parcel][0] is FulfillmentStatus.PENDING
    assert "insufficient_funds" in await details(held)
    held.shop.when(payments.renew, held.shop.usually_renew)
    held.shop.when(payments.capture, held.shop.usually_capture)
    assert (await resolve(held, Decision.RETRY)).status is OrderStatus.SHIPPED
    order = f"order/{held.request.order_id}"
    assert [wish.key for wish in held.shop.requests(payments.renew)] == [f"{order}/authorize/2", f"{order}/authorize/3"]
    assert held.shop.captured == TOTAL.minor


async def test_a_refusal_that_is_no_lapse_authorises_nothing_anew(held: Desk) -> None:
    held.shop.when(payments.capture, answering(PaymentCapture(is_captured=False, refusal="card_declined")))
    await refusal(held.ship(await held.pack()))

    await refusal(resolve(held, Decision.RETRY))

    assert held.shop.requests(payments.renew) == []


# --- long lives -----------------------------------------------------------------------------------------------------


@pytest.fixture
async def forgetful_shop() -> AsyncIterator[Shop]:
    """Its engine wants a new run after thirty events."""
    async with engine("--dynamic-config-value", "limit.historyCount.suggestContinueAsNew=30") as environment:
        shop = Shop(environment)
        async with serving(shop):
            yield shop


async def test_a_long_life_goes_on_in_new_runs_and_remembers_everything(forgetful_shop: Shop) -> None:
    confirmed_at = await forgetful_shop.environment.get_current_time() - timedelta(hours=30)
    request = to_fulfill(confirmed_at=confirmed_at)
    desk = Desk(forgetful_shop, await forgetful_shop.fulfill(request), request)
    forgetful_shop.when(payments.capture, answering(PaymentCapture(is_captured=False, refusal="card_declined")))
    parcel = await desk.pack(1)
    assert (await refusal(desk.ship(parcel)))[0] == "capture_refused"
    runs = {await run_of(desk)}

    for _ in range(10):
        await asyncio.gather(*(pack_and_unpack(desk) for _ in range(2)))
        runs.add(await run_of(desk))

    assert len(runs) > 2
    assert len(forgetful_shop.requests(shipping.cancel)) == 20
    told = await details(desk)
    assert "waits for an operator to pack 2 of 3 units" in told
    assert "card_declined" in told
    assert await needs_attention(desk) is True

    forgetful_shop.when(payments.capture, forgetful_shop.usually_capture)
    await desk.ship(parcel)
    assert forgetful_shop.requests(payments.capture)[-1].key.endswith(f"/capture/{parcel}/2")
    assert await needs_attention(desk) is False
    assert (await refusal(desk.cancel()))[0] == "order_not_cancellable"
    last = await desk.pack()
    await desk.ship(last)
    for each in (parcel, last):
        await desk.deliver(each)
    assert await desk.order.result() == OrderStatus.DELIVERED


async def run_of(desk: Desk) -> str | None:
    return (await desk.order.describe()).run_id


async def pack_and_unpack(desk: Desk) -> None:
    parcel = await repeated(lambda: desk.pack(1))
    await repeated(lambda: desk.unpack(parcel))


async def repeated(ask: Callable[[], Awaitable[Result]]) -> Result:
    """The engine turns away, unheard, what is asked in the very moment in which a run ends: then ask again."""
    while True:
        try:
            return await ask()
        except RPCError as error:
            if error.status is not RPCStatusCode.FAILED_PRECONDITION:
                raise
