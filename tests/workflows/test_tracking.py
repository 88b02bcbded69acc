"""A parcel that has left, and whoever is asked to tell of it: the order waits for nobody."""

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from temporalio.client import WorkflowExecutionStatus

from domain.carriers import Following, FollowParcel, LeaveParcel, ParcelFollowed
from domain.orders import OrderStatus
from domain.shipping import ShipmentState, ShipParcel
from tests.workflows.shop import Shop, answering, away, to_fulfill
from tests.workflows.test_fulfillment import Desk
from workflows.names import Queue, tracking_id
from workflows.steps import carriers, shipping
from workflows.tracking import Tracking


@pytest.fixture
async def desk(shop: Shop) -> Desk:
    async def ships(request: ShipParcel) -> ShipmentState:
        return replace(await shop.usually_ship(request), to_follow=True)

    shop.when(shipping.ship, ships)
    request = to_fulfill()
    return Desk(shop, await shop.fulfill(request), request)


async def outcome(desk: Desk, asked: FollowParcel) -> Following:
    story = desk.shop.environment.client.get_workflow_handle_for(Tracking.run, tracking_id(asked.fulfillment_id))
    return await story.result()


async def test_a_parcel_that_is_shipped_twice_is_asked_about_once(desk: Desk) -> None:
    parcel = await desk.pack()
    await desk.ship(parcel)
    await desk.ship(parcel)
    asked = FollowParcel(order_id=desk.request.order_id, order_number=desk.request.order_number, fulfillment_id=parcel)

    assert await outcome(desk, asked) is Following.FOLLOWED
    assert desk.shop.requests(carriers.follow) == [asked]
    assert desk.shop.requests(carriers.leave) == []


@pytest.mark.matrix("ship: the carrier is away when it is asked to tell of a parcel")
async def test_an_order_is_delivered_while_its_carrier_does_not_answer(desk: Desk) -> None:
    desk.shop.when(carriers.follow, answering(away()))
    parcel = await desk.pack()
    await desk.ship(parcel)
    await desk.deliver(parcel)

    assert await desk.order.result() is OrderStatus.DELIVERED
    story = desk.shop.environment.client.get_workflow_handle(tracking_id(parcel))
    assert (await story.describe()).status is WorkflowExecutionStatus.RUNNING


@pytest.mark.matrix("ship: the carrier is away when it is asked to tell of a parcel")
async def test_silence_is_noted_after_a_day(shop: Shop) -> None:
    shop.when(carriers.follow, answering(away()))
    asked = FollowParcel(order_id=uuid4(), order_number="S-1001", fulfillment_id=uuid4())
    story = await shop.environment.client.start_workflow(
        Tracking.run, asked, id=tracking_id(asked.fulfillment_id), task_queue=Queue.FULFILLMENT
    )

    assert await story.result() is Following.UNANSWERED
    history = await story.fetch_history()
    took = history.events[-1].event_time.ToDatetime() - history.events[0].event_time.ToDatetime()
    assert timedelta(hours=23, minutes=45) < took < timedelta(hours=24, minutes=15)
    left = LeaveParcel(order_id=asked.order_id, fulfillment_id=asked.fulfillment_id, why=Following.UNANSWERED)
    assert shop.requests(carriers.leave) == [left]


async def test_a_refusal_is_noted_and_not_asked_for_again(desk: Desk) -> None:
    desk.shop.when(carriers.follow, answering(ParcelFollowed(outcome=Following.REFUSED)))
    parcel = await desk.pack()
    await desk.ship(parcel)
    asked = FollowParcel(order_id=desk.request.order_id, order_number=desk.request.order_number, fulfillment_id=parcel)

    assert await outcome(desk, asked) is Following.REFUSED
    assert len(desk.shop.requests(carriers.follow)) == 1
    assert [left.why for left in desk.shop.requests(carriers.leave)] == [Following.REFUSED]
