"""The payment provider is away, slow, or does its work and says nothing: every outage ends in one order or in none."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text
from temporalio.client import WorkflowContinuedAsNewError, WorkflowExecutionStatus, WorkflowHandle

from api.explain import explained
from api.orders import order_out
from db import order_views
from domain.attention import Decision
from domain.inventory import StockLevel
from domain.orders import AskToCancel, CancelReason, CheckoutOutcome, OrderState, OrderStatus, Resolve, StartCheckout
from runtime.resources import Resources
from tests.support.catalog import AProduct, a_product, ledger_of, stock_of
from tests.support.skipping import PatientShop, patient_shop
from tests.support.waiting import eventually
from workflows.checkout import LONGEST_REST, Checkout

HELD = StockLevel(on_hand=3, reserved=1)
FREE = StockLevel(on_hand=3, reserved=0)
UNHEARD = ["order.placed", "order.payment_unknown"]


@pytest.fixture
async def shop(resources: Resources, sandbox: httpx.AsyncClient) -> AsyncIterator[PatientShop]:
    async with patient_shop(resources, sandbox) as patient:
        yield patient


@pytest.fixture
async def product(resources: Resources) -> AProduct:
    return await a_product(resources.sessions, price="10.00", stock=3)


async def stock(shop: PatientShop, product: AProduct) -> StockLevel:
    """What there is; it must be what the stock's own ledger adds up to."""
    level = await stock_of(shop.resources.sessions, product.variant_id)
    assert await ledger_of(shop.resources.sessions, product.variant_id) == level
    return level


async def ends_confirmed(shop: PatientShop, request: StartCheckout) -> None:
    with pytest.raises(WorkflowContinuedAsNewError):
        await (await shop.begin(request)).result(follow_runs=False)
    assert (await shop.order(request.order_id))["status"] == OrderStatus.CONFIRMED


async def waits_for_a_person(shop: PatientShop, request: StartCheckout) -> WorkflowHandle[Checkout, CheckoutOutcome]:
    """Begun while the provider is away, and still so after half an hour."""
    await shop.faults(error_rate=1.0)
    checkout = await shop.begin(request)
    await shop.environment.sleep(timedelta(minutes=30))

    async def needs_a_person() -> bool:
        return bool((await shop.order(request.order_id)).get("attention"))

    await eventually(needs_a_person)
    return checkout


@pytest.mark.matrix("checkout: the provider is silent for more than two minutes")
async def test_an_outage_of_minutes_ends_in_one_confirmed_order(shop: PatientShop, product: AProduct) -> None:
    request = await shop.taken_in((product.variant_id, 1))
    await shop.faults(next=[{"operation": operation, "fault": "error"} for operation in ["create"] + ["search"] * 14])

    await ends_confirmed(shop, request)

    assert await shop.moved(request.payment_id) == [("authorize", 1499)]
    assert await stock(shop, product) == HELD
    assert await shop.timeline(request.order_id) == [*UNHEARD, "order.confirmed"]


async def test_a_timeout_with_the_work_done_is_found_and_charged_once(shop: PatientShop, product: AProduct) -> None:
    request = await shop.taken_in((product.variant_id, 1))
    lost = [{"operation": "create", "fault": "drop_response"}] + [{"operation": "search", "fault": "error"}] * 14
    await shop.faults(next=lost)

    await ends_confirmed(shop, request)

    assert await shop.moved(request.payment_id) == [("authorize", 1499)]
    assert len(await shop.intents_of(request.payment_id)) == 1
    assert await stock(shop, product) == HELD


@pytest.mark.matrix("checkout: the provider is silent for more than two minutes")
async def test_a_timeout_with_the_work_not_done_is_asked_for_once_more(shop: PatientShop, product: AProduct) -> None:
    request = await shop.taken_in((product.variant_id, 1))
    # Two minutes of nothing but errors; then the provider says that it never heard of the payment.
    await shop.faults(next=[{"operation": operation, "fault": "error"} for operation in ["create", *["search"] * 14]])

    await ends_confirmed(shop, request)

    [intent] = await shop.intents_of(request.payment_id)
    assert intent["status"] == "requires_capture"
    assert await shop.moved(request.payment_id) == [("authorize", 1499)]


async def test_nobody_knows_for_half_an_hour_and_then_the_provider_says_so_itself(
    shop: PatientShop, product: AProduct
) -> None:
    request = await shop.taken_in((product.variant_id, 1))
    checkout = await waits_for_a_person(shop, request)

    order = await shop.order(request.order_id)
    assert (order["status"], order["payment_status"], order["pending_step"]) == (
        "pending",
        "pending",
        "payment_unknown",
    )
    assert await stock(shop, product) == HELD
    await shop.faults(error_rate=0.0)
    assert await shop.moved(request.payment_id) == []
    await shop.environment.sleep(timedelta(minutes=10))  # longer than the longest pause between two questions

    async def is_decided() -> bool:
        return bool((await shop.order(request.order_id))["status"] != OrderStatus.PENDING)

    await eventually(is_decided)
    order = await shop.order(request.order_id)
    assert (order["status"], order["pending_step"], order["attention"]) == ("confirmed", None, None)
    assert await shop.moved(request.payment_id) == [("authorize", 1499)]
    assert await shop.timeline(request.order_id) == [
        *UNHEARD,
        "order.needs_attention",
        "order.needs_no_attention",
        "order.confirmed",
    ]
    await shop.environment.sleep(LONGEST_REST + timedelta(minutes=1))
    await eventually(lambda: has_gone_on(shop, checkout))


async def has_gone_on(shop: PatientShop, checkout: WorkflowHandle[Checkout, CheckoutOutcome]) -> bool:
    """Is the Checkout over, and does the order's Fulfillment run under the same id?"""
    engine = shop.environment.client
    first = await engine.get_workflow_handle(checkout.id, run_id=checkout.first_execution_run_id).describe()
    newest = await engine.get_workflow_handle(checkout.id).describe()
    return [(run.workflow_type, run.status) for run in (first, newest)] == [
        ("Checkout", WorkflowExecutionStatus.CONTINUED_AS_NEW),
        ("Fulfillment", WorkflowExecutionStatus.RUNNING),
    ]


async def test_operators_read_what_an_unknown_payment_waits_for(shop: PatientShop, product: AProduct) -> None:
    request = await shop.taken_in((product.variant_id, 1))
    await waits_for_a_person(shop, request)

    async with shop.resources.sessions() as session:
        [row] = await order_views.orders(
            session, limit=1, before=None, filters={"needs_attention": True, "number": int(request.order_number[2:])}
        )
    told = explained(order_out(row), await shop.stories.inside(request.order_id), waits=[])

    assert told.waits_for == (
        "a person: the provider has not said for 15 minutes what became of the payment; it is asked on"
    )
    assert told.decisions == [Decision.RETRY, Decision.CANCEL]
    [asking] = told.steps
    assert asking.what == "asks the provider what became of the payment"
    assert asking.attempt > 5


async def decide(shop: PatientShop, request: StartCheckout, decision: Decision) -> OrderState:
    wish = Resolve(decision=decision, actor="operator:1")
    return await shop.stories.ask(request.order_id, "resolve", wish, result_type=OrderState, update_id=str(uuid4()))


@pytest.mark.matrix("checkout: nobody knows of the payment, and a person decides")
async def test_a_person_has_it_asked_again_and_the_order_is_confirmed(shop: PatientShop, product: AProduct) -> None:
    request = await shop.taken_in((product.variant_id, 1))
    await waits_for_a_person(shop, request)
    await shop.faults(error_rate=0.0)

    state = await decide(shop, request, Decision.RETRY)

    assert state.status is OrderStatus.CONFIRMED
    assert await shop.moved(request.payment_id) == [("authorize", 1499)]


@pytest.mark.parametrize("was_it_done", [False, True], ids=["never_done", "done_unheard"])
async def test_a_person_cancels_and_the_money_goes_back_wherever_it_is(
    shop: PatientShop, product: AProduct, *, was_it_done: bool
) -> None:
    request = await shop.taken_in((product.variant_id, 1))
    if was_it_done:
        await shop.faults(next=[{"operation": "create", "fault": "drop_response"}])
    await waits_for_a_person(shop, request)
    await shop.faults(error_rate=0.0)

    state = await decide(shop, request, Decision.CANCEL)

    assert state.status is OrderStatus.CANCELLED
    assert await shop.moved(request.payment_id) == ([("authorize", 1499), ("void", 1499)] if was_it_done else [])
    assert await stock(shop, product) == FREE
    order = await shop.order(request.order_id)
    assert (order["cancel_reason"], order["attention"], order["pending_step"]) == ("operator", None, None)
    assert await cart_is_open(shop, request)


async def cart_is_open(shop: PatientShop, request: StartCheckout) -> bool:
    async with shop.resources.sessions() as session:
        found: Any = await session.execute(
            text("SELECT order_id IS NULL AND completed_at IS NULL FROM carts WHERE id = :id"), {"id": request.cart_id}
        )
        return bool(found.scalar_one())


@pytest.mark.matrix("checkout: nobody knows of the payment, and a person decides")
async def test_a_customer_cancels_while_nobody_knows(shop: PatientShop, product: AProduct) -> None:
    request = await shop.taken_in((product.variant_id, 1))
    await waits_for_a_person(shop, request)
    await shop.faults(error_rate=0.0)

    await shop.stories.cancel_order(
        request.order_id, AskToCancel(reason=CancelReason.CUSTOMER, actor="guest"), update_id=str(uuid4())
    )

    order = await shop.order(request.order_id)
    assert (order["status"], order["cancel_reason"], order["attention"]) == ("cancelled", "customer", None)
    assert await shop.moved(request.payment_id) == []
    assert await stock(shop, product) == FREE
