"""What was taken in and got no further is begun by the API itself, one wish independently of the other."""

import asyncio
from dataclasses import replace
from uuid import UUID

import pytest
from sqlalchemy import text
from temporalio.client import WorkflowExecutionStatus

from api import intake
from api.stories import Stories
from db import checkouts
from domain.inventory import StockLevel
from domain.orders import CheckoutOutcome
from domain.taxes import TaxAnswer, TaxQuestion
from runtime import chores
from runtime.resources import Resources
from runtime.temporal import connect
from tests.db.test_tax_answers import UNTABLED, Partner, a_cart_to, a_shop
from tests.support.catalog import AProduct, a_product, stock_of
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


class Meanwhile(Partner):
    """While it is asked for the first time, the customer takes another unit."""

    def __init__(self, resources: Resources) -> None:
        super().__init__()
        self.resources = resources
        self.cart_id: UUID | None = None

    async def assess(self, question: TaxQuestion) -> TaxAnswer:
        if not self.asked:
            async with self.resources.sessions.begin() as session:
                another = text("UPDATE cart_items SET quantity = quantity + 1 WHERE cart_id = :id")
                await session.execute(another, {"id": self.cart_id})
        return await super().assess(question)


async def held(resources: Resources, partner: Partner, product: AProduct) -> tuple[CheckoutOutcome, int | None]:
    """What becomes of a checkout of two units without an engine, and the tax of its order, if there is one."""
    async with a_shop(resources) as sessions:
        shop = replace(resources, sessions=sessions, autocommit=sessions, taxes=partner)
        cart_id = await a_cart_to(sessions, product, UNTABLED)
        if isinstance(partner, Meanwhile):
            partner.cart_id = cart_id
        async with sessions.begin() as session:
            wish = await checkouts.take_in(session, a_wish(cart_id))
        outcome = await intake.held_until_the_engine_is_back(wish, shop)
        async with sessions() as session:
            tax = text("SELECT tax FROM orders WHERE id = :id")
            return outcome, await session.scalar(tax, {"id": wish.order_id})


async def test_without_an_engine_the_tax_provider_is_asked_before_goods_are_held(resources: Resources) -> None:
    product = await a_product(resources.sessions, price="10.00", stock=5)

    outcome, tax = await held(resources, Partner(), product)

    assert (outcome.refused, tax) == (None, 249)
    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=5, reserved=2)


async def test_without_engine_and_tax_provider_nothing_is_sold_and_nothing_held(resources: Resources) -> None:
    product, partner = await a_product(resources.sessions, price="10.00", stock=5), Partner()
    partner.is_silent = True

    outcome, tax = await held(resources, partner, product)

    assert outcome.refused is not None
    assert (outcome.refused.code, tax) == ("tax_unavailable", None)
    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=5, reserved=0)


async def test_without_an_engine_a_cart_that_changes_while_it_is_asked_about_is_asked_about_again(
    resources: Resources,
) -> None:
    product, partner = await a_product(resources.sessions, price="10.00", stock=5), Meanwhile(resources)

    outcome, tax = await held(resources, partner, product)

    assert [question.goods[0].amount for question in partner.asked] == [2000, 3000]
    assert (outcome.refused, tax) == (None, 349)
    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=5, reserved=3)
