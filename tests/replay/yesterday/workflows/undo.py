"""Remember how to take things back, and take them back when the story fails."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

from temporalio.exceptions import FailureError

Reversal = Callable[[], Awaitable[object]]


class Undo:
    """Reversals, run last first. Each is remembered on the line before the step that it reverses."""

    def __init__(self) -> None:
        self._reversals: list[Reversal] = []

    def remember(self, reversal: Reversal) -> None:
        self._reversals.append(reversal)

    def forget(self) -> None:
        """There is no way back from here: what was done stays done."""
        self._reversals.clear()

    async def run(self) -> None:
        while self._reversals:
            await self._reversals[-1]()
            self._reversals.pop()


@asynccontextmanager
async def undone_on_failure() -> AsyncGenerator[Undo, None]:
    """What the block remembered is undone when it fails or is cancelled; a further cancel does not stop the undoing.

    Bugs are neither: any other exception passes through untouched, suspends the workflow, and waits for a repaired
    deploy.
    """
    undo = Undo()
    try:
        yield undo
    except (FailureError, asyncio.CancelledError):
        await _to_the_end(undo)
        raise


async def _to_the_end(undo: Undo) -> None:
    undoing = asyncio.ensure_future(undo.run())
    while not undoing.done():
        try:
            await asyncio.shield(undoing)
        except asyncio.CancelledError:
            if undoing.cancelled():
                raise
    undoing.result()
