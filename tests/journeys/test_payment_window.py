"""The customer has half an hour at the bank; then goods and money are free again at once."""

from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta

import httpx
import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowExecutionStatus

from db.promotions import NewCode
from domain.inventory import StockLevel
from domain.orders import CheckoutStatus
from runtime.resources import Resources
from tests.support.catalog import a_product, ledger_of, stock_of
from tests.support.promotions import a_code, a_promotion, counted, enter
from tests.support.skipping import PatientShop, patient_shop
from tests.support.waiting import eventually
from workflows.names import payment_id
from workflows.payment import PAYMENT_WINDOW

Span = tuple[datetime, datetime]
BANK_WANTS_TO_SEE_THE_PAYER = "pm_card_threeDSecure2Required"


@pytest.fixture
async def shop(resources: Resources, sandbox: httpx.AsyncClient) -> AsyncIterator[PatientShop]:
    async with patient_shop(resources, sandbox) as patient:
        yield patient


@pytest.mark.matrix("checkout: the bank wants to see its customer, who never comes")
async def test_goods_money_and_a_used_code_are_free_within_a_second_after_the_customers_half_hour(
    shop: PatientShop,
) -> None:
    product = await a_product(shop.resources.sessions, price="10.00", stock=3)
    promotion = await a_promotion(shop.resources.sessions, codes=[NewCode(code=(code := a_code()))], usage_limit=1)
    request = await shop.taken_in((product.variant_id, 1), card=BANK_WANTS_TO_SEE_THE_PAYER)
    await enter(shop.resources.sessions, request.cart_id, code)
    checkout = await shop.begin(request)

    async def is_at_the_bank() -> bool:
        return bool((await shop.order(request.order_id)).get("payment_status") == "requires_action")

    await eventually(is_at_the_bank)
    await shop.environment.sleep(PAYMENT_WINDOW - timedelta(minutes=1))
    assert await stock_of(shop.resources.sessions, product.variant_id) == StockLevel(on_hand=3, reserved=1)
    assert await counted(shop.resources.sessions, promotion) == (1, 1)
    [intent] = await shop.intents_of(request.payment_id)
    assert intent["status"] == "requires_action"

    outcome = await checkout.result()

    assert outcome.status is CheckoutStatus.REFUSED
    order = await shop.order(request.order_id)
    assert (order["status"], order["cancel_reason"]) == ("cancelled", "payment_expired")
    assert await stock_of(shop.resources.sessions, product.variant_id) == StockLevel(on_hand=3, reserved=0)
    assert await ledger_of(shop.resources.sessions, product.variant_id) == StockLevel(on_hand=3, reserved=0)
    assert await counted(shop.resources.sessions, promotion) == (0, 0)
    [intent] = await shop.intents_of(request.payment_id)
    assert intent["status"] == "canceled"
    assert await shop.moved(request.payment_id) == []

    waiting = shop.environment.client.get_workflow_handle(payment_id(request.payment_id))
    assert (await waiting.describe()).status is WorkflowExecutionStatus.COMPLETED
    at_the_bank, whole = list((await waiting.fetch_history()).events), list((await checkout.fetch_history()).events)
    [rings] = [event for event in at_the_bank if event.event_type == EventType.EVENT_TYPE_TIMER_FIRED]
    begun = time_of(at_the_bank[0])
    released = max(end for _, end in steps(whole))
    assert PAYMENT_WINDOW <= time_of(rings) - begun < PAYMENT_WINDOW + timedelta(seconds=1)
    assert idle_between(time_of(rings), released, [*steps(at_the_bank), *steps(whole)]) < timedelta(seconds=1)


def time_of(event: HistoryEvent) -> datetime:
    return event.event_time.ToDatetime()


def steps(events: list[HistoryEvent]) -> Iterator[Span]:
    """When steps and decisions were on their way; how long that takes is the machine's business."""
    begun = {event.event_id: time_of(event) for event in events}
    for event in events:
        done = (
            event.activity_task_completed_event_attributes.scheduled_event_id
            or event.workflow_task_completed_event_attributes.scheduled_event_id
        )
        if done:
            yield begun[done], time_of(event)


def idle_between(start: datetime, end: datetime, busy: list[Span]) -> timedelta:
    """How long nobody did anything."""
    idle = timedelta(0)
    for begun, done in sorted(busy):
        if begun > start:
            idle += min(begun, end) - start
        start = max(start, min(done, end))
    return idle + max(end - start, timedelta(0))
