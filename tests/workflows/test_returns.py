"""A return has deadlines: one for the shop to decide, one for the goods to arrive."""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest
from temporalio.testing import WorkflowEnvironment

from domain.attention import Concern
from domain.returns import DecideReturn, FollowReturn, ReceiveReturn, ReturnState, ReturnStatus
from tests.workflows.shop import Returning, Shop, serving
from workflows.goods_return import TIME_TO_ARRIVE, TIME_TO_DECIDE
from workflows.steps import orders, returns


@pytest.fixture
async def shop(time_skipping: WorkflowEnvironment) -> AsyncIterator[Shop]:
    """On the engine that others use, too: none of these stories is ended in the middle of a step."""
    shop = Shop(time_skipping)
    async with serving(shop):
        yield shop


async def announced(shop: Shop) -> Returning:
    return await shop.follow_return(FollowReturn(return_id=uuid4(), order_id=uuid4(), order_number="S-1001"))


def decision(status: ReturnStatus) -> DecideReturn:
    return DecideReturn(return_id=uuid4(), order_id=uuid4(), decision=status, actor="operator:1")


@pytest.mark.matrix("return: the goods never come")
async def test_an_approved_return_that_never_comes_is_closed(shop: Shop) -> None:
    goods = await announced(shop)
    await goods.execute_update("approve", decision(ReturnStatus.APPROVED), result_type=ReturnState)

    assert await goods.result() == ReturnStatus.REJECTED
    assert [(asked.decision, asked.actor) for asked in shop.requests(returns.decide)] == [
        (ReturnStatus.APPROVED, "operator:1"),
        (ReturnStatus.REJECTED, "system"),
    ]
    run = await goods.describe()
    assert run.close_time is not None
    took = run.close_time - run.start_time
    assert TIME_TO_ARRIVE <= took < TIME_TO_ARRIVE + timedelta(hours=1)


@pytest.mark.matrix("return: nobody decides")
async def test_a_return_that_nobody_decides_calls_for_a_person_until_somebody_does(shop: Shop) -> None:
    goods = await announced(shop)
    await shop.environment.sleep(TIME_TO_DECIDE + timedelta(minutes=1))
    await goods.execute_update("reject", decision(ReturnStatus.REJECTED), result_type=ReturnState)

    assert await goods.result() == ReturnStatus.REJECTED
    assert shop.steps == ["orders.attend", "returns.decide", "orders.attend"]
    late, settled = shop.requests(orders.attend)
    assert (late.concern, late.detail) == (Concern.LATE_RETURN, "a return has waited for a decision for 7 days")
    assert (settled.concern, settled.detail) == (Concern.LATE_RETURN, None)


async def test_goods_with_nothing_left_to_pay_back_end_the_story(shop: Shop) -> None:
    goods = await announced(shop)
    await goods.execute_update("approve", decision(ReturnStatus.APPROVED), result_type=ReturnState)
    parcel = ReceiveReturn(return_id=uuid4(), order_id=uuid4(), refund_id=uuid4(), actor="operator:1")
    state = await goods.execute_update("receive", parcel, result_type=ReturnState)

    assert state.status is ReturnStatus.REFUNDED
    assert await goods.result() == ReturnStatus.REFUNDED
