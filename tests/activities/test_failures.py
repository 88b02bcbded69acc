"""What of a failure is told to the engine, which keeps it."""

from uuid import uuid4

import pytest
from asyncpg import UniqueViolationError
from sqlalchemy import text
from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.testing import ActivityEnvironment
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput

from activities.failures import FailureTranslation
from db import inventory
from db.customers import User
from domain.errors import Refusal
from runtime.resources import Resources
from tests.support.catalog import a_product, stock_of


class Last(ActivityInboundInterceptor):
    """The end of the chain: runs the activity."""

    def __init__(self) -> None:
        pass

    async def execute_activity(self, input: ExecuteActivityInput) -> object:  # noqa: A002 (the SDK's name)
        return await input.fn(*input.args)


async def translated(fn: object) -> ApplicationError:
    chain = FailureTranslation().intercept_activity(Last())

    async def run() -> None:
        await chain.execute_activity(ExecuteActivityInput(fn=fn, args=[], executor=None, headers={}))  # type: ignore[arg-type]

    with pytest.raises(ApplicationError) as failed:
        await ActivityEnvironment().run(run)
    return failed.value


async def test_a_refusal_is_final_and_benign_and_keeps_its_code_and_facts() -> None:
    @activity.defn
    async def refuse() -> None:
        raise Refusal("out_of_stock", "Not enough stock.", left=3)

    failed = await translated(refuse)

    assert failed.type == "out_of_stock"
    assert failed.message == "Not enough stock."
    assert failed.details == ({"left": 3},)
    assert failed.non_retryable
    assert failed.category is ApplicationErrorCategory.BENIGN


async def test_a_failure_of_postgres_is_retried_and_quotes_no_row(resources: Resources) -> None:
    name = f"ada.{uuid4().hex[:12]}"

    @activity.defn
    async def insert_twice() -> None:
        async with resources.sessions.begin() as session:
            session.add(User(username=name, email=f"{name}@example.com", password_hash="secret-hash"))
            await session.flush()
            session.add(User(username=name, email=f"other.{name}@example.com", password_hash="secret-hash"))

    failed = await translated(insert_twice)

    assert not failed.non_retryable
    assert failed.message == "Postgres failed with 23505."
    assert failed.__cause__ is None
    assert failed.details == ()


async def test_what_nobody_foresaw_passes_unchanged_and_is_retried() -> None:
    chain = FailureTranslation().intercept_activity(Last())

    @activity.defn
    async def stumble() -> None:
        raise LookupError("nobody foresaw this")

    async def run() -> None:
        await chain.execute_activity(ExecuteActivityInput(fn=stumble, args=[], executor=None, headers={}))

    with pytest.raises(LookupError, match="nobody foresaw this"):
        await ActivityEnvironment().run(run)


async def test_a_step_that_waits_too_long_for_a_lock_is_tried_again_and_then_done(resources: Resources) -> None:
    product = await a_product(resources.sessions, stock=3)
    hold = text("SELECT 1 FROM stock WHERE variant_id = :id FOR UPDATE")

    @activity.defn
    async def take_one() -> None:
        async with resources.sessions.begin() as session:
            await session.execute(text("SET LOCAL lock_timeout = '100ms'"))
            await inventory.adjust(session, product.variant_id, -1, reason="lost", actor="operator:test")

    async with resources.sessions.begin() as in_the_way:
        await in_the_way.execute(hold, {"id": product.variant_id})
        failed = await translated(take_one)
    await ActivityEnvironment().run(take_one)

    assert (failed.message, failed.type) == ("Postgres failed with 55P03.", "DatabaseError")
    assert not failed.non_retryable
    assert (await stock_of(resources.sessions, product.variant_id)).on_hand == 2


async def test_a_failure_of_postgres_that_comes_past_the_toolkit_quotes_no_row_either() -> None:
    @activity.defn
    async def copy() -> None:
        raise UniqueViolationError("Key (email)=(ada@example.com) already exists.")

    failed = await translated(copy)

    assert (failed.message, failed.type) == ("Postgres failed with 23505.", "DatabaseError")
