"""A payment whose customer has to act: hints wake us, the provider decides, and half an hour is enough."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

from temporalio.client import WorkflowExecutionStatus, WorkflowHandle

from domain.payments import Answer, FollowPayment, LookUpPayment, PaymentAuthorization
from tests.support.waiting import eventually
from tests.workflows.shop import AUTHORIZED, DECLINED, REQUIRES_ACTION, Shop, answering, away
from workflows.names import Queue, payment_id
from workflows.payment import Payment
from workflows.steps import payments

Following = WorkflowHandle[Payment, PaymentAuthorization]


async def follow(shop: Shop) -> tuple[Following, FollowPayment]:
    request = FollowPayment(payment_id=uuid4(), order_id=uuid4(), order_number="S-1001", authorization=REQUIRES_ACTION)
    handle = await shop.environment.client.start_workflow(
        Payment.run, request, id=payment_id(request.payment_id), task_queue=Queue.PAYMENTS
    )
    return handle, request


async def looked_up(shop: Shop, times: int) -> None:
    async def often_enough() -> bool:
        return len(shop.requests(payments.look_up)) >= times

    await eventually(often_enough)


async def took(payment: Following) -> timedelta:
    run = await payment.describe()
    assert run.close_time is not None
    return run.close_time - run.start_time


async def test_the_provider_is_asked_at_once_for_what_nobody_will_say_again(shop: Shop) -> None:
    shop.when(payments.look_up, answering(AUTHORIZED))
    payment, request = await follow(shop)

    assert await payment.result() == AUTHORIZED
    assert shop.requests(payments.look_up) == [LookUpPayment(payment_id=request.payment_id)]
    assert await took(payment) < timedelta(minutes=1)


async def test_a_hint_makes_us_ask_and_the_providers_word_decides(shop: Shop) -> None:
    payment, _ = await follow(shop)
    await looked_up(shop, 1)

    shop.when(payments.look_up, answering(DECLINED))
    await payment.signal(Payment.provider_event, "evt_that_claims_success")

    assert await payment.result() == DECLINED
    assert len(shop.requests(payments.look_up)) == 2


async def test_hints_without_news_leave_the_payment_waiting(shop: Shop) -> None:
    payment, _ = await follow(shop)
    for times in range(1, 4):
        await looked_up(shop, times)
        await payment.signal(Payment.provider_event, "evt_again")
    await looked_up(shop, 4)

    assert (await payment.describe()).status is WorkflowExecutionStatus.RUNNING


async def test_a_customer_who_never_comes_back_has_declined(shop: Shop) -> None:
    payment, _ = await follow(shop)

    assert await payment.result() == PaymentAuthorization(
        answer=Answer.DECLINED, reference="pi_1", decline_code="expired"
    )
    assert len(shop.requests(payments.look_up)) == 2  # at the beginning, and once more before giving up
    assert timedelta(minutes=30) <= await took(payment) < timedelta(minutes=31)


async def test_hints_do_not_lengthen_the_half_hour(shop: Shop) -> None:
    payment, _ = await follow(shop)
    await looked_up(shop, 1)
    for _ in range(3):
        await shop.environment.sleep(timedelta(minutes=9))
        await payment.signal(Payment.provider_event, "evt_nothing_new")

    answer = await payment.result()

    assert answer.decline_code == "expired"
    assert timedelta(minutes=30) <= await took(payment) < timedelta(minutes=31)


async def test_a_payment_that_is_not_wanted_any_more_is_asked_about_once_more(shop: Shop) -> None:
    payment, _ = await follow(shop)
    await looked_up(shop, 1)

    await payment.signal(Payment.give_up)

    assert await payment.result() == PaymentAuthorization(
        answer=Answer.DECLINED, reference="pi_1", decline_code="abandoned"
    )
    assert await took(payment) < timedelta(minutes=1)


async def test_a_payment_that_was_approved_while_it_was_given_up_is_told_as_approved(shop: Shop) -> None:
    payment, _ = await follow(shop)
    await looked_up(shop, 1)

    shop.when(payments.look_up, answering(AUTHORIZED))
    await payment.signal(Payment.give_up)

    assert await payment.result() == AUTHORIZED  # so that whoever gave it up gives the money back


async def test_a_provider_that_is_away_is_asked_until_it_answers(shop: Shop) -> None:
    tries = 0

    async def away_for_a_while(_: Any) -> PaymentAuthorization:
        nonlocal tries
        tries += 1
        if tries < 12:
            raise away()
        return AUTHORIZED

    shop.when(payments.look_up, away_for_a_while)
    payment, _ = await follow(shop)

    assert await payment.result() == AUTHORIZED
    assert tries == 12


async def test_an_outage_over_the_deadline_ends_with_the_providers_word_all_the_same(shop: Shop) -> None:
    tries = 0

    async def away_for_an_hour(_: Any) -> PaymentAuthorization:
        nonlocal tries
        tries += 1
        if tries < 25:
            raise away()
        return REQUIRES_ACTION

    shop.when(payments.look_up, away_for_an_hour)
    payment, _ = await follow(shop)

    answer = await payment.result()

    assert answer.decline_code == "expired"
    assert await took(payment) > timedelta(minutes=30)
