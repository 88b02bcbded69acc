"""What of a failure is told to the engine, which keeps it."""

from uuid import uuid4

import pytest
from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.testing import ActivityEnvironment
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput

from activities.failures import FailureTranslation
from db.customers import User
from domain.errors import Refusal
from runtime.resources import Resources


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
