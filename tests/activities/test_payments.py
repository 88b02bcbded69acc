"""Payment steps: what they ask before they repeat, and what they know of the provider's own names."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar
from uuid import uuid4

import httpx
import pytest
from temporalio.testing import ActivityEnvironment

from activities.payments import PaymentActivities
from db import orders, payments
from db.payments import KnownPayment
from domain.money import Money
from domain.payments import (
    Answer,
    AuthorizePayment,
    CapturePayment,
    GiveMoneyBack,
    LookUpPayment,
    MoneyBack,
    PaymentAuthorization,
    PaymentCapture,
)
from providers.payments import OutcomeUnknown, beside_transfers
from runtime.resources import Resources
from tests.support.catalog import a_product
from tests.support.ledger import moved_by
from tests.support.orders import AnOrder, a_placed_order, to_confirm

Result = TypeVar("Result")


@pytest.fixture
def activities(resources: Resources, sandbox_url: str) -> PaymentActivities:
    providers = beside_transfers(resources.payments)
    return PaymentActivities(providers, resources.sessions, cards=resources.payments.name)


async def performed(perform: Callable[[Any], Awaitable[Result]], request: Any, *, attempt: int = 1) -> Result:
    environment = ActivityEnvironment()
    environment.info = replace(environment.info, attempt=attempt)
    result: Result = await environment.run(perform, request)
    return result


async def an_order(resources: Resources) -> tuple[AnOrder, AuthorizePayment]:
    product = await a_product(resources.sessions, price="10.00", stock=5)
    order = await a_placed_order(resources.sessions, (product.variant_id, 1))
    return order, AuthorizePayment(
        payment_id=order.payment_id,
        order_id=order.order_id,
        order_number=order.order_number,
        method="pm_card_visa",
        total=order.total,
        key=f"order/{order.order_id}/authorize/1",
    )


def the_way_back(wish: AuthorizePayment) -> GiveMoneyBack:
    return GiveMoneyBack(payment_id=wish.payment_id, order_id=wish.order_id, total=wish.total, authorize_key=wish.key)


async def confirm(resources: Resources, order: AnOrder, authorization: PaymentAuthorization) -> None:
    async with resources.sessions.begin() as session:
        await orders.confirm(session, replace(to_confirm(order), authorization=authorization))


async def test_a_first_try_asks_for_the_money(resources: Resources, activities: PaymentActivities) -> None:
    _, wish = await an_order(resources)

    answer = await performed(activities.authorize, wish)

    assert (answer.answer, answer.amount_minor) == (Answer.AUTHORIZED, 1499)


@pytest.mark.parametrize("fault", ["drop_response", "error_after"])
async def test_a_second_try_finds_what_the_first_one_did(
    resources: Resources, activities: PaymentActivities, sandbox: httpx.AsyncClient, fault: str
) -> None:
    _, wish = await an_order(resources)
    await sandbox.put("/faults", json={"payments": {"next": [{"operation": "create", "fault": fault}]}})
    with pytest.raises(OutcomeUnknown):
        await performed(activities.authorize, wish)

    answer = await performed(activities.authorize, wish, attempt=2)

    assert answer.answer is Answer.AUTHORIZED
    assert answer.reference is not None
    assert await moved_by(sandbox, answer.reference) == [("authorize", 1499)]


async def test_a_second_try_of_what_never_arrived_asks_for_the_money(
    resources: Resources, activities: PaymentActivities
) -> None:
    _, wish = await an_order(resources)

    answer = await performed(activities.authorize, wish, attempt=2)

    assert answer.answer is Answer.AUTHORIZED


async def test_a_resumed_order_is_charged_once_although_the_provider_has_forgotten_the_key(
    resources: Resources, activities: PaymentActivities, sandbox: httpx.AsyncClient
) -> None:
    _, wish = await an_order(resources)
    first = await performed(activities.authorize, wish)

    again = await performed(activities.authorize, replace(wish, key="forgotten", is_resumed=True))

    assert again == first
    assert await moved_by(sandbox, str(first.reference)) == [("authorize", 1499)]


async def test_a_late_try_after_the_money_was_given_back_is_a_decline(
    resources: Resources, activities: PaymentActivities
) -> None:
    _, wish = await an_order(resources)
    await performed(activities.give_back, the_way_back(wish))

    answer = await performed(activities.authorize, wish, attempt=3)

    assert answer.answer is Answer.DECLINED


async def test_a_payment_that_the_provider_does_not_know_was_refused(activities: PaymentActivities) -> None:
    answer = await performed(activities.look_up, LookUpPayment(payment_id=uuid4()))

    assert answer == PaymentAuthorization(answer=Answer.DECLINED, reference=None, decline_code="not_found")


async def test_a_capture_knows_the_providers_name_of_the_payment(
    resources: Resources, activities: PaymentActivities, sandbox: httpx.AsyncClient
) -> None:
    order, wish = await an_order(resources)
    authorization = await performed(activities.authorize, wish)
    await confirm(resources, order, authorization)
    request = CapturePayment(payment_id=order.payment_id, amount=order.total, is_final=True, key=f"capture/{uuid4()}")

    for _ in range(2):
        assert await performed(activities.capture, request) == PaymentCapture(is_captured=True)

    assert await moved_by(sandbox, str(authorization.reference)) == [("authorize", 1499), ("capture", 1499)]


async def test_a_capture_of_a_payment_without_a_name_is_a_bug_and_takes_nothing(
    resources: Resources, activities: PaymentActivities
) -> None:
    order, _ = await an_order(resources)

    with pytest.raises(LookupError):
        await performed(
            activities.capture,
            CapturePayment(payment_id=order.payment_id, amount=Money(1, "USD"), is_final=True, key="capture/none"),
        )


async def test_money_is_given_back_by_the_name_that_was_noted(
    resources: Resources, activities: PaymentActivities, sandbox: httpx.AsyncClient
) -> None:
    order, wish = await an_order(resources)
    authorization = await performed(activities.authorize, wish)
    await confirm(resources, order, authorization)

    # Without the noted name it would have to be searched for, and the search is out of order.
    await sandbox.put("/faults", json={"payments": {"next": [{"operation": "search", "fault": "error"}]}})
    try:
        given_back = await performed(activities.give_back, the_way_back(wish))
    finally:
        await sandbox.put("/faults", json={"payments": {"next": []}})

    assert given_back.how is MoneyBack.VOIDED
    assert await moved_by(sandbox, str(authorization.reference)) == [("authorize", 1499), ("void", 1499)]


async def test_money_is_given_back_also_when_no_name_was_ever_noted(
    resources: Resources, activities: PaymentActivities, sandbox: httpx.AsyncClient
) -> None:
    order, wish = await an_order(resources)
    authorization = await performed(activities.authorize, wish)
    async with resources.sessions() as session:
        assert await payments.known(session, order.payment_id) == KnownPayment("stripe", None)

    given_back = await performed(activities.give_back, the_way_back(wish))

    assert given_back.how is MoneyBack.VOIDED
    assert await moved_by(sandbox, str(authorization.reference)) == [("authorize", 1499), ("void", 1499)]
