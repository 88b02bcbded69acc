"""Waiting for what may happen."""

import asyncio


async def happens(event: asyncio.Event, *, within: float | None) -> bool:
    """Whether the event was seen within so many seconds (``None``: however long it takes)."""
    try:
        async with asyncio.timeout(within):
            await event.wait()
    except TimeoutError:
        return False
    return True
