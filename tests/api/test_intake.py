"""What was taken in and got no further is begun by the API itself, one wish independently of the other."""

import asyncio
from uuid import UUID

import pytest
from temporalio.client import WorkflowExecutionStatus

from api import chores, intake
from api.stories import Stories
from db import checkouts
from runtime.resources import Resources
from runtime.temporal import connect
from tests.support.catalog import a_product
from tests.support.engines import make_namespace
from tests.support.orders import a_cart, a_wish
from tests.support.waiting import eventually
from workflows import names


async def test_a_checkout_that_gets_no_further_holds_up_no_other(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody serves this engine's queues, so none of them is ever answered; all are begun nevertheless."""
    namespace = "nobody-serves-it"
    await make_namespace(resources, namespace)
    engine = await connect(resources.settings.temporal.model_copy(update={"namespace": namespace}))
    stories = Stories(engine, resources.autocommit, wait_seconds=3600)
    product = await a_product(resources.sessions, stock=9)
    taken_in: list[UUID] = []
    for _ in range(3):
        cart = await a_cart(resources.sessions, (product.variant_id, 1))
        async with resources.sessions.begin() as session:
            taken_in.append((await checkouts.take_in(session, a_wish(cart))).order_id)
    begun: set[UUID] = set()

    async def have_begun() -> bool:
        await intake.look_once(resources, stories, begun)
        return begun.issuperset(taken_in)

    monkeypatch.setattr(intake, "OLD_ENOUGH_SECONDS", 0)  # before an API with workers behind it finds them
    await eventually(have_begun)

    for order_id in taken_in:
        run = await engine.get_workflow_handle(names.order_id(order_id)).describe()
        assert (run.status, run.workflow_type) == (WorkflowExecutionStatus.RUNNING, "Checkout")


async def test_a_chore_that_goes_wrong_is_done_again() -> None:
    done: list[str] = []
    third_time = asyncio.Event()

    async def chore() -> None:
        done.append("tried")
        if len(done) == 1:
            raise TimeoutError
        if len(done) == 2:
            raise LookupError("what nobody foresaw")
        third_time.set()

    keeping = asyncio.create_task(chores.kept_up(chore, name="test", pause_seconds=0))
    await third_time.wait()

    assert done[:3] == ["tried"] * 3
    assert not keeping.done()
    keeping.cancel()
