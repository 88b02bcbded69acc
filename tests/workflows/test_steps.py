"""A step is called like a function, and arrives at the engine with its name, its queue and its patience."""

from datetime import timedelta
from typing import Any

import pytest
from temporalio.activity import _Definition
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from tests.workflows.probe import LOCAL, NEARBY, REMOTE, Doubling, Probe
from workers.run import workflow_runner
from workflows.names import Queue
from workflows.steps import patience
from workflows.steps.patience import Patience
from workflows.steps.step import Step

QUEUE = "probes"


async def asked(environment: WorkflowEnvironment, step: Step[Any, Any]) -> tuple[str, list[Any]]:
    """What the story made of the answer, and the events that the engine kept."""
    doubling = Doubling()
    runner = workflow_runner(sandboxed=True)
    async with (
        Worker(
            environment.client,
            task_queue=QUEUE,
            workflows=[Probe],
            activities=[doubling.nearby, doubling.local],
            workflow_runner=runner,
        ),
        Worker(environment.client, task_queue=Queue.PAYMENTS, activities=[doubling.remote]),
    ):
        probe = await environment.client.start_workflow(Probe.run, step.name, id=f"probe:{step.name}", task_queue=QUEUE)
        result = await probe.result()
        return result, list((await probe.fetch_history()).events)


@pytest.mark.parametrize(("step", "queue"), [(REMOTE, Queue.PAYMENTS), (NEARBY, QUEUE)], ids=["remote", "nearby"])
async def test_a_step_is_scheduled_under_its_name_on_its_queue_with_its_patience(
    time_skipping: WorkflowEnvironment, step: Step[Any, Any], queue: str
) -> None:
    result, events = await asked(time_skipping, step)

    assert result == "Reply USD 0.42"  # the answer is a typed value again, Money inside it too
    [scheduled] = [
        event.activity_task_scheduled_event_attributes
        for event in events
        if event.HasField("activity_task_scheduled_event_attributes")
    ]
    assert (scheduled.activity_type.name, scheduled.task_queue.name) == (step.name, queue)
    assert scheduled.start_to_close_timeout.ToTimedelta() == timedelta(seconds=15)
    assert scheduled.schedule_to_close_timeout.ToTimedelta() == timedelta(minutes=2)
    retries = scheduled.retry_policy
    assert retries.initial_interval.ToTimedelta() == timedelta(milliseconds=500)
    assert retries.maximum_interval.ToTimedelta() == timedelta(seconds=15)
    assert (retries.backoff_coefficient, retries.maximum_attempts) == (2.0, 0)


async def test_a_local_step_costs_the_engine_one_event(time_skipping: WorkflowEnvironment) -> None:
    result, events = await asked(time_skipping, LOCAL)

    assert result == "Reply USD 0.42"
    assert [event for event in events if event.HasField("activity_task_scheduled_event_attributes")] == []
    markers = [event for event in events if event.HasField("marker_recorded_event_attributes")]
    assert len(markers) == 1


def test_an_activity_is_bound_under_the_name_of_its_step() -> None:
    definition = _Definition.must_from_callable(Doubling().remote)

    assert definition.name == REMOTE.name
    assert definition.arg_types == [REMOTE.takes]
    assert definition.ret_type is REMOTE.gives


ALL = [value for value in vars(patience).values() if isinstance(value, Patience)]


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: f"{kind.attempt}-{kind.budget}-{kind.is_local}")
def test_every_patience_has_a_limit_for_one_try_and_none_for_their_number(kind: Patience) -> None:
    options: Any = kind.local_options(None) if kind.is_local else kind.options(None, None)

    assert options["start_to_close_timeout"] == kind.attempt
    assert options["schedule_to_close_timeout"] == kind.budget
    assert options["retry_policy"].maximum_attempts == 0
    assert kind.budget is None or kind.attempt <= kind.budget


@pytest.mark.parametrize("kind", [kind for kind in ALL if kind.is_local], ids=lambda kind: f"{kind.budget}")
def test_a_local_step_leaves_its_longer_pauses_to_the_engine(kind: Patience) -> None:
    assert kind.local_options(None)["local_retry_threshold"] == timedelta(milliseconds=500)
