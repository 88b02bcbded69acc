"""From a cart to a paid order, or back to where it began: every way a checkout can go."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import (
    WithStartWorkflowOperation,
    WorkflowContinuedAsNewError,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowUpdateFailedError,
    WorkflowUpdateHandle,
    WorkflowUpdateStage,
)
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError, CancelledError

from api.stories import Stories
from domain.attention import Concern, Decision
from domain.errors import Refusal
from domain.money import Money
from domain.orders import (
    AskToCancel,
    AwaitCustomer,
    CancelOrder,
    CancelReason,
    CheckoutOutcome,
    CheckoutStatus,
    ConfirmOrder,
    OrderAttention,
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
    GiveMoneyBack,
    MoneyBack,
    PaymentAuthorization,
    PaymentGivenBack,
    PaymentStatus,
)
from domain.shipping import FulfillOrder, PlannedShipment, PlanShipment
from domain.taxes import AskAboutTaxes
from runtime.temporal import DATA_CONVERTER
from tests.support.waiting import eventually
from tests.workflows.shop import (
    A_CANCELLED_ORDER,
    AUTHORIZED,
    DECLINED,
    REQUIRES_ACTION,
    TOTAL,
    UNITS,
    CheckingOut,
    Shop,
    a_checkout,
    answering,
    away,
    broken,
    serving,
)
from workflows import names
from workflows.checkout import LONGEST_REST, Checkout
from workflows.names import Queue
from workflows.payment import Payment
from workflows.steps import orders, payments, taxes

CONFIRMED = CheckoutOutcome(status=CheckoutStatus.CONFIRMED)
MUST_ACT = CheckoutOutcome(status=CheckoutStatus.REQUIRES_ACTION)
CANCELLED_BY_CUSTOMER = AskToCancel(reason=CancelReason.CUSTOMER, actor="customer:1")

PLACED_AND_ASKED_TO_ACT = ["orders.place", "payments.authorize", "orders.await_customer", "payments.look_up"]
UNDONE = ["payments.give_back", "orders.cancel"]


async def place(checkout: CheckingOut) -> CheckoutOutcome:
    """What the customer is answered."""
    outcome: CheckoutOutcome = await checkout.execute_update("place", id="place", result_type=CheckoutOutcome)
    return outcome


async def cancel(checkout: CheckingOut) -> CheckoutOutcome:
    """What the customer who cancels is answered."""
    outcome: CheckoutOutcome = await checkout.execute_update(
        "cancel", CANCELLED_BY_CUSTOMER, result_type=CheckoutOutcome
    )
    return outcome


async def cancel_is_heard(checkout: CheckingOut) -> WorkflowUpdateHandle[Any]:
    """The same without waiting for the answer."""
    return await checkout.start_update(
        "cancel",
        CANCELLED_BY_CUSTOMER,
        wait_for_stage=WorkflowUpdateStage.ACCEPTED,
        result_type=CheckoutOutcome,
    )


async def ended(checkout: CheckingOut) -> CheckoutOutcome:
    """How the checkout ends, with time skipped as long as nothing happens."""
    return await checkout.result(follow_runs=False)


async def goes_on_as_fulfillment(shop: Shop, checkout: CheckingOut) -> FulfillOrder:
    """What the order's Fulfillment begins with."""
    with pytest.raises(WorkflowContinuedAsNewError):
        await ended(checkout)
    successor = shop.environment.client.get_workflow_handle(checkout.id)
    begun = await successor.describe()
    assert (begun.workflow_type, begun.task_queue) == ("Fulfillment", Queue.FULFILLMENT)
    first = (await successor.fetch_history()).events[0].workflow_execution_started_event_attributes
    [request] = await DATA_CONVERTER.decode(first.input.payloads, [FulfillOrder])
    assert isinstance(request, FulfillOrder)
    return request


def cancellation(shop: Shop) -> CancelOrder:
    [cancelled] = shop.requests(orders.cancel)
    return cancelled


async def waiting_for_its_customer(shop: Shop, request: StartCheckout) -> CheckingOut:
    shop.when(payments.authorize, answering(REQUIRES_ACTION))
    checkout = await shop.check_out(request)
    assert await place(checkout) == MUST_ACT
    await eventually(lambda: asked_for(shop, "payments.look_up"))
    return checkout


async def asked_for(shop: Shop, step: str) -> bool:
    return step in shop.steps


async def has_cancelled(checkout: CheckingOut, step: str) -> bool:
    events, scheduled = await events_of(checkout, step)
    return any(
        event.activity_task_cancel_requested_event_attributes.scheduled_event_id == scheduled for event in events
    )


async def has_ended(checkout: CheckingOut, step: str) -> bool:
    events, scheduled = await events_of(checkout, step)
    return any(event.activity_task_completed_event_attributes.scheduled_event_id == scheduled for event in events)


async def events_of(checkout: CheckingOut, step: str) -> tuple[Sequence[HistoryEvent], int]:
    """All events, and the one by which the step was begun."""
    events = (await checkout.fetch_history()).events
    [scheduled] = [
        event.event_id
        for event in events
        if event.HasField("activity_task_scheduled_event_attributes")
        and event.activity_task_scheduled_event_attributes.activity_type.name == step
    ]
    return events, scheduled


async def test_a_good_card_makes_an_order_that_goes_on_as_its_fulfillment(shop: Shop) -> None:
    request = a_checkout(expected_total_minor=TOTAL.minor)
    checkout = await shop.check_out(request)

    assert await place(checkout) == CONFIRMED
    handed_over = await goes_on_as_fulfillment(shop, checkout)

    assert shop.steps == ["orders.place", "payments.authorize", "orders.confirm"]
    key = f"order/{request.order_id}/authorize/1"
    assert shop.requests(orders.place) == [
        PlaceOrder(
            order_id=request.order_id,
            order_number="S-1001",
            cart_id=request.cart_id,
            payment_id=request.payment_id,
            expected_total_minor=TOTAL.minor,
            hold_seconds=35 * 60,
        )
    ]
    assert shop.requests(payments.authorize) == [
        AuthorizePayment(
            payment_id=request.payment_id,
            order_id=request.order_id,
            order_number="S-1001",
            method="pm_card_visa",
            total=TOTAL,
            key=key,
        )
    ]
    assert shop.requests(orders.confirm) == [
        ConfirmOrder(order_id=request.order_id, payment_id=request.payment_id, authorization=AUTHORIZED)
    ]
    assert handed_over.confirmed_at is not None  # the rest is part of the time to pack
    assert await shop.environment.get_current_time() - handed_over.confirmed_at >= LONGEST_REST
    assert handed_over.authorized_at is not None
    assert handed_over.authorized_at <= handed_over.confirmed_at
    assert replace(handed_over, confirmed_at=None, authorized_at=None) == FulfillOrder(
        order_id=request.order_id,
        order_number="S-1001",
        payment_id=request.payment_id,
        total=TOTAL,
        units=UNITS,
        authorize_key=key,
    )
    assert (shop.order, shop.held, shop.is_stock_reserved) == (OrderStatus.CONFIRMED, TOTAL.minor, True)


PLACED = Placement(order=PlacedOrder(order_id=A_CANCELLED_ORDER, total=TOTAL, units=UNITS))
ASKS = Placement(asks_for_taxes=True)


async def test_the_tax_provider_is_asked_between_two_tries_to_place_and_again_when_the_cart_has_changed(
    shop: Shop,
) -> None:
    shop.when(orders.place, answering(ASKS, ASKS, PLACED))
    request = a_checkout()

    assert await place(await shop.check_out(request)) == CONFIRMED

    assert [name for name, _ in shop.asked][:5] == ["orders.place", "taxes.ask"] * 2 + ["orders.place"]
    assert shop.requests(taxes.ask) == [AskAboutTaxes(cart_id=request.cart_id)] * 2
    assert [wish.is_tax_provider_silent for wish in shop.requests(orders.place)] == [False] * 3


async def test_a_tax_provider_that_is_silent_is_asked_for_a_while_and_then_the_placing_is_told(shop: Shop) -> None:
    unavailable = Refused(code="tax_unavailable", detail="not now")
    shop.when(orders.place, answering(ASKS, Placement(refused=unavailable)))
    shop.when(taxes.ask, answering(away()))

    outcome = await place(await shop.check_out(a_checkout()))

    assert outcome == CheckoutOutcome(status=CheckoutStatus.REFUSED, refused=unavailable)
    assert shop.steps == ["orders.place", "taxes.ask", "orders.place"]
    assert len(shop.requests(taxes.ask)) > 1
    assert [wish.is_tax_provider_silent for wish in shop.requests(orders.place)] == [False, True]
    assert shop.is_as_it_was


async def test_a_cart_that_never_stays_the_same_is_not_asked_about_for_ever(shop: Shop) -> None:
    async def never_the_same(request: PlaceOrder) -> Placement:
        return await shop.usually_place(request) if request.is_tax_provider_silent else ASKS

    shop.when(orders.place, never_the_same)

    assert await place(await shop.check_out(a_checkout())) == CONFIRMED
    assert len(shop.requests(taxes.ask)) == 3


async def test_operators_find_a_confirmed_order_by_all_its_search_attributes(shop: Shop) -> None:
    request = a_checkout(customer="0192-some-customer")
    checkout = await shop.check_out(request)
    await place(checkout)
    await goes_on_as_fulfillment(shop, checkout)

    described = await shop.environment.client.get_workflow_handle(checkout.id).describe()

    found = {pair.key.name: pair.value for pair in described.typed_search_attributes}
    assert found == {
        "OrderId": str(request.order_id),
        "OrderNumber": "S-1001",
        "CustomerId": "0192-some-customer",
        "OrderStatus": "confirmed",
        "PaymentStatus": "authorized",
        "NeedsAttention": False,
    }


async def test_a_refused_placement_asks_nothing_of_anybody_else(shop: Shop) -> None:
    shortage = Refused(
        code="out_of_stock", detail="Not enough.", facts={"items": [{"sku": "A", "requested": 2, "available": 1}]}
    )
    shop.when(orders.place, answering(Placement(refused=shortage)))
    checkout = await shop.check_out(a_checkout())

    refused = CheckoutOutcome(status=CheckoutStatus.REFUSED, refused=shortage)
    assert await place(checkout) == refused
    assert await ended(checkout) == refused

    assert shop.steps == ["orders.place"]
    assert shop.is_as_it_was


@pytest.mark.matrix("checkout: the card is declined")
async def test_a_declined_card_gives_the_money_and_then_the_stock_back(shop: Shop) -> None:
    shop.when(payments.authorize, answering(DECLINED))
    request = a_checkout()
    checkout = await shop.check_out(request)

    outcome = await place(checkout)

    assert outcome == CheckoutOutcome(
        status=CheckoutStatus.REFUSED,
        refused=Refused(
            code="payment_declined",
            detail="The payment was declined; nothing was charged and nothing is reserved.",
            facts={"decline_code": "insufficient_funds"},
        ),
    )
    assert await ended(checkout) == outcome
    assert shop.steps == ["orders.place", "payments.authorize", *UNDONE]
    assert shop.requests(payments.give_back) == [
        GiveMoneyBack(
            payment_id=request.payment_id,
            order_id=request.order_id,
            total=TOTAL,
            authorize_key=f"order/{request.order_id}/authorize/1",
            reference="pi_1",
        )
    ]
    assert cancellation(shop) == CancelOrder(
        order_id=request.order_id,
        reason=CancelReason.PAYMENT_DECLINED,
        actor="system",
        money=MoneyBack.NOTHING_TAKEN,
        declined=DECLINED,
    )
    assert shop.is_as_it_was


async def test_the_customer_of_a_declined_card_is_answered_only_after_all_is_undone(shop: Shop) -> None:
    shop.when(payments.authorize, answering(DECLINED))
    checkout = await shop.check_out(a_checkout())

    await place(checkout)

    assert shop.steps[-1] == "orders.cancel"
    assert shop.is_as_it_was


@pytest.mark.parametrize("held", [TOTAL.minor - 1, TOTAL.minor + 1])
async def test_another_amount_than_the_total_is_given_back_and_a_person_has_to_see_it(shop: Shop, held: int) -> None:
    wrong = PaymentAuthorization(answer=Answer.AUTHORIZED, reference="pi_1", amount_minor=held)
    shop.when(payments.authorize, answering(wrong))
    shop.held = held
    checkout = await shop.check_out(a_checkout())

    outcome = await place(checkout)

    assert outcome.refused is not None
    assert outcome.refused.code == "payment_mismatch"
    cancelled = cancellation(shop)
    assert (cancelled.reason, cancelled.money) == (CancelReason.PAYMENT_MISMATCH, MoneyBack.VOIDED)
    assert shop.is_as_it_was
    await eventually(lambda: asked_for(shop, "orders.attend"))
    assert shop.steps == ["orders.place", "payments.authorize", *UNDONE, "orders.attend"]
    why = f"the provider held {Money(held, 'USD')} instead of {TOTAL}; it was given back"
    seen = Resolve(decision=Decision.SKIP, actor="operator:1")
    state = await checkout.execute_update("resolve", seen, result_type=OrderState)
    assert state.status is OrderStatus.CANCELLED
    assert await ended(checkout) == outcome
    assert [(call.concern, call.detail) for call in shop.requests(orders.attend)] == [
        (Concern.PAYMENT_MISMATCH, why),
        (Concern.PAYMENT_MISMATCH, None),
    ]


async def test_operators_see_that_a_declined_order_was_cancelled(shop: Shop) -> None:
    shop.when(payments.authorize, answering(DECLINED))
    checkout = await shop.check_out(a_checkout())
    await place(checkout)
    await ended(checkout)

    found = (await checkout.describe()).typed_search_attributes
    assert found.get(names.ORDER_STATUS) == OrderStatus.CANCELLED
    assert found.get(names.PAYMENT_STATUS) == PaymentStatus.FAILED


async def took_of(shop: Shop, checkout: CheckingOut) -> timedelta:
    """How long the checkout itself took, without its Fulfillment."""
    first_run = shop.environment.client.get_workflow_handle(checkout.id, run_id=checkout.first_execution_run_id)
    run = await first_run.describe()
    assert run.close_time is not None
    return run.close_time - run.start_time


@pytest.mark.matrix("checkout: the provider fails for less than two minutes")
async def test_a_provider_that_comes_back_in_time_confirms_the_order_with_the_same_key(shop: Shop) -> None:
    shop.when(payments.authorize, answering(away(), away(), away(), AUTHORIZED))
    shop.held = TOTAL.minor
    checkout = await shop.check_out(a_checkout())

    await goes_on_as_fulfillment(shop, checkout)

    assert [step for step in shop.steps if step in UNDONE] == []
    assert len(shop.requests(payments.authorize)) == 4
    assert len({wish.key for wish in shop.requests(payments.authorize)}) == 1


@pytest.mark.matrix("checkout: goods cannot be given back")
async def test_goods_that_cannot_be_given_back_at_first_are_tried_until_they_are(shop: Shop) -> None:
    tries = 0

    async def down_for_an_hour(request: CancelOrder) -> Any:
        nonlocal tries
        tries += 1
        if tries < 20:
            raise away()
        return await shop.usually_cancel(request)

    shop.when(payments.authorize, answering(DECLINED))
    shop.when(orders.cancel, down_for_an_hour)
    checkout = await shop.check_out(a_checkout())

    outcome = await ended(checkout)

    assert outcome.refused is not None
    assert outcome.refused.code == "payment_declined"
    assert (tries, shop.order, shop.is_stock_reserved) == (20, OrderStatus.CANCELLED, False)


@pytest.mark.matrix("checkout: money does not come back")
async def test_money_that_cannot_be_given_back_at_first_is_tried_until_it_is(shop: Shop) -> None:
    tries = 0

    async def down_for_an_hour(request: GiveMoneyBack) -> Any:
        nonlocal tries
        tries += 1
        if tries < 20:
            raise away()
        return await shop.usually_give_back(request)

    shop.when(payments.authorize, answering(DECLINED))
    shop.when(payments.give_back, down_for_an_hour)
    shop.held = TOTAL.minor
    checkout = await shop.check_out(a_checkout())

    outcome = await ended(checkout)

    assert outcome.refused is not None
    assert outcome.refused.code == "payment_declined"
    assert tries == 20
    called = ["payments.give_back", "orders.attend", "payments.give_back", "orders.attend", "orders.cancel"]
    assert shop.steps == ["orders.place", "payments.authorize", *called]
    assert [(call.concern, call.detail) for call in shop.requests(orders.attend)] == [
        (Concern.UNDO_FAILING, "giving the money back has not worked for 5 minutes; it is tried on"),
        (Concern.UNDO_FAILING, None),
    ]
    assert shop.is_as_it_was


async def test_money_that_is_back_while_a_person_is_being_called_leaves_the_undoing_going_on(shop: Shop) -> None:
    is_called = asyncio.Event()
    times = 0

    async def until_a_person_is_called(request: GiveMoneyBack) -> Any:
        if not is_called.is_set():
            raise away()
        return await shop.usually_give_back(request)

    async def down_at_first(request: OrderAttention) -> Any:
        nonlocal times
        times += 1
        is_called.set()
        if times < 20:
            raise away()
        return await shop.usually_attend(request)

    shop.when(payments.authorize, answering(DECLINED))
    shop.when(payments.give_back, until_a_person_is_called)
    shop.when(orders.attend, down_at_first)
    shop.held = TOTAL.minor
    checkout = await shop.check_out(a_checkout())

    outcome = await ended(checkout)

    assert outcome.refused is not None
    assert outcome.refused.code == "payment_declined"
    assert [call.detail is None for call in shop.requests(orders.attend)] == [False] * 20 + [True]
    assert shop.is_as_it_was


# --- the customer has to act --------------------------------------------------------------------------------------


async def test_a_customer_who_must_act_is_told_early_and_pays_later(shop: Shop) -> None:
    request = a_checkout()
    checkout = await waiting_for_its_customer(shop, request)

    waiting = await checkout.describe()
    assert waiting.status is WorkflowExecutionStatus.RUNNING
    assert waiting.typed_search_attributes.get(names.ORDER_STATUS) == OrderStatus.PENDING
    assert waiting.typed_search_attributes.get(names.PAYMENT_STATUS) == PaymentStatus.REQUIRES_ACTION
    shop.held = TOTAL.minor
    await shop.payment_of(request).signal(Payment.provider_event, "evt_1")
    await goes_on_as_fulfillment(shop, checkout)

    assert shop.steps == [*PLACED_AND_ASKED_TO_ACT, "orders.confirm"]
    assert shop.requests(orders.await_customer) == [
        AwaitCustomer(order_id=request.order_id, payment_id=request.payment_id, authorization=REQUIRES_ACTION)
    ]
    assert shop.requests(orders.confirm)[0].authorization == AUTHORIZED
    assert LONGEST_REST <= await took_of(shop, checkout) < LONGEST_REST + timedelta(minutes=1)


@pytest.mark.matrix("checkout: webhooks come twice, late, early or for nothing")
async def test_hints_that_come_twice_too_early_or_for_nothing_only_make_us_ask(shop: Shop) -> None:
    request = a_checkout()
    checkout = await waiting_for_its_customer(shop, request)
    payment = shop.payment_of(request)

    for event in ("evt_created", "evt_requires_action", "evt_requires_action"):
        before = len(shop.requests(payments.look_up))
        await payment.signal(Payment.provider_event, event)
        await eventually(lambda before=before: more_look_ups_than(shop, before))  # type: ignore[misc]
    assert "orders.confirm" not in shop.steps
    shop.held = TOTAL.minor
    await payment.signal(Payment.provider_event, "evt_paid")
    await payment.signal(Payment.provider_event, "evt_paid")
    await goes_on_as_fulfillment(shop, checkout)

    assert len(shop.requests(orders.confirm)) == 1
    assert "payments.give_back" not in shop.steps


async def more_look_ups_than(shop: Shop, count: int) -> bool:
    return len(shop.requests(payments.look_up)) > count


async def test_a_payment_that_was_approved_before_its_workflow_began_needs_no_hint(shop: Shop) -> None:
    async def approved_at_once(wish: AuthorizePayment) -> PaymentAuthorization:
        await shop.usually_authorize(wish)  # by the time we look, the bank has its customer's word
        return REQUIRES_ACTION

    shop.when(payments.authorize, approved_at_once)
    checkout = await shop.check_out(a_checkout())

    await goes_on_as_fulfillment(shop, checkout)

    assert shop.order is OrderStatus.CONFIRMED
    assert len(shop.requests(payments.look_up)) == 1
    assert LONGEST_REST <= await took_of(shop, checkout) < LONGEST_REST + timedelta(minutes=1)


@pytest.mark.matrix("checkout: the bank wants to see its customer, who never comes")
async def test_a_customer_who_never_comes_back_loses_the_goods_after_half_an_hour(shop: Shop) -> None:
    shop.when(payments.authorize, answering(REQUIRES_ACTION))
    request = a_checkout()
    checkout = await shop.check_out(request)

    outcome = await ended(checkout)

    assert outcome.refused is not None
    assert (outcome.refused.code, outcome.refused.facts) == ("payment_declined", {"decline_code": "expired"})
    assert shop.steps == [*PLACED_AND_ASKED_TO_ACT, *UNDONE]
    cancelled = cancellation(shop)
    assert (cancelled.reason, cancelled.actor) == (CancelReason.PAYMENT_EXPIRED, "system")
    assert shop.is_as_it_was
    took = await took_of(shop, checkout)
    assert timedelta(minutes=30) <= took < timedelta(minutes=31)


async def test_a_customer_who_pays_in_the_last_moment_without_a_hint_gets_the_order(shop: Shop) -> None:
    shop.when(payments.look_up, answering(REQUIRES_ACTION, AUTHORIZED))
    shop.when(payments.authorize, answering(REQUIRES_ACTION))
    checkout = await shop.check_out(a_checkout())

    await goes_on_as_fulfillment(shop, checkout)

    assert shop.order is OrderStatus.CONFIRMED
    took = await took_of(shop, checkout) - LONGEST_REST
    assert timedelta(minutes=30) <= took < timedelta(minutes=31)


async def test_a_bank_that_declines_after_all_undoes_the_order(shop: Shop) -> None:
    request = a_checkout()
    checkout = await waiting_for_its_customer(shop, request)

    shop.when(payments.look_up, answering(DECLINED))
    await shop.payment_of(request).signal(Payment.provider_event, "evt_failed")
    outcome = await ended(checkout)

    assert outcome.refused is not None
    assert outcome.refused.facts == {"decline_code": "insufficient_funds"}
    assert cancellation(shop).reason == CancelReason.PAYMENT_DECLINED
    assert shop.steps == [*PLACED_AND_ASKED_TO_ACT, *UNDONE]
    assert shop.is_as_it_was


# --- cancelling ---------------------------------------------------------------------------------------------------


async def test_a_customer_who_waits_at_the_bank_may_cancel(shop: Shop) -> None:
    checkout = await waiting_for_its_customer(shop, a_checkout())

    outcome = await cancel(checkout)

    assert outcome.refused is not None
    assert (outcome.status, outcome.refused.code) == (CheckoutStatus.REFUSED, "checkout_cancelled")
    assert await ended(checkout) == outcome
    assert shop.steps == [*PLACED_AND_ASKED_TO_ACT, *UNDONE]
    cancelled = cancellation(shop)
    assert (cancelled.reason, cancelled.actor) == (CancelReason.CUSTOMER, "customer:1")
    assert shop.is_as_it_was


async def test_a_payment_that_arrives_with_the_cancel_is_given_back(shop: Shop) -> None:
    checkout = await waiting_for_its_customer(shop, a_checkout())

    shop.held = TOTAL.minor
    outcome = await cancel(checkout)

    assert outcome.refused is not None
    assert outcome.refused.code == "checkout_cancelled"
    await ended(checkout)
    assert "orders.confirm" not in shop.steps
    assert cancellation(shop).money is MoneyBack.VOIDED
    assert shop.is_as_it_was


async def test_whoever_cancels_twice_is_answered_the_same(shop: Shop) -> None:
    checkout = await waiting_for_its_customer(shop, a_checkout())
    asking = [cancel(checkout) for _ in range(2)]

    first, second = await asyncio.gather(*asking)

    assert first == second
    await ended(checkout)
    assert len(shop.requests(orders.cancel)) == 1


@pytest.mark.matrix("checkout: its customer cancels before it is confirmed")
async def test_a_cancel_during_the_card_call_waits_for_its_outcome_and_takes_it_back(shop: Shop) -> None:
    answered = asyncio.Event()

    async def slowly(wish: AuthorizePayment) -> PaymentAuthorization:
        await answered.wait()
        return await shop.usually_authorize(wish)

    shop.when(payments.authorize, slowly)
    checkout = await shop.check_out(a_checkout())
    await eventually(lambda: asked_for(shop, "payments.authorize"))
    asked = await cancel_is_heard(checkout)

    assert shop.steps == ["orders.place", "payments.authorize"]
    answered.set()
    outcome = await asked.result()

    assert outcome.refused is not None
    assert outcome.refused.code == "checkout_cancelled"
    assert await ended(checkout) == outcome
    assert shop.steps == ["orders.place", "payments.authorize", *UNDONE]
    assert cancellation(shop).money is MoneyBack.VOIDED
    assert shop.is_as_it_was


async def test_a_cancel_that_arrives_while_the_order_is_being_confirmed_is_sent_on_to_the_fulfillment(
    shop: Shop,
) -> None:
    is_heard = asyncio.Event()

    async def slowly(request: ConfirmOrder) -> OrderState:
        await is_heard.wait()
        return await shop.usually_confirm(request)

    shop.when(orders.confirm, slowly)
    # The engine tells a workflow news in the middle of a local step only when its task would time out otherwise.
    checkout = await shop.check_out(a_checkout(), task_timeout=timedelta(seconds=1))
    await eventually(lambda: asked_for(shop, "orders.confirm"))
    asked = await cancel_is_heard(checkout)
    is_heard.set()

    with pytest.raises(WorkflowUpdateFailedError) as told:
        await asked.result()

    assert isinstance(told.value.cause, ApplicationError)
    assert told.value.cause.type == "checkout_over"
    await goes_on_as_fulfillment(shop, checkout)
    assert shop.order is OrderStatus.CONFIRMED
    assert [step for step in shop.steps if step in UNDONE] == []
    successor = shop.environment.client.get_workflow_handle(checkout.id)
    state = await successor.execute_update("cancel", CANCELLED_BY_CUSTOMER, result_type=OrderState)
    assert state.status is OrderStatus.CANCELLED
    assert await successor.result() == OrderStatus.CANCELLED
    assert cancellation(shop).actor == "customer:1"
    assert shop.is_as_it_was


async def test_a_cancel_that_crosses_the_hand_over_is_heard_by_one_chapter_or_the_other(shop: Shop) -> None:
    checkout = await shop.check_out(a_checkout())
    await eventually(lambda: asked_for(shop, "orders.confirm"))
    order = shop.environment.client.get_workflow_handle(checkout.id)

    async def heard() -> bool:
        try:
            await order.execute_update("cancel", CANCELLED_BY_CUSTOMER, result_type=dict)
        except WorkflowUpdateFailedError:  # the checkout says that it is over; its Fulfillment comes next
            await order.signal(Checkout.hand_over)
            return False
        return True

    await eventually(heard)
    await order.result()
    assert [step for step in shop.steps if step in UNDONE] == UNDONE
    assert cancellation(shop).actor == "customer:1"
    assert shop.is_as_it_was


async def test_a_workflow_that_an_operator_cancels_at_the_bank_is_undone_and_closes_as_cancelled(shop: Shop) -> None:
    checkout = await waiting_for_its_customer(shop, a_checkout())

    await checkout.cancel()
    with pytest.raises(WorkflowFailureError) as failed:
        await ended(checkout)

    assert isinstance(failed.value.cause, CancelledError)
    assert shop.steps == [*PLACED_AND_ASKED_TO_ACT, *UNDONE]
    assert shop.is_as_it_was


def check_undone_for_an_operator(shop: Shop, outcome: CheckoutOutcome) -> None:
    """The card had been charged, and whoever waited has heard why that came to nothing."""
    assert outcome.refused is not None
    assert outcome.refused.code == "checkout_cancelled"
    assert shop.steps == ["orders.place", "payments.authorize", *UNDONE]
    cancelled = cancellation(shop)
    assert (cancelled.reason, cancelled.actor) == (CancelReason.OPERATOR, "operator:engine")
    assert cancelled.money is MoneyBack.VOIDED
    assert shop.is_as_it_was


async def test_a_workflow_that_an_operator_cancels_during_the_card_call_is_undone(real_shop: Shop) -> None:
    shop, answered = real_shop, asyncio.Event()

    async def slowly(wish: AuthorizePayment) -> PaymentAuthorization:
        await answered.wait()
        return await shop.usually_authorize(wish)

    shop.when(payments.authorize, slowly)
    checkout = await shop.check_out(a_checkout())
    await eventually(lambda: asked_for(shop, "payments.authorize"))
    await checkout.cancel()
    await eventually(lambda: has_cancelled(checkout, "payments.authorize"))
    answered.set()

    outcome = await ended(checkout)

    check_undone_for_an_operator(shop, outcome)


async def test_whoever_waits_is_answered_when_an_operator_cancels_in_the_moment_in_which_the_card_is_charged(
    shop_without_checkouts: Shop,
) -> None:
    """The SDK throws away what a step says in the moment in which it is told to stop; the money goes back anyhow."""
    shop, is_cancelled = shop_without_checkouts, asyncio.Event()

    async def slowly(wish: AuthorizePayment) -> PaymentAuthorization:
        await is_cancelled.wait()
        return await shop.usually_authorize(wish)

    shop.when(payments.authorize, slowly)
    async with serving(shop, Queue.CHECKOUT):
        checkout = await shop.check_out(a_checkout())
        waiting = await checkout.start_update(
            "place", wait_for_stage=WorkflowUpdateStage.ACCEPTED, result_type=CheckoutOutcome
        )
        await eventually(lambda: asked_for(shop, "payments.authorize"))
    await checkout.cancel()
    is_cancelled.set()
    await eventually(lambda: has_ended(checkout, "payments.authorize"))
    async with serving(shop, Queue.CHECKOUT):
        with pytest.raises(WorkflowFailureError) as failed:
            await ended(checkout)
        outcome = await waiting.result()

    assert isinstance(failed.value.cause, CancelledError)
    check_undone_for_an_operator(shop, outcome)
    found = (await checkout.describe()).typed_search_attributes
    assert found.get(names.ORDER_STATUS) == OrderStatus.CANCELLED


async def test_a_second_cancel_from_outside_does_not_stop_the_undoing(shop: Shop) -> None:
    is_cancelled_again = asyncio.Event()

    async def slowly(request: GiveMoneyBack) -> PaymentGivenBack:
        await is_cancelled_again.wait()
        return await shop.usually_give_back(request)

    shop.when(payments.give_back, slowly)
    checkout = await waiting_for_its_customer(shop, a_checkout())
    await checkout.cancel()
    await eventually(lambda: asked_for(shop, "payments.give_back"))
    await checkout.cancel()
    is_cancelled_again.set()

    with pytest.raises(WorkflowFailureError) as failed:
        await ended(checkout)

    assert isinstance(failed.value.cause, CancelledError)
    assert shop.steps == [*PLACED_AND_ASKED_TO_ACT, *UNDONE]
    assert shop.is_as_it_was


# --- twins --------------------------------------------------------------------------------------------------------


async def test_twenty_who_place_the_same_order_at_once_share_one_checkout_and_one_answer(real_shop: Shop) -> None:
    shop, request = real_shop, a_checkout()

    async def place_it() -> CheckoutOutcome:
        start = WithStartWorkflowOperation(
            Checkout.run,
            request,
            id=names.order_id(request.order_id),
            task_queue=Queue.CHECKOUT,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
        )
        placing: Any = shop.environment.client.execute_update_with_start_workflow(
            Checkout.place, start_workflow_operation=start, id="place"
        )
        answer: CheckoutOutcome = await placing
        await start.workflow_handle()
        return answer

    answers = await asyncio.gather(*(place_it() for _ in range(20)))

    assert answers == [CONFIRMED] * 20
    assert len(shop.requests(orders.place)) == 1
    assert len(shop.requests(payments.authorize)) == 1
    assert len(shop.requests(orders.confirm)) == 1


async def test_a_confirmed_order_rests_until_somebody_has_to_do_with_it(real_shop: Shop) -> None:
    checkout = await real_shop.check_out(a_checkout())
    assert await place(checkout) == CONFIRMED

    resting = await checkout.describe()
    assert (resting.workflow_type, resting.status) == ("Checkout", WorkflowExecutionStatus.RUNNING)
    assert resting.typed_search_attributes.get(names.ORDER_STATUS) == OrderStatus.CONFIRMED
    assert resting.typed_search_attributes.get(names.PAYMENT_STATUS) == PaymentStatus.AUTHORIZED
    for what in ("plan_shipment", "ship", "cancel"):
        with pytest.raises(WorkflowUpdateFailedError) as told:
            await checkout.execute_update(what, CANCELLED_BY_CUSTOMER)
        assert isinstance(told.value.cause, ApplicationError)
        assert told.value.cause.type == "checkout_over"

    await checkout.signal(Checkout.hand_over)
    request = await goes_on_as_fulfillment(real_shop, checkout)
    assert not request.is_cancelled
    assert real_shop.steps == ["orders.place", "payments.authorize", "orders.confirm"]


async def test_an_order_that_the_engine_cancels_while_it_rests_is_undone_by_its_fulfillment(real_shop: Shop) -> None:
    checkout = await real_shop.check_out(a_checkout())
    assert await place(checkout) == CONFIRMED
    await checkout.cancel()

    request = await goes_on_as_fulfillment(real_shop, checkout)
    assert request.is_cancelled
    successor = real_shop.environment.client.get_workflow_handle(checkout.id, result_type=OrderStatus)
    assert await successor.result() == OrderStatus.CANCELLED
    assert real_shop.steps == ["orders.place", "payments.authorize", "orders.confirm", *UNDONE]
    assert cancellation(real_shop).actor == "operator:engine"
    assert real_shop.is_as_it_was


async def test_whoever_asks_after_the_hand_over_hears_from_the_fulfillment_that_it_is_confirmed(shop: Shop) -> None:
    checkout = await shop.check_out(a_checkout())
    await goes_on_as_fulfillment(shop, checkout)

    successor = shop.environment.client.get_workflow_handle(checkout.id)
    assert await successor.execute_update("place", id="place", result_type=CheckoutOutcome) == CONFIRMED


# --- every step can fail, before it did its work or after -----------------------------------------------------------

Behaviour = Callable[[Any], Awaitable[Any]]


def never_did_it(_: Behaviour) -> Behaviour:
    return answering(broken())


def did_it_unheard(usually: Behaviour) -> Behaviour:
    async def behave(request: Any) -> Any:
        await usually(request)
        raise broken()

    return behave


HOW = pytest.mark.parametrize("fails", [never_did_it, did_it_unheard], ids=lambda fails: fails.__name__)


@HOW
async def test_when_placing_fails_the_order_is_cancelled(shop: Shop, fails: Callable[[Behaviour], Behaviour]) -> None:
    shop.when(orders.place, fails(shop.usually_place))
    checkout = await shop.check_out(a_checkout())

    with pytest.raises(WorkflowFailureError):
        await ended(checkout)

    assert shop.steps == ["orders.place", "orders.cancel"]
    assert cancellation(shop).money is MoneyBack.NOTHING_TAKEN
    assert shop.is_as_it_was


@HOW
async def test_when_the_wait_cannot_be_noted_money_and_stock_go_back(
    shop: Shop, fails: Callable[[Behaviour], Behaviour]
) -> None:
    shop.when(payments.authorize, answering(REQUIRES_ACTION))
    shop.when(orders.await_customer, fails(shop.usually_await_customer))
    checkout = await shop.check_out(a_checkout())

    with pytest.raises(WorkflowFailureError):
        await ended(checkout)

    assert shop.steps == ["orders.place", "payments.authorize", "orders.await_customer", *UNDONE]
    assert shop.is_as_it_was


async def test_when_the_payment_cannot_be_followed_money_and_stock_go_back(shop: Shop) -> None:
    shop.when(payments.authorize, answering(REQUIRES_ACTION))
    shop.when(payments.look_up, answering(broken()))
    checkout = await shop.check_out(a_checkout())

    with pytest.raises(WorkflowFailureError):
        await ended(checkout)

    assert shop.steps == [*PLACED_AND_ASKED_TO_ACT, *UNDONE]
    assert shop.is_as_it_was


@pytest.mark.matrix("checkout: the confirmation is refused")
async def test_when_the_confirmation_is_refused_money_and_stock_go_back(shop: Shop) -> None:
    shop.when(orders.confirm, answering(Refusal("amount_mismatch", "The provider holds less.")))
    checkout = await shop.check_out(a_checkout())

    with pytest.raises(WorkflowFailureError):
        await ended(checkout)

    assert shop.steps == ["orders.place", "payments.authorize", "orders.confirm", *UNDONE]
    assert cancellation(shop).money is MoneyBack.VOIDED
    assert shop.is_as_it_was


async def test_whoever_waits_for_a_checkout_that_fails_is_told_to_try_again(real_shop: Shop) -> None:
    real_shop.when(orders.confirm, answering(Refusal("amount_mismatch", "The provider holds less.")))
    sessions: Any = None  # the database is asked only about orders whose workflow is over
    stories = Stories(real_shop.environment.client, sessions, wait_seconds=30)

    with pytest.raises(Refusal) as told:
        await stories.check_out(a_checkout())

    assert told.value.code == "unavailable"
    assert real_shop.steps == ["orders.place", "payments.authorize", "orders.confirm", *UNDONE]
    assert real_shop.is_as_it_was


async def test_what_only_a_confirmed_order_can_do_is_no_answer_of_a_checkout(
    real_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.stories.HAND_OVER", timedelta(seconds=1))
    shop, request = real_shop, a_checkout()
    shop.when(payments.authorize, answering(REQUIRES_ACTION))
    sessions: Any = None
    stories = Stories(shop.environment.client, sessions, wait_seconds=30)
    assert await stories.check_out(request) == MUST_ACT

    plan = PlanShipment(order_id=request.order_id, fulfillment_id=request.payment_id, actor="operator:1")
    with pytest.raises(Refusal) as told:
        await stories.ask(request.order_id, "plan_shipment", plan, result_type=PlannedShipment, update_id="once")

    assert told.value.code == "unavailable"
    assert "shipping.plan" not in shop.steps


@pytest.mark.matrix("checkout: Postgres is away while the order is placed")
async def test_a_database_that_is_away_longer_than_a_customer_waits_ends_the_checkout(shop: Shop) -> None:
    """Takes its 20 seconds: the budget of a local step is kept by the worker's own clock, which nobody can skip."""
    shop.when(orders.place, answering(away()))
    checkout = await shop.check_out(a_checkout())

    with pytest.raises(WorkflowFailureError):
        await ended(checkout)

    assert shop.steps == ["orders.place", "orders.cancel"]
    assert shop.is_as_it_was


@pytest.mark.matrix("checkout: Postgres is away at the confirmation")
async def test_a_confirmation_is_tried_until_the_database_is_back(shop: Shop) -> None:
    tries = 0

    async def away_for_minutes(request: ConfirmOrder) -> OrderState:
        nonlocal tries
        tries += 1
        if tries < 30:
            raise away()
        return await shop.usually_confirm(request)

    shop.when(orders.confirm, away_for_minutes)
    checkout = await shop.check_out(a_checkout())

    await goes_on_as_fulfillment(shop, checkout)

    assert tries == 30
    assert [step for step in shop.steps if step in UNDONE] == []
    assert await took_of(shop, checkout) > timedelta(minutes=3)


@pytest.mark.matrix("checkout: Postgres is away while the order is placed")
async def test_a_database_that_is_away_for_a_moment_is_not_noticed(shop: Shop) -> None:
    placed, confirmed = shop.usually_place, shop.usually_confirm

    def after_two_failures(usually: Behaviour) -> Behaviour:
        failing = answering(away(), away(), None)

        async def behave(request: Any) -> Any:
            await failing(request)
            return await usually(request)

        return behave

    shop.when(orders.place, after_two_failures(placed))
    shop.when(orders.confirm, after_two_failures(confirmed))
    checkout = await shop.check_out(a_checkout())

    assert await place(checkout) == CONFIRMED
    assert len(shop.requests(orders.place)) == len(shop.requests(orders.confirm)) == 3
    assert "orders.cancel" not in shop.steps


async def test_a_card_that_the_provider_made_nothing_of_has_nothing_to_give_back(shop: Shop) -> None:
    unknown = PaymentAuthorization(answer=Answer.DECLINED, reference=None, decline_code="resource_missing")
    shop.when(payments.authorize, answering(unknown))
    checkout = await shop.check_out(a_checkout())

    outcome = await place(checkout)

    assert outcome.refused is not None
    assert outcome.refused.facts == {"decline_code": "resource_missing"}
    assert shop.steps == ["orders.place", "payments.authorize", "orders.cancel"]
    assert shop.is_as_it_was
