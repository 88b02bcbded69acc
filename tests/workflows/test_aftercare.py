"""A delivered order is closed once nothing of it can come back any more: real tables, and a clock that skips."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from temporalio.client import WorkflowHandle

from db import parcels, returns
from db.base import new_id
from db.returns import ReturnWish, WantedReturn
from domain.deadlines import Term
from domain.errors import Refusal
from domain.orders import OrderAftercare
from domain.returns import DecideReturn, ReturnStatus
from runtime.resources import Resources
from tests.support.catalog import a_product
from tests.support.orders import AnOrder, a_confirmed_order, lines_of, to_move, to_plan, to_ship
from tests.support.skipping import PatientShop, patient_shop
from workflows.aftercare import Aftercare
from workflows.names import Queue, aftercare_id

WINDOW = timedelta(days=30)
TERM = Term(days=30, zone=UTC)
"""Until the end of the thirtieth day: a day longer at most."""


@pytest.fixture
async def shop(resources: Resources, sandbox: httpx.AsyncClient) -> AsyncIterator[PatientShop]:
    async with patient_shop(resources, sandbox) as patient:
        yield patient


@pytest.fixture
async def order(resources: Resources) -> AnOrder:
    """Of one unit, and delivered just now."""
    product = await a_product(resources.sessions, price="10.00", stock=3)
    made = await a_confirmed_order(resources.sessions, (product.variant_id, 1))
    plan = to_plan(made)
    async with resources.sessions.begin() as session:
        await parcels.plan(session, plan)
        await parcels.charge(session, to_ship(made, plan.fulfillment_id))
        await parcels.ship(session, to_ship(made, plan.fulfillment_id))
        await parcels.deliver(session, to_move(made, plan.fulfillment_id))
    return made


async def followed(shop: PatientShop, order: AnOrder) -> WorkflowHandle[Aftercare, datetime]:
    request = OrderAftercare(order_id=order.order_id, order_number=order.order_number)
    return await shop.environment.client.start_workflow(
        Aftercare.run, request, id=aftercare_id(order.order_id), task_queue=Queue.FULFILLMENT
    )


async def shown(shop: PatientShop, order: AnOrder) -> Any:
    seen = await shop.order(order.order_id)
    return seen["status"], seen["return_status"], seen["closed_at"]


async def delivered_at(shop: PatientShop, order: AnOrder) -> datetime:
    [parcel] = (await shop.order(order.order_id))["fulfillments"]
    return datetime.fromisoformat(parcel["delivered_at"])


async def asks_for_return(shop: PatientShop, order: AnOrder) -> UUID:
    [line] = (await lines_of(shop.resources.sessions, order)).values()
    wish = ReturnWish(
        return_id=new_id(),
        order_id=order.order_id,
        items={line: WantedReturn(quantity=1, reason="too small")},
        term=TERM,
        actor="guest",
    )
    async with shop.resources.sessions.begin() as session:
        return (await returns.request(session, wish)).id


async def test_an_order_is_closed_when_nothing_of_it_can_be_sent_back_any_more(
    shop: PatientShop, order: AnOrder
) -> None:
    story = await followed(shop, order)
    end = TERM.end(await delivered_at(shop, order))
    await shop.environment.sleep(end - timedelta(minutes=10) - await shop.environment.get_current_time())
    assert await shown(shop, order) == ("delivered", "none", None)

    closed_at = await story.result()

    assert end <= closed_at < end + timedelta(minutes=1)
    assert await shown(shop, order) == ("delivered", "none", closed_at)
    assert (await shop.timeline(order.order_id))[-2:] == ["order.delivered", "order.closed"]
    with pytest.raises(Refusal) as refused:
        await asks_for_return(shop, order)
    assert refused.value.code == "units_not_returnable"
    assert await shown(shop, order) == ("delivered", "none", closed_at)


async def test_a_return_that_is_still_open_postpones_it(shop: PatientShop, order: AnOrder) -> None:
    story = await followed(shop, order)
    goods = await asks_for_return(shop, order)
    await shop.environment.sleep(WINDOW + timedelta(days=3))
    assert await shown(shop, order) == ("delivered", "requested", None)
    rejected = DecideReturn(
        return_id=goods, order_id=order.order_id, decision=ReturnStatus.REJECTED, actor="operator:1"
    )
    async with shop.resources.sessions.begin() as session:
        await returns.decide(session, rejected)

    closed_at = await story.result()

    after_delivery = closed_at - await delivered_at(shop, order)
    assert WINDOW + timedelta(days=3) < after_delivery < WINDOW + timedelta(days=5)
    assert await shown(shop, order) == ("delivered", "none", closed_at)
    assert (await shop.timeline(order.order_id))[-3:] == ["return.requested", "return.rejected", "order.closed"]


async def test_closing_is_done_once(shop: PatientShop, order: AnOrder) -> None:
    closed_at = await (await followed(shop, order)).result()

    again = await shop.environment.client.execute_workflow(
        Aftercare.run,
        OrderAftercare(order_id=order.order_id, order_number=order.order_number),
        id=f"again:{order.order_id}",
        task_queue=Queue.FULFILLMENT,
    )

    assert again == closed_at
    assert (await shop.timeline(order.order_id)).count("order.closed") == 1


@pytest.mark.parametrize(
    "change", ["status = 'shipped'", "return_status = 'requested'", "return_status = 'in_progress'"]
)
async def test_the_database_closes_only_what_is_delivered_and_stays_with_its_customer(
    resources: Resources, order: AnOrder, change: str
) -> None:
    statement = f"UPDATE orders SET closed_at = now(), {change} WHERE id = :id"  # noqa: S608 (constant text)
    async with resources.sessions() as session:
        with pytest.raises(IntegrityError, match="closed_is_delivered"):
            await session.execute(text(statement), {"id": order.order_id})
