"""Waiting for what may happen, and for what shall end."""

import asyncio
from typing import Any


async def happens(event: asyncio.Event, *, within: float | None) -> bool:
    """Whether the event was seen within so many seconds (``None``: however long it takes)."""
    try:
        async with asyncio.timeout(within):
            await event.wait()
    except TimeoutError:
        return False
    return True


async def ended(*tasks: asyncio.Task[Any], again_after: float = 1.0) -> None:
    """Cancel the tasks until they are over, whatever they end with.

    Once may not do: libraries call ``asyncio.wait_for``, which before Python 3.12 swallows a cancellation that comes
    with the answer.
    """
    while going_on := [task for task in tasks if not task.done()]:
        for task in going_on:
            task.cancel()
        await asyncio.wait(going_on, timeout=again_after)
    await asyncio.gather(*tasks, return_exceptions=True)
