"""A return has deadlines: one for the shop to decide, one for the goods to arrive."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from domain.attention import Concern
from domain.orders import OrderAttention, OrderState, OrderStatus
from domain.payments import PaymentStatus
from domain.returns import DecideReturn, FollowReturn, ReceiveReturn, ReturnState, ReturnStatus, SettleReturn
from workers.run import workflow_runner
from workflows.goods_return import TIME_TO_ARRIVE, TIME_TO_DECIDE, Return
from workflows.names import Queue, return_id
from workflows.steps import orders, returns


@dataclass
class Warehouse:
    """Takes every step, and notes it."""

    environment: WorkflowEnvironment
    asked: list[Any] = field(default_factory=list)

    @returns.decide.performed_by
    async def decide(self, request: DecideReturn) -> ReturnState:
        self.asked.append(request)
        return ReturnState(return_id=request.return_id, status=request.decision)

    @returns.receive.performed_by
    async def receive(self, request: ReceiveReturn) -> ReturnState:
        self.asked.append(request)
        return ReturnState(return_id=request.return_id, status=ReturnStatus.RECEIVED)

    @returns.settle.performed_by
    async def settle(self, request: SettleReturn) -> ReturnState:
        self.asked.append(request)
        return ReturnState(return_id=request.return_id, status=ReturnStatus.REFUNDED)

    @orders.attend.performed_by
    async def attend(self, request: OrderAttention) -> OrderState:
        self.asked.append(request)
        return OrderState(
            order_id=request.order_id, status=OrderStatus.DELIVERED, payment_status=PaymentStatus.CAPTURED
        )

    async def follow(self) -> WorkflowHandle[Return, ReturnStatus]:
        request = FollowReturn(return_id=uuid4(), order_id=uuid4(), order_number="S-1001")
        return await self.environment.client.start_workflow(
            Return.run, request, id=return_id(request.return_id), task_queue=Queue.FULFILLMENT
        )


@pytest.fixture
async def warehouse(time_skipping: WorkflowEnvironment) -> AsyncIterator[Warehouse]:
    made = Warehouse(time_skipping)
    clerk = Worker(
        time_skipping.client,
        task_queue=Queue.FULFILLMENT,
        workflows=[Return],
        activities=[made.decide, made.receive, made.settle],
        workflow_runner=workflow_runner(sandboxed=True),
    )
    async with clerk, Worker(time_skipping.client, task_queue=Queue.CHECKOUT, activities=[made.attend]):
        yield made


def decision(goods: WorkflowHandle[Any, Any], status: ReturnStatus) -> DecideReturn:
    return DecideReturn(return_id=uuid4(), order_id=uuid4(), decision=status, actor="operator:1")


@pytest.mark.matrix("return: the goods never come")
async def test_an_approved_return_that_never_comes_is_closed(warehouse: Warehouse) -> None:
    goods = await warehouse.follow()
    await goods.execute_update("approve", decision(goods, ReturnStatus.APPROVED), result_type=ReturnState)

    assert await goods.result() == ReturnStatus.REJECTED
    assert [(asked.decision, asked.actor) for asked in warehouse.asked] == [
        (ReturnStatus.APPROVED, "operator:1"),
        (ReturnStatus.REJECTED, "system"),
    ]
    run = await goods.describe()
    assert run.close_time is not None
    took = run.close_time - run.start_time
    assert TIME_TO_ARRIVE <= took < TIME_TO_ARRIVE + timedelta(hours=1)


@pytest.mark.matrix("return: nobody decides")
async def test_a_return_that_nobody_decides_calls_for_a_person_until_somebody_does(warehouse: Warehouse) -> None:
    goods = await warehouse.follow()
    await warehouse.environment.sleep(TIME_TO_DECIDE + timedelta(minutes=1))
    await goods.execute_update("reject", decision(goods, ReturnStatus.REJECTED), result_type=ReturnState)

    assert await goods.result() == ReturnStatus.REJECTED
    late, _, settled = warehouse.asked
    assert (late.concern, late.detail) == (Concern.LATE_RETURN, "a return has waited for a decision for 7 days")
    assert (settled.concern, settled.detail) == (Concern.LATE_RETURN, None)


async def test_goods_with_nothing_left_to_pay_back_end_the_story(warehouse: Warehouse) -> None:
    goods = await warehouse.follow()
    await goods.execute_update("approve", decision(goods, ReturnStatus.APPROVED), result_type=ReturnState)
    parcel = ReceiveReturn(return_id=uuid4(), order_id=uuid4(), refund_id=uuid4(), actor="operator:1")
    state = await goods.execute_update("receive", parcel, result_type=ReturnState)

    assert state.status is ReturnStatus.REFUNDED
    assert await goods.result() == ReturnStatus.REFUNDED
