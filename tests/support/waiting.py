"""Waiting for what happens elsewhere, without guessing how long it takes."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

Found = TypeVar("Found")


async def eventually(condition: Callable[[], Awaitable[Found | None]], within: float = 30.0) -> Found:
    """What the condition gives as soon as that is true; ``TimeoutError`` when it never becomes so."""
    async with asyncio.timeout(within):
        while not (found := await condition()):  # noqa: ASYNC110 (it happens in another process)
            await asyncio.sleep(0.02)
        return found
