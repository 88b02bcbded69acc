"""Money that no order wants goes back by itself, once, whatever is hinted and however often."""

import asyncio
from datetime import timedelta
from typing import Any

from temporalio.client import WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy

from domain.orders import OrderStatus
from domain.payments import GiveMoneyBack, LookIntoStray, MoneyBack, NoteLateMoney, PaymentGivenBack, StrayFound
from tests.workflows.shop import A_CANCELLED_ORDER, TOTAL, Shop, answering, away
from workflows.names import Queue, stray_id
from workflows.steps import orders, payments
from workflows.stray_payment import StrayPayment

STRAY = LookIntoStray(reference="pi_late")
RETURNED = ["payments.inspect", "payments.give_back", "orders.note_late_money"]


async def hint(shop: Shop, event: str = "evt_1") -> WorkflowHandle[StrayPayment, MoneyBack]:
    """What a webhook does, however often it comes."""
    return await shop.environment.client.start_workflow(
        StrayPayment.run,
        STRAY,
        id=stray_id(STRAY.reference),
        task_queue=Queue.PAYMENTS,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        start_signal="provider_event",
        start_signal_args=[event],
    )


def took_place(shop: Shop) -> Shop:
    shop.order, shop.held = OrderStatus.CANCELLED, TOTAL.minor
    return shop


async def test_money_for_a_cancelled_order_goes_back_and_is_told(shop: Shop) -> None:
    stray = await hint(took_place(shop))

    assert await stray.result() is MoneyBack.VOIDED
    assert shop.steps == RETURNED
    assert shop.requests(payments.give_back) == [
        GiveMoneyBack(
            payment_id=A_CANCELLED_ORDER,
            order_id=A_CANCELLED_ORDER,
            total=TOTAL,
            authorize_key="stray:pi_late",
            reference="pi_late",
        )
    ]
    assert shop.requests(orders.note_late_money) == [
        NoteLateMoney(reference="pi_late", amount=TOTAL, how=MoneyBack.VOIDED, order_id=A_CANCELLED_ORDER)
    ]
    assert shop.is_as_it_was


async def test_many_hints_at_once_and_afterwards_give_it_back_once(shop: Shop) -> None:
    took_place(shop)
    await asyncio.gather(*(hint(shop, f"evt_{number}") for number in range(10)))
    await (await hint(shop)).result()
    await (await hint(shop, "evt_late")).result()

    assert len(shop.requests(payments.give_back)) == 1
    assert len(shop.requests(orders.note_late_money)) == 1


async def test_money_that_an_order_wants_is_left_alone(shop: Shop) -> None:
    shop.order, shop.held = OrderStatus.CONFIRMED, TOTAL.minor

    assert await (await hint(shop)).result() is MoneyBack.NOTHING_TAKEN
    assert shop.steps == ["payments.inspect"]
    assert shop.held == TOTAL.minor


async def test_a_hint_without_money_behind_it_changes_nothing(shop: Shop) -> None:
    shop.order = OrderStatus.CANCELLED

    assert await (await hint(shop)).result() is MoneyBack.NOTHING_TAKEN
    assert shop.steps == ["payments.inspect"]


async def test_money_without_an_order_waits_ten_minutes_for_one(shop: Shop) -> None:
    nobodys = StrayFound(is_wanted=False, amount=TOTAL)
    shop.when(payments.inspect, answering(nobodys))
    shop.held = TOTAL.minor
    stray = await hint(shop)

    assert await stray.result() is MoneyBack.VOIDED
    assert len(shop.requests(payments.inspect)) == 2
    assert shop.requests(orders.note_late_money)[0].order_id is None
    run = await stray.describe()
    assert run.close_time is not None
    assert run.close_time - run.start_time >= timedelta(minutes=10)


async def test_an_order_that_appears_meanwhile_keeps_its_money(shop: Shop) -> None:
    nobodys, wanted = StrayFound(is_wanted=False, amount=TOTAL), StrayFound(is_wanted=True, amount=TOTAL)
    shop.when(payments.inspect, answering(nobodys, wanted))

    assert await (await hint(shop)).result() is MoneyBack.NOTHING_TAKEN
    assert shop.steps == ["payments.inspect"]


async def test_a_provider_that_is_away_is_asked_until_the_money_is_back(shop: Shop) -> None:
    tries = 0

    async def away_for_hours(request: GiveMoneyBack) -> Any:
        nonlocal tries
        tries += 1
        if tries < 30:
            raise away()
        return PaymentGivenBack(how=MoneyBack.REFUNDED)

    shop.when(payments.give_back, away_for_hours)
    stray = await hint(took_place(shop))

    assert await stray.result() is MoneyBack.REFUNDED
    assert tries == 30
    assert [note.how for note in shop.requests(orders.note_late_money)] == [MoneyBack.REFUNDED]
