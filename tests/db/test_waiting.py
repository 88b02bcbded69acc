"""Whoever waits for news can be sent home, also at the moment when there is some."""

import asyncio

import pytest

from db.waiting import ended, happens


async def test_what_happens_in_time_is_seen_and_what_does_not_is_not() -> None:
    event = asyncio.Event()

    assert not await happens(event, within=0)
    event.set()
    assert await happens(event, within=None)


async def test_a_loop_that_waits_for_news_ends_when_it_is_cancelled_in_the_moment_that_there_is_some() -> None:
    event = asyncio.Event()

    async def follow() -> None:
        while True:
            event.clear()
            await happens(event, within=60)

    following = asyncio.create_task(follow())
    await asyncio.sleep(0)
    event.set()
    following.cancel()

    done, _ = await asyncio.wait({following}, timeout=5)
    assert done
    with pytest.raises(asyncio.CancelledError):
        await following


async def test_a_loop_is_ended_also_when_what_it_calls_swallows_a_cancellation() -> None:
    """As the client of Valkey may before Python 3.12, in the moment of an answer."""
    swallowed = 0

    async def go_on() -> None:
        nonlocal swallowed
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if swallowed == 2:
                    raise
                swallowed += 1

    going_on = asyncio.create_task(go_on())
    await asyncio.sleep(0)

    await ended(going_on, again_after=0)

    assert swallowed == 2
    assert going_on.cancelled()


async def test_what_a_loop_broke_on_is_no_matter_any_more_when_it_is_ended() -> None:
    async def breaks() -> None:
        raise RuntimeError("over")

    broken = asyncio.create_task(breaks())
    await asyncio.sleep(0)

    await ended(broken)

    assert isinstance(broken.exception(), RuntimeError)
