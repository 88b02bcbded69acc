"""What was done is undone, last first and to the end, whatever happens meanwhile."""

import asyncio

import pytest
from temporalio.exceptions import ActivityError, ApplicationError, RetryState

from workflows.undo import Undo, undone_on_failure


def failed_step() -> ActivityError:
    return ActivityError(
        "a step failed for good",
        scheduled_event_id=1,
        started_event_id=2,
        identity="test",
        activity_type="orders.place",
        activity_id="1",
        retry_state=RetryState.NON_RETRYABLE_FAILURE,
    )


class World:
    """Three things that can be done, and what was undone of them."""

    def __init__(self) -> None:
        self.undone: list[str] = []

    def remember_all(self, undo: Undo) -> None:
        for name in ("order", "stock", "money"):
            undo.remember(lambda name=name: self.take_back(name))  # type: ignore[misc]

    async def a_story_that_ends_with(self, failure: Exception) -> None:
        async with undone_on_failure() as undo:
            self.remember_all(undo)
            raise failure

    async def take_back(self, name: str) -> None:
        await asyncio.sleep(0)
        self.undone.append(name)


async def test_a_story_that_ends_well_undoes_nothing() -> None:
    world = World()

    async with undone_on_failure() as undo:
        world.remember_all(undo)

    assert world.undone == []


async def test_what_was_done_last_is_undone_first() -> None:
    world, undo = World(), Undo()
    world.remember_all(undo)

    await undo.run()

    assert world.undone == ["money", "stock", "order"]


async def test_what_was_undone_is_not_undone_again() -> None:
    world, undo = World(), Undo()
    world.remember_all(undo)

    await undo.run()
    await undo.run()

    assert world.undone == ["money", "stock", "order"]


async def test_behind_the_point_of_no_return_nothing_is_undone() -> None:
    world = World()

    async def story() -> None:
        async with undone_on_failure() as undo:
            world.remember_all(undo)
            undo.forget()
            raise failed_step()

    with pytest.raises(ActivityError):
        await story()
    assert world.undone == []


@pytest.mark.parametrize("failure", [failed_step(), ApplicationError("no")])
async def test_a_step_that_fails_undoes_everything_and_the_failure_goes_on(failure: Exception) -> None:
    world = World()

    with pytest.raises(type(failure)) as raised:
        await world.a_story_that_ends_with(failure)

    assert raised.value is failure
    assert world.undone == ["money", "stock", "order"]


@pytest.mark.parametrize("bug", [ValueError("a bug"), AssertionError("another"), KeyError("a third")])
@pytest.mark.matrix("checkout: the code of a workflow has a bug")
async def test_a_bug_leaves_everything_as_it_is_for_the_repaired_deploy(bug: Exception) -> None:
    world = World()

    with pytest.raises(type(bug)):
        await world.a_story_that_ends_with(bug)

    assert world.undone == []


async def test_a_cancelled_story_is_undone_and_stays_cancelled() -> None:
    world, is_waiting = World(), asyncio.Event()

    async def story() -> None:
        async with undone_on_failure() as undo:
            world.remember_all(undo)
            is_waiting.set()
            await asyncio.Event().wait()

    told = asyncio.create_task(story())
    await is_waiting.wait()
    told.cancel()

    with pytest.raises(asyncio.CancelledError):
        await told
    assert world.undone == ["money", "stock", "order"]


async def test_further_cancels_do_not_stop_the_undoing() -> None:
    world, is_waiting = World(), asyncio.Event()
    is_undoing, may_go_on = asyncio.Event(), asyncio.Event()

    async def slowly() -> None:
        is_undoing.set()
        await may_go_on.wait()
        await world.take_back("money, slowly")

    async def story() -> None:
        async with undone_on_failure() as undo:
            undo.remember(lambda: world.take_back("order"))
            undo.remember(slowly)
            is_waiting.set()
            await asyncio.Event().wait()

    told = asyncio.create_task(story())
    await is_waiting.wait()
    told.cancel()
    await is_undoing.wait()
    for _ in range(3):
        told.cancel()
        await asyncio.sleep(0)
    assert world.undone == []
    may_go_on.set()

    with pytest.raises(asyncio.CancelledError):
        await told
    assert world.undone == ["money, slowly", "order"]


async def test_a_cancel_during_the_undoing_of_a_refusal_finishes_it() -> None:
    """A refusal undoes inside the block; the reversal that the cancel interrupts is begun again."""
    world, tries, is_undoing = World(), 0, asyncio.Event()

    async def interrupted() -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            is_undoing.set()
            await asyncio.Event().wait()
        await world.take_back("money")

    async def story() -> None:
        async with undone_on_failure() as undo:
            undo.remember(lambda: world.take_back("order"))
            undo.remember(interrupted)
            await undo.run()

    told = asyncio.create_task(story())
    await is_undoing.wait()
    told.cancel()

    with pytest.raises(asyncio.CancelledError):
        await told
    assert tries == 2
    assert world.undone == ["money", "order"]


async def test_a_reversal_that_fails_is_not_forgotten() -> None:
    world, undo, tries = World(), Undo(), 0

    async def fails_at_first() -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise failed_step()
        await world.take_back("money")

    undo.remember(lambda: world.take_back("order"))
    undo.remember(fails_at_first)

    with pytest.raises(ActivityError):
        await undo.run()
    assert world.undone == []
    await undo.run()

    assert world.undone == ["money", "order"]
