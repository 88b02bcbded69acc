"""A payment that the provider did not answer for: it is asked until it says, and nothing is done in the dark."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowFailureError, WorkflowUpdateFailedError, WorkflowUpdateStage
from temporalio.exceptions import ApplicationError, CancelledError

from domain.attention import Concern, Decision
from domain.orders import (
    AskToCancel,
    CancelOrder,
    CancelReason,
    CheckoutOutcome,
    CheckoutStatus,
    OrderState,
    OrderStatus,
    Resolve,
)
from domain.payments import AuthorizePayment, MoneyBack, PaymentAuthorization, PaymentFound, PaymentStatus
from tests.support.waiting import eventually
from tests.workflows.shop import (
    AUTHORIZED,
    DECLINED,
    REQUIRES_ACTION,
    TOTAL,
    CheckingOut,
    Shop,
    a_checkout,
    answering,
    away,
    broken,
    serving,
)
from tests.workflows.test_checkout import (
    UNDONE,
    asked_for,
    ended,
    goes_on_as_fulfillment,
    has_cancelled,
    has_ended,
    place,
    took_of,
)
from workflows import names
from workflows.checkout import LONGEST_REST, Checkout
from workflows.names import Queue
from workflows.steps import orders, payments

UNDECIDED = CheckoutOutcome(status=CheckoutStatus.UNDECIDED)
NEVER_HEARD_OF_IT = PaymentFound(payment=None)
SILENT = ["orders.place", "payments.authorize", "orders.await_provider", "payments.find"]
CALLED = (
    Concern.PAYMENT_UNKNOWN,
    "the provider has not said for 15 minutes what became of the payment; it is asked on",
)


def takes_the_money_and_says_nothing(shop: Shop) -> Any:
    async def behave(wish: AuthorizePayment) -> PaymentAuthorization:
        await shop.usually_authorize(wish)
        raise away()

    return behave


def a_decision(decision: Decision) -> Resolve:
    return Resolve(decision=decision, actor="operator:1")


async def resolve(checkout: CheckingOut, decision: Decision) -> OrderState:
    state: OrderState = await checkout.execute_update("resolve", a_decision(decision), result_type=OrderState)
    return state


def called(shop: Shop) -> list[tuple[Concern, str | None]]:
    return [(call.concern, call.detail) for call in shop.requests(orders.attend)]


def cancellation(shop: Shop) -> CancelOrder:
    [cancelled] = shop.requests(orders.cancel)
    return cancelled


async def waiting_for_a_person(shop: Shop) -> CheckingOut:
    """A checkout whose provider has been silent for a quarter of an hour."""
    shop.when(payments.authorize, takes_the_money_and_says_nothing(shop))
    shop.when(payments.find, answering(away()))
    checkout = await shop.check_out(a_checkout())
    await shop.environment.sleep(timedelta(minutes=20))
    await eventually(lambda: asked_for(shop, "orders.attend"))
    return checkout


async def test_money_that_was_held_without_a_word_is_found_and_confirms_the_order(shop: Shop) -> None:
    shop.when(payments.authorize, takes_the_money_and_says_nothing(shop))
    checkout = await shop.check_out(a_checkout())

    await goes_on_as_fulfillment(shop, checkout)

    assert shop.steps == [*SILENT, "orders.confirm"]
    assert len({wish.key for wish in shop.requests(payments.authorize)}) == 1
    assert len(shop.requests(payments.authorize)) > 5  # for two minutes, each of which asks before it repeats
    assert shop.requests(orders.confirm)[0].authorization == AUTHORIZED
    assert (shop.order, shop.held) == (OrderStatus.CONFIRMED, TOTAL.minor)
    took = await took_of(shop, checkout) - LONGEST_REST
    assert timedelta(minutes=1) < took <= timedelta(minutes=2, seconds=5)


async def test_the_customer_is_told_that_nothing_is_decided_yet(real_shop: Shop) -> None:
    shop = real_shop
    shop.when(payments.authorize, answering(broken()))
    shop.when(payments.find, answering(away()))
    checkout = await shop.check_out(a_checkout())

    assert await place(checkout) == UNDECIDED

    assert "orders.cancel" not in shop.steps
    assert shop.is_stock_reserved
    assert shop.requests(orders.await_provider)[0].hold_seconds == 65 * 60


async def test_a_payment_that_the_provider_never_heard_of_is_asked_for_once_more_under_the_same_key(shop: Shop) -> None:
    shop.when(payments.authorize, answering(broken(), AUTHORIZED))
    shop.when(payments.find, answering(NEVER_HEARD_OF_IT))
    shop.held = TOTAL.minor
    checkout = await shop.check_out(a_checkout())

    await goes_on_as_fulfillment(shop, checkout)

    assert shop.steps == [*SILENT, "payments.authorize", "orders.confirm"]
    first, second = shop.requests(payments.authorize)
    assert first == second


async def test_a_payment_that_cannot_be_made_twice_over_gives_everything_back(shop: Shop) -> None:
    shop.when(payments.authorize, answering(broken()))
    checkout = await shop.check_out(a_checkout())

    outcome = await ended(checkout)

    assert outcome.refused is not None
    assert (outcome.refused.code, outcome.refused.facts) == ("payment_unavailable", {})
    assert shop.steps == [*SILENT, "payments.authorize", "payments.find", *UNDONE]
    assert len(shop.requests(payments.authorize)) == 2
    assert shop.requests(payments.give_back)[0].reference is None  # a wish that arrives late must find its key taken
    cancelled = cancellation(shop)
    assert (cancelled.reason, cancelled.money) == (CancelReason.PAYMENT_UNAVAILABLE, MoneyBack.NOTHING_TAKEN)
    assert called(shop) == []
    assert shop.is_as_it_was


async def test_a_lost_answer_that_was_a_decline_is_heard_and_undoes_the_order(shop: Shop) -> None:
    shop.when(payments.authorize, answering(broken()))
    shop.when(payments.find, answering(PaymentFound(payment=DECLINED)))
    checkout = await shop.check_out(a_checkout())

    outcome = await ended(checkout)

    assert outcome.refused is not None
    assert (outcome.refused.code, outcome.refused.facts) == (
        "payment_declined",
        {"decline_code": "insufficient_funds"},
    )
    assert shop.steps == [*SILENT, *UNDONE]
    assert len(shop.requests(payments.authorize)) == 1
    assert shop.is_as_it_was


async def test_a_lost_answer_that_sent_the_customer_to_the_bank_is_heard(shop: Shop) -> None:
    shop.when(payments.authorize, answering(broken()))
    shop.when(payments.find, answering(PaymentFound(payment=REQUIRES_ACTION)))
    shop.when(payments.look_up, answering(REQUIRES_ACTION, AUTHORIZED))
    checkout = await shop.check_out(a_checkout())

    await goes_on_as_fulfillment(shop, checkout)

    assert shop.steps == [*SILENT, "orders.await_customer", "payments.look_up", "orders.confirm"]


async def test_a_provider_that_is_away_for_minutes_is_waited_for_without_calling_anybody(shop: Shop) -> None:
    shop.when(payments.authorize, takes_the_money_and_says_nothing(shop))
    shop.when(payments.find, answering(*[away()] * 8, PaymentFound(payment=AUTHORIZED)))
    checkout = await shop.check_out(a_checkout())

    await goes_on_as_fulfillment(shop, checkout)

    assert shop.steps == [*SILENT, "orders.confirm"]
    assert called(shop) == []
    took = await took_of(shop, checkout) - LONGEST_REST
    assert timedelta(minutes=5) < took < timedelta(minutes=15)


@pytest.mark.matrix("checkout: nobody knows of the payment, and a person decides")
async def test_after_a_quarter_of_an_hour_a_person_is_called_and_the_asking_goes_on(shop: Shop) -> None:
    checkout = await waiting_for_a_person(shop)

    assert called(shop) == [CALLED]
    waiting = (await checkout.describe()).typed_search_attributes
    assert waiting.get(names.NEEDS_ATTENTION) is True
    before = len(shop.requests(payments.find))
    shop.when(payments.find, answering(PaymentFound(payment=AUTHORIZED)))
    await goes_on_as_fulfillment(shop, checkout)

    assert len(shop.requests(payments.find)) > before
    assert called(shop) == [CALLED, (Concern.PAYMENT_UNKNOWN, None)]
    assert (shop.order, shop.held) == (OrderStatus.CONFIRMED, TOTAL.minor)


async def test_the_goods_are_kept_for_as_long_as_nobody_knows(shop: Shop) -> None:
    await waiting_for_a_person(shop)
    await shop.environment.sleep(timedelta(hours=3))

    kept = shop.requests(orders.await_provider)
    assert len(kept) == 7  # at the beginning, and then every half hour
    assert {request.hold_seconds for request in kept} == {65 * 60}
    assert shop.is_stock_reserved


async def test_a_person_has_it_asked_again_at_once(shop: Shop) -> None:
    checkout = await waiting_for_a_person(shop)
    shop.when(payments.find, answering(PaymentFound(payment=AUTHORIZED)))

    state = await resolve(checkout, Decision.RETRY)

    assert (state.status, state.payment_status) == (OrderStatus.CONFIRMED, PaymentStatus.AUTHORIZED)
    assert shop.steps[-1] == "orders.confirm"
    assert called(shop)[-1] == (Concern.PAYMENT_UNKNOWN, None)


async def test_a_person_who_wants_a_retry_lets_it_be_asked_for_once_more(shop: Shop) -> None:
    checkout = await waiting_for_a_person(shop)
    shop.when(payments.find, answering(NEVER_HEARD_OF_IT, away()))
    await checkout.signal(Checkout.provider_event, "evt_1")
    await eventually(lambda: asked_times(shop, 2))
    shop.when(payments.find, answering(NEVER_HEARD_OF_IT))
    shop.when(payments.authorize, answering(AUTHORIZED))
    shop.held = TOTAL.minor

    state = await resolve(checkout, Decision.RETRY)

    assert state.status is OrderStatus.CONFIRMED
    assert len({wish.key for wish in shop.requests(payments.authorize)}) == 1


async def asked_times(shop: Shop, times: int) -> bool:
    return len(shop.requests(payments.authorize)) >= times


async def test_a_person_cancels_and_money_and_goods_go_back(shop: Shop) -> None:
    checkout = await waiting_for_a_person(shop)

    state = await resolve(checkout, Decision.CANCEL)

    assert (state.status, state.payment_status) == (OrderStatus.CANCELLED, PaymentStatus.VOIDED)
    outcome = await ended(checkout)
    assert outcome.refused is not None
    assert outcome.refused.code == "checkout_cancelled"
    assert shop.steps[-2:] == UNDONE
    cancelled = cancellation(shop)
    assert (cancelled.reason, cancelled.actor, cancelled.money) == (
        CancelReason.OPERATOR,
        "operator:1",
        MoneyBack.VOIDED,
    )
    assert (await checkout.describe()).typed_search_attributes.get(names.NEEDS_ATTENTION) is False
    assert shop.is_as_it_was


async def test_a_customer_may_cancel_while_nobody_knows(real_shop: Shop) -> None:
    shop = real_shop
    shop.when(payments.authorize, answering(broken()))
    shop.when(payments.find, answering(away()))
    checkout = await shop.check_out(a_checkout())
    await place(checkout)
    shop.held = TOTAL.minor  # the wish was carried out after all

    asked = AskToCancel(reason=CancelReason.CUSTOMER, actor="customer:1")
    outcome = await checkout.execute_update("cancel", asked, result_type=CheckoutOutcome)

    assert outcome.refused is not None
    assert outcome.refused.code == "checkout_cancelled"
    assert shop.steps == [*SILENT, *UNDONE]
    assert cancellation(shop).money is MoneyBack.VOIDED
    assert shop.is_as_it_was


async def test_an_answer_that_fails_while_it_is_no_longer_wanted_does_not_fail_the_checkout(real_shop: Shop) -> None:
    """The engine reports an attempt that fails after the cancel as failed, not as cancelled."""
    shop = real_shop
    is_asked, is_cancelled = asyncio.Event(), asyncio.Event()
    shop.when(payments.authorize, answering(broken()))
    shop.when(payments.find, failing_once(is_cancelled, is_asked))
    checkout = await shop.check_out(a_checkout())
    await place(checkout)
    await is_asked.wait()
    shop.held = TOTAL.minor

    asked = AskToCancel(reason=CancelReason.CUSTOMER, actor="customer:1")
    cancelling = await checkout.start_update(
        "cancel", asked, wait_for_stage=WorkflowUpdateStage.ACCEPTED, result_type=CheckoutOutcome
    )
    is_cancelled.set()

    outcome = await cancelling.result()
    assert outcome.refused is not None
    assert outcome.refused.code == "checkout_cancelled"
    assert shop.steps == [*SILENT, *UNDONE]
    assert shop.is_as_it_was


async def test_an_answer_that_comes_with_the_cancel_does_not_suspend_the_checkout(
    shop_without_checkouts: Shop,
) -> None:
    shop, is_asked, is_cancelled = shop_without_checkouts, asyncio.Event(), asyncio.Event()

    async def slowly(_: object) -> PaymentFound:
        is_asked.set()
        await is_cancelled.wait()
        return PaymentFound(payment=AUTHORIZED)

    shop.when(payments.authorize, answering(broken()))
    shop.when(payments.find, slowly)
    async with serving(shop, Queue.CHECKOUT):
        checkout = await shop.check_out(a_checkout())
        await place(checkout)
        await is_asked.wait()
        await eventually(lambda: asked_for(shop, "payments.find"))
        shop.held = TOTAL.minor

    asked = AskToCancel(reason=CancelReason.CUSTOMER, actor="customer:1")
    cancelling = asyncio.ensure_future(checkout.execute_update("cancel", asked, result_type=CheckoutOutcome))
    is_cancelled.set()
    await eventually(lambda: has_ended(checkout, "payments.find"))
    async with serving(shop, Queue.CHECKOUT):
        outcome = await cancelling
        assert await ended(checkout) == outcome

    assert outcome.refused is not None
    assert outcome.refused.code == "checkout_cancelled"
    assert shop.steps == [*SILENT, *UNDONE]
    assert shop.is_as_it_was


async def test_a_payment_that_fails_while_its_workflow_is_cancelled_is_not_asked_about(real_shop: Shop) -> None:
    shop = real_shop
    is_asked, is_cancelled = asyncio.Event(), asyncio.Event()
    shop.when(payments.authorize, failing_once(is_cancelled, is_asked))
    shop.when(payments.find, answering(away()))
    checkout = await shop.check_out(a_checkout())
    await is_asked.wait()
    shop.held = TOTAL.minor

    await checkout.cancel()
    await eventually(lambda: has_cancelled(checkout, "payments.authorize"))
    is_cancelled.set()

    outcome = await ended(checkout)
    assert outcome.refused is not None
    assert outcome.refused.code == "checkout_cancelled"
    assert shop.steps == ["orders.place", "payments.authorize", "orders.await_provider", *UNDONE]
    assert shop.is_as_it_was


def failing_once(told: asyncio.Event, is_asked: asyncio.Event) -> Any:
    async def behave(_: object) -> Any:
        is_asked.set()
        await told.wait()
        raise away()

    return behave


async def test_an_operator_who_stops_the_workflow_has_it_undone(shop: Shop) -> None:
    checkout = await waiting_for_a_person(shop)

    await checkout.cancel()
    with pytest.raises(WorkflowFailureError) as failed:
        await ended(checkout)

    assert isinstance(failed.value.cause, CancelledError)
    assert shop.steps[-2:] == UNDONE
    assert shop.is_as_it_was


async def test_a_hint_of_the_provider_makes_us_ask_at_once(real_shop: Shop) -> None:
    shop = real_shop
    shop.when(payments.authorize, answering(broken()))
    shop.when(payments.find, answering(away()))
    checkout = await shop.check_out(a_checkout())
    assert await place(checkout) == UNDECIDED
    await eventually(lambda: asked_for(shop, "payments.find"))
    shop.when(payments.find, answering(PaymentFound(payment=AUTHORIZED)))

    await asyncio.gather(*(checkout.signal(Checkout.provider_event, "evt_1") for _ in range(3)))

    await eventually(lambda: asked_for(shop, "orders.confirm"))
    assert len(shop.requests(orders.confirm)) == 1


@pytest.mark.parametrize("decision", list(Decision))
async def test_before_a_person_is_called_there_is_nothing_to_decide(real_shop: Shop, decision: Decision) -> None:
    shop = real_shop
    shop.when(payments.authorize, answering(broken()))
    shop.when(payments.find, answering(away()))
    checkout = await shop.check_out(a_checkout())
    await place(checkout)
    before = shop.steps

    refused = await refusal(checkout, decision)

    assert (refused.type, refused.details) == ("nothing_to_resolve", ({"allowed": []},))
    assert shop.steps in (before, SILENT)


async def test_skipping_is_no_answer_to_an_unknown_payment(shop: Shop) -> None:
    checkout = await waiting_for_a_person(shop)

    refused = await refusal(checkout, Decision.SKIP)

    assert (refused.type, refused.details) == ("nothing_to_resolve", ({"allowed": ["cancel", "retry"]},))
    assert shop.is_stock_reserved


async def test_a_decision_that_comes_after_the_confirmation_is_sent_on_to_the_fulfillment(real_shop: Shop) -> None:
    checkout = await real_shop.check_out(a_checkout())
    await place(checkout)

    assert (await refusal(checkout, Decision.CANCEL)).type == "checkout_over"


async def refusal(checkout: CheckingOut, decision: Decision) -> ApplicationError:
    with pytest.raises(WorkflowUpdateFailedError) as told:
        await resolve(checkout, decision)
    assert isinstance(told.value.cause, ApplicationError)
    return told.value.cause
