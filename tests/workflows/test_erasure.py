"""Who wants to be forgotten is, once nothing is on its way to them any more: real tables, and a clock that skips."""

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from temporalio.testing import WorkflowEnvironment

from db import erasures, parcels
from db.base import new_id
from db.customers import User
from domain.customers import AccountStatus
from domain.erasures import ErasePerson, ErasureOutcome
from domain.errors import Refusal
from runtime.resources import Resources
from tests.support.catalog import a_product
from tests.support.orders import AnOrder, a_confirmed_order, to_move, to_plan, to_ship
from tests.support.waiting import eventually
from tests.workflows.conftest import skipping_time
from workers.run import DUTIES, worker_for
from workflows.erasure import LOOKED_AT_AGAIN_AFTER, Erasure
from workflows.names import Queue, erasure_id


@pytest.fixture
async def engine(resources: Resources) -> AsyncIterator[WorkflowEnvironment]:
    async with skipping_time() as environment:
        duty = DUTIES[Queue.REGISTRATION](resources)
        async with worker_for(Queue.REGISTRATION, duty, environment.client, resources):
            yield environment


@pytest.fixture
async def order(resources: Resources) -> AnOrder:
    """A guest's, of one unit, and confirmed."""
    product = await a_product(resources.sessions, price="10.00", stock=3)
    order = await a_confirmed_order(resources.sessions, (product.variant_id, 1))
    async with resources.sessions.begin() as session:  # all tests buy with the same address
        await session.execute(
            text("UPDATE orders SET email = :email WHERE id = :id"),
            {"email": f"{order.order_id}@example.com", "id": order.order_id},
        )
    return order


async def asked(resources: Resources, **about: UUID | None) -> UUID:
    async with resources.sessions.begin() as session:
        who = {"user_id": None, "order_id": None, **about}
        wish, _ = await erasures.ask(session, user_id=who["user_id"], order_id=who["order_id"], asked_by="operator:1")
    return wish.id


async def email_of(resources: Resources, order: AnOrder) -> str:
    async with resources.sessions() as session:
        return str(await session.scalar(text("SELECT email FROM orders WHERE id = :id"), {"id": order.order_id}))


async def deliver(resources: Resources, order: AnOrder) -> None:
    plan = to_plan(order)
    async with resources.sessions.begin() as session:
        await parcels.plan(session, plan)
        await parcels.charge(session, to_ship(order, plan.fulfillment_id))
        await parcels.ship(session, to_ship(order, plan.fulfillment_id))
        await parcels.deliver(session, to_move(order, plan.fulfillment_id))


async def test_it_waits_while_a_parcel_needs_to_know_where_to(
    engine: WorkflowEnvironment, resources: Resources, order: AnOrder
) -> None:
    wish = await asked(resources, order_id=order.order_id)
    story = await engine.client.start_workflow(
        Erasure.run, ErasePerson(erasure_id=wish), id=erasure_id(wish), task_queue=Queue.REGISTRATION
    )

    async def rests() -> bool:
        return any(e.HasField("timer_started_event_attributes") for e in (await story.fetch_history()).events)

    await eventually(rests)
    await engine.sleep(LOOKED_AT_AGAIN_AFTER)
    assert await email_of(resources, order) == f"{order.order_id}@example.com"
    await deliver(resources, order)
    assert await story.result() is ErasureOutcome.ERASED
    assert await email_of(resources, order) == "erased@erased.invalid"


async def test_a_wish_that_was_never_committed_ends_by_itself(engine: WorkflowEnvironment) -> None:
    nobodys = new_id()

    outcome = await engine.client.execute_workflow(
        Erasure.run, ErasePerson(erasure_id=nobodys), id=erasure_id(nobodys), task_queue=Queue.REGISTRATION
    )

    assert outcome is ErasureOutcome.NEVER_ASKED


async def test_erasing_twice_is_erasing_once(resources: Resources, order: AnOrder) -> None:
    await deliver(resources, order)
    wish = await asked(resources, order_id=order.order_id)
    for _ in range(2):
        async with resources.sessions.begin() as session:
            await erasures.erase(session, wish)

    async with resources.sessions() as session:
        shown = await erasures.shown(session, wish)
    assert shown is not None
    assert shown[0].erased_at is not None
    assert await asked(resources, order_id=order.order_id) == wish


async def test_an_account_is_closed_with_the_wish_and_its_mail_address_is_free_again_afterwards(
    resources: Resources,
) -> None:
    name = f"gone.{uuid4().hex[:8]}"
    async with resources.sessions.begin() as session:
        user = User(username=name, email=f"{name}@example.com", password_hash="none", status=AccountStatus.ACTIVE)
        session.add(user)
    wish = await asked(resources, user_id=user.id)

    async with resources.sessions.begin() as session:
        closed = await session.get(User, user.id)
        assert closed is not None
        assert closed.status == AccountStatus.CLOSED
        await erasures.erase(session, wish)
        session.add(User(username=name, email=f"{name}@example.com", password_hash="none"))


async def test_an_order_of_an_account_is_not_forgotten_as_a_guests(resources: Resources) -> None:
    with pytest.raises(Refusal) as refused:
        await asked(resources, order_id=new_id())

    assert refused.value.code == "not_found"
