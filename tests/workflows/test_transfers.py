"""An order that waits for its bank transfer: a person's word and the deadline have one outcome, whichever is first."""

import asyncio
from datetime import UTC, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from temporalio.client import WorkflowFailureError, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from domain.attention import Concern, Decision
from domain.orders import (
    AskToCancel,
    CancelOrder,
    CancelReason,
    CheckoutOutcome,
    CheckoutStatus,
    ConfirmOrder,
    OrderState,
    OrderStatus,
    Resolve,
    StartCheckout,
)
from domain.payments import (
    Answer,
    MoneyBack,
    PaymentAuthorization,
    PaymentGivenBack,
    PaymentStatus,
    TransferReceived,
)
from domain.refunds import PaidByHand, PaymentRefund, RefundMoney, RefundState, RefundStatus, SettleRefund
from domain.shipping import MoveParcel, PlannedShipment, PlanShipment, ShipmentState, ShipParcel
from tests.support.waiting import eventually
from tests.workflows.conftest import engine
from tests.workflows.shop import TOTAL, CheckingOut, Shop, a_checkout, answering, serving, to_fulfill
from tests.workflows.test_checkout import CONFIRMED, MUST_ACT, cancel, ended, goes_on_as_fulfillment, place, took_of
from workflows import names
from workflows.names import Queue
from workflows.refund import Refund
from workflows.steps import orders, payments, refunds

WEEK = timedelta(days=7)
EXPECTED = PaymentAuthorization(answer=Answer.EXPECTED, reference=None)
RECEIVED = PaymentAuthorization(answer=Answer.AUTHORIZED, reference=None, amount_minor=TOTAL.minor, is_captured=True)
EXPIRED = PaymentAuthorization(answer=Answer.DECLINED, reference=None, decline_code="expired")
ASKED = ["orders.place", "payments.authorize", "orders.await_transfer"]
NOTE = uuid4()


@pytest.fixture(autouse=True)
def takes_transfers(shop: Shop) -> None:
    by_transfer(shop)


def by_transfer(shop: Shop) -> None:
    shop.when(payments.authorize, answering(EXPECTED))
    shop.when(payments.give_back, answering(PaymentGivenBack(how=MoneyBack.BY_HAND)))


def by_hand(*, window: timedelta = WEEK) -> StartCheckout:
    return a_checkout(payment_method="manual", transfer_window=window)


async def waiting(shop: Shop, request: StartCheckout) -> CheckingOut:
    """A checkout whose customer has been asked for a bank transfer."""
    checkout = await shop.check_out(request)
    assert await place(checkout) == MUST_ACT
    return checkout


async def receive(order: WorkflowHandle[Any, Any], order_id: UUID) -> CheckoutOutcome:
    word = TransferReceived(order_id=order_id, actor="operator:1", note_id=NOTE)
    told: CheckoutOutcome = await order.execute_update("payment_received", word, result_type=CheckoutOutcome)
    return told


async def refusal_of(asking: Any) -> ApplicationError:
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await asking
    assert isinstance(refused.value.cause, ApplicationError)
    return refused.value.cause


def cancelled(shop: Shop) -> CancelOrder:
    [request] = shop.requests(orders.cancel)
    return request


# --- the word and the deadline ----------------------------------------------------------------------------------------


async def test_a_persons_word_confirms_the_order_with_the_money_as_ours(shop: Shop) -> None:
    request = by_hand()
    checkout = await waiting(shop, request)
    found = (await checkout.describe()).typed_search_attributes
    assert (found.get(names.ORDER_STATUS), found.get(names.PAYMENT_STATUS)) == ("pending", "pending")

    assert await receive(checkout, request.order_id) == CONFIRMED

    fulfilling = await goes_on_as_fulfillment(shop, checkout)
    assert fulfilling.transfer_due_at is None
    assert shop.steps == [*ASKED, "orders.confirm"]
    assert shop.requests(orders.confirm) == [
        ConfirmOrder(
            order_id=request.order_id,
            payment_id=request.payment_id,
            authorization=RECEIVED,
            actor="operator:1",
            note_id=NOTE,
        )
    ]
    found = (await shop.environment.client.get_workflow_handle(checkout.id).describe()).typed_search_attributes
    assert (found.get(names.ORDER_STATUS), found.get(names.PAYMENT_STATUS)) == ("confirmed", "captured")


async def test_an_order_nobody_pays_is_undone_by_a_timer_that_rings_at_its_deadline(shop: Shop) -> None:
    request = by_hand()
    checkout = await shop.check_out(request)

    outcome = await ended(checkout)

    assert outcome.refused is not None
    assert (outcome.refused.code, outcome.refused.facts) == ("payment_declined", {"decline_code": "expired"})
    assert shop.steps == [*ASKED, "orders.remind_of_transfer", "orders.cancel"]
    assert len(shop.requests(orders.remind_of_transfer)) == 1
    assert cancelled(shop) == CancelOrder(
        order_id=request.order_id, reason=CancelReason.PAYMENT_EXPIRED, actor="system", declined=EXPIRED
    )
    assert shop.is_as_it_was
    [asked] = shop.requests(orders.await_transfer)
    rang = [
        event.event_time.ToDatetime(UTC)
        for event in (await checkout.fetch_history()).events
        if event.HasField("timer_fired_event_attributes")
    ]
    assert len(rang) == 2
    assert timedelta(0) <= rang[1] - asked.due_at < timedelta(seconds=1)


@pytest.mark.matrix("checkout: a bank transfer does not come")
async def test_the_customer_is_reminded_half_way_and_only_once(shop: Shop) -> None:
    request = by_hand()
    checkout = await waiting(shop, request)

    await shop.environment.sleep(WEEK / 2 - timedelta(minutes=1))
    assert "orders.remind_of_transfer" not in shop.steps
    await shop.environment.sleep(timedelta(minutes=2))
    await eventually(lambda: reminded(shop))
    await shop.environment.sleep(timedelta(days=3))
    assert await receive(checkout, request.order_id) == CONFIRMED

    assert len(shop.requests(orders.remind_of_transfer)) == 1


async def reminded(shop: Shop) -> bool:
    return "orders.remind_of_transfer" in shop.steps


async def test_a_word_in_the_last_minute_confirms_the_order(shop: Shop) -> None:
    request = by_hand()
    checkout = await waiting(shop, request)
    await shop.environment.sleep(WEEK - timedelta(minutes=1))

    assert await receive(checkout, request.order_id) == CONFIRMED

    await goes_on_as_fulfillment(shop, checkout)
    assert shop.order is OrderStatus.CONFIRMED
    assert "orders.cancel" not in shop.steps


async def test_a_word_after_the_deadline_is_refused_and_the_order_stays_cancelled(shop: Shop) -> None:
    is_told = asyncio.Event()

    async def slowly(request: CancelOrder) -> OrderState:
        await is_told.wait()
        return await shop.usually_cancel(request)

    shop.when(orders.cancel, slowly)
    request = by_hand()
    checkout = await waiting(shop, request)
    await shop.environment.sleep(WEEK)
    await eventually(lambda: asked_to_cancel(shop))

    refused = await refusal_of(receive(checkout, request.order_id))

    assert (refused.type, refused.details) == ("order_transition_not_allowed", ({"current_status": "pending"},))
    is_told.set()
    assert (await ended(checkout)).status is CheckoutStatus.REFUSED
    assert shop.steps == [*ASKED, "orders.remind_of_transfer", "orders.cancel"]
    assert shop.is_as_it_was


async def asked_to_cancel(shop: Shop) -> bool:
    return "orders.cancel" in shop.steps


async def test_a_deadline_that_passes_while_the_order_is_being_confirmed_changes_nothing(shop: Shop) -> None:
    is_late = asyncio.Event()

    async def slowly(request: ConfirmOrder) -> OrderState:
        await is_late.wait()
        return await shop.usually_confirm(request)

    shop.when(orders.confirm, slowly)
    request = by_hand()
    checkout = await waiting(shop, request)
    await shop.environment.sleep(WEEK - timedelta(seconds=1))
    told = asyncio.ensure_future(receive(checkout, request.order_id))
    await eventually(lambda: being_confirmed(shop))
    is_late.set()

    assert await told == CONFIRMED
    await goes_on_as_fulfillment(shop, checkout)
    assert await took_of(shop, checkout) > WEEK
    assert "orders.cancel" not in shop.steps


async def being_confirmed(shop: Shop) -> bool:
    return "orders.confirm" in shop.steps


async def test_a_word_and_a_deadline_that_a_worker_hears_of_at_once_have_one_outcome() -> None:
    async with engine() as environment:
        shop, request = Shop(environment), by_hand(window=timedelta(seconds=4))
        by_transfer(shop)
        async with serving(shop):
            checkout = await waiting(shop, request)
            await eventually(lambda: reminded(shop))
        # Nobody works: the deadline passes, and the word waits with it.
        told = asyncio.ensure_future(receive(checkout, request.order_id))
        await eventually(lambda: both_times_are_over(checkout))
        async with serving(shop):
            try:
                outcome: CheckoutOutcome | None = await told
            except WorkflowUpdateFailedError:
                outcome = None
            if outcome == CONFIRMED:
                assert (shop.order, shop.captured) == (OrderStatus.CONFIRMED, TOTAL.minor)
                assert "orders.cancel" not in shop.steps
            else:
                await ended(checkout)
                assert shop.is_as_it_was
                assert "orders.confirm" not in shop.steps


async def both_times_are_over(checkout: CheckingOut) -> bool:
    """Half of the window, and the other half."""
    events = (await checkout.fetch_history()).events
    return sum(event.HasField("timer_fired_event_attributes") for event in events) == 2


async def test_the_word_of_two_people_is_one_confirmation(shop: Shop) -> None:
    request = by_hand()
    checkout = await waiting(shop, request)

    told = await asyncio.gather(*(receive(checkout, request.order_id) for _ in range(5)))

    assert told == [CONFIRMED] * 5
    await goes_on_as_fulfillment(shop, checkout)
    assert len(shop.requests(orders.confirm)) == 1
    successor = shop.environment.client.get_workflow_handle(checkout.id)
    assert await receive(successor, request.order_id) == CONFIRMED
    assert "orders.receive_transfer" not in shop.steps


# --- cancelling -------------------------------------------------------------------------------------------------------


async def test_a_customer_who_cancels_instead_of_paying_is_undone_at_once(shop: Shop) -> None:
    request = by_hand()
    checkout = await waiting(shop, request)

    outcome = await cancel(checkout)

    assert outcome.refused is not None
    assert outcome.refused.code == "checkout_cancelled"
    await ended(checkout)
    assert shop.steps == [*ASKED, "orders.cancel"]
    assert (cancelled(shop).reason, cancelled(shop).actor) == (CancelReason.CUSTOMER, "customer:1")
    assert shop.is_as_it_was


async def test_a_cancel_that_comes_behind_the_word_is_for_the_fulfillment(shop: Shop) -> None:
    may_confirm = asyncio.Event()

    async def slowly(request: ConfirmOrder) -> OrderState:
        await may_confirm.wait()
        return await shop.usually_confirm(request)

    shop.when(orders.confirm, slowly)
    request = by_hand()
    checkout = await shop.check_out(request, task_timeout=timedelta(seconds=1))
    assert await place(checkout) == MUST_ACT
    told = asyncio.ensure_future(receive(checkout, request.order_id))
    await eventually(lambda: being_confirmed(shop))
    asked = asyncio.ensure_future(cancel(checkout))
    may_confirm.set()

    assert await told == CONFIRMED
    assert (await refusal_of(asked)).type == "checkout_over"
    assert "orders.cancel" not in shop.steps


async def test_an_engine_that_cancels_the_wait_undoes_the_order(shop: Shop) -> None:
    checkout = await waiting(shop, by_hand())

    await checkout.cancel()
    with pytest.raises(WorkflowFailureError):
        await ended(checkout)

    assert shop.steps == [*ASKED, "payments.give_back", "orders.cancel"]
    assert shop.is_as_it_was


async def test_money_of_a_cancelled_paid_order_goes_back_by_a_story_of_its_own(shop: Shop) -> None:
    request = to_fulfill()
    refund = RefundMoney(
        refund_id=uuid4(),
        order_id=request.order_id,
        order_number="S-1001",
        payment_id=request.payment_id,
        amount=TOTAL,
        is_by_hand=True,
    )
    owed = OrderState(
        order_id=request.order_id,
        status=OrderStatus.CANCELLED,
        payment_status=PaymentStatus.CAPTURED,
        refund=refund,
    )
    shop.when(orders.cancel, answering(owed))
    order = await shop.fulfill(request)

    wish = AskToCancel(reason=CancelReason.CUSTOMER, actor="customer:1")
    await order.execute_update("cancel", wish, result_type=OrderState)

    assert cancelled(shop).money is MoneyBack.BY_HAND
    sending = shop.environment.client.get_workflow_handle(names.refund_id(refund.refund_id), result_type=RefundState)
    called: RefundState = await sending.execute_update("settled", result_type=RefundState)
    assert called.status is RefundStatus.REQUESTED
    assert (await sending.describe()).typed_search_attributes.get(names.NEEDS_ATTENTION) is True
    word = PaidByHand(refund_id=refund.refund_id, order_id=refund.order_id, actor="operator:1", note_id=NOTE)
    paid: RefundState = await sending.execute_update("paid", word, result_type=RefundState)
    assert paid.status is RefundStatus.SUCCEEDED
    assert await sending.result() == paid
    assert await order.result() == OrderStatus.CANCELLED
    assert shop.requests(refunds.settle) == [
        SettleRefund(
            refund_id=refund.refund_id,
            order_id=refund.order_id,
            outcome=PaymentRefund(is_refunded=True),
            actor="operator:1",
            note_id=NOTE,
        )
    ]
    assert "refunds.pay_back" not in shop.steps


async def test_a_refund_that_the_provider_sends_is_not_noted_by_hand(shop: Shop) -> None:
    refund = RefundMoney(refund_id=uuid4(), order_id=uuid4(), order_number="S-1001", payment_id=uuid4(), amount=TOTAL)
    may_pay = asyncio.Event()

    async def slowly(request: RefundMoney) -> PaymentRefund:
        await may_pay.wait()
        return await shop.usually_pay_back(request)

    shop.when(refunds.pay_back, slowly)
    sending = await shop.environment.client.start_workflow(
        Refund.run, refund, id=names.refund_id(refund.refund_id), task_queue=Queue.PAYMENTS
    )
    word = PaidByHand(refund_id=refund.refund_id, order_id=refund.order_id, actor="operator:1", note_id=NOTE)

    refused = await refusal_of(sending.execute_update("paid", word, result_type=RefundState))

    assert refused.type == "refund_transition_not_allowed"
    may_pay.set()
    assert (await sending.result()).status is RefundStatus.SUCCEEDED
    assert shop.requests(refunds.settle)[0].note_id is None


# --- without the money ------------------------------------------------------------------------------------------------


async def test_goods_that_a_person_lets_go_leave_and_the_order_waits_for_its_money(shop: Shop) -> None:
    request = by_hand()
    checkout = await waiting(shop, request)
    [asked] = shop.requests(orders.await_transfer)
    waiver = Resolve(decision=Decision.SKIP, actor="operator:1", note_id=NOTE)

    state = await checkout.execute_update("resolve", waiver, result_type=OrderState)

    assert (state.status, state.payment_status) == (OrderStatus.CONFIRMED, PaymentStatus.PENDING)
    assert shop.requests(orders.confirm)[0].authorization == EXPECTED
    fulfilling = await goes_on_as_fulfillment(shop, checkout)
    assert fulfilling.transfer_due_at == asked.due_at
    order = shop.environment.client.get_workflow_handle(checkout.id, result_type=OrderStatus)
    packed = await order.execute_update(
        "plan_shipment",
        PlanShipment(order_id=request.order_id, fulfillment_id=uuid4(), actor="operator:1"),
        result_type=PlannedShipment,
    )
    parcel = packed.fulfillment_id
    label = ShipParcel(
        order_id=request.order_id, fulfillment_id=parcel, carrier="UPS", tracking_number="1Z", actor="operator:1"
    )
    await order.execute_update("ship", label, result_type=ShipmentState)
    move = MoveParcel(order_id=request.order_id, fulfillment_id=parcel, actor="operator:1")
    await order.execute_update("deliver", move, result_type=ShipmentState)

    await shop.environment.sleep(WEEK)
    await eventually(lambda: is_called_for(shop))
    [overdue] = shop.requests(orders.attend)
    assert overdue.concern is Concern.PAYMENT_OVERDUE
    assert overdue.detail == f"the bank transfer of USD 44.97 was due on {asked.due_at:%d %B}, and has not come"

    assert await receive(order, request.order_id) == CONFIRMED

    assert await order.result() == OrderStatus.DELIVERED
    assert shop.steps[-2:] == ["orders.receive_transfer", "orders.attend"]
    assert shop.requests(orders.attend)[-1].detail is None


async def is_called_for(shop: Shop) -> bool:
    return "orders.attend" in shop.steps


async def test_nothing_but_a_persons_word_lets_an_unpaid_order_go_on(shop: Shop) -> None:
    request = by_hand()
    checkout = await waiting(shop, request)

    plan = PlanShipment(order_id=request.order_id, fulfillment_id=uuid4(), actor="operator:1")
    assert (await refusal_of(checkout.execute_update("plan_shipment", plan))).type == "checkout_over"
    retry = Resolve(decision=Decision.RETRY, actor="operator:1")
    refused = await refusal_of(checkout.execute_update("resolve", retry))

    assert (refused.type, refused.details) == ("nothing_to_resolve", ({"allowed": ["cancel", "skip"]},))
    await ended(checkout)
    assert "orders.confirm" not in shop.steps
    assert shop.is_as_it_was
