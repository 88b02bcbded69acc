"""Whoever waits for news can be sent home, also at the moment when there is some."""

import asyncio

import pytest

from db.waiting import happens


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
