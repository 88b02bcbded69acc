"""What a story calls a person for, and how it takes the call back."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import TypeVar
from uuid import UUID

from temporalio import workflow

from domain.attention import Concern
from domain.orders import OrderAttention
from workflows import names
from workflows.steps import orders

Result = TypeVar("Result")

PATIENCE_WITH_AN_UNDO = timedelta(minutes=5)
"""After that somebody should look why money or goods are not back; the trying goes on meanwhile."""


async def keep_what_was_said() -> None:
    """Have the engine write down what a person said before anything is done about it.

    Local steps are done before the message that set them off stands in the history. An engine that is killed in between
    forgets the message, and not the deed.
    """
    if workflow.patched("what-was-said-is-kept-first"):
        await workflow.sleep(timedelta(milliseconds=1), summary="what was said is written down")


class Concerns:
    """The open concerns of one order, as its story knows them; the search attribute follows."""

    def __init__(self, order_id: UUID, known: Mapping[Concern, str] | None = None) -> None:
        self._order_id = order_id
        self._open = dict(known or {})
        self._one_at_a_time = asyncio.Lock()

    @property
    def words(self) -> str | None:
        """All that is open, in a sentence."""
        return "; ".join(self._open.values()) or None

    @property
    def open(self) -> Mapping[Concern, str]:
        return dict(self._open)

    @property
    def are_written_down(self) -> bool:
        """The shop knows what the story knows; nothing is on its way to it."""
        return not self._one_at_a_time.locked()

    def __contains__(self, concern: Concern) -> bool:
        return concern in self._open

    async def voice(self, concern: Concern, why: str) -> None:
        async with self._one_at_a_time:
            await self._voice(concern, why)

    async def settle(self, concern: Concern) -> None:
        """Content when it was not open."""
        async with self._one_at_a_time:
            await self._settle(concern)

    async def keep_true(self, concern: Concern, why: Callable[[], str | None]) -> None:
        """Voice, reword or settle the concern, by what is the case once nothing else is on its way to the shop."""
        async with self._one_at_a_time:
            words = why()
            if words is None:
                await self._settle(concern)
            elif words != self._open.get(concern):
                await self._voice(concern, words)

    async def _voice(self, concern: Concern, why: str) -> None:
        self._open[concern] = why
        await orders.attend(OrderAttention(order_id=self._order_id, concern=concern, detail=why))
        workflow.upsert_search_attributes([names.NEEDS_ATTENTION.value_set(True)])

    async def _settle(self, concern: Concern) -> None:
        if self._open.pop(concern, None) is not None:
            await orders.attend(OrderAttention(order_id=self._order_id, concern=concern, detail=None))
            workflow.upsert_search_attributes([names.NEEDS_ATTENTION.value_set(bool(self._open))])

    def forget(self) -> None:
        """The order is over, and its concerns with it."""
        if self._open:
            self._open.clear()
            workflow.upsert_search_attributes([names.NEEDS_ATTENTION.value_set(False)])

    async def if_it_takes_long(self, undoing: Awaitable[Result], what: str) -> Result:
        """Wait for a step that is repeated until it is done; a person is told when that takes too long."""
        is_over = False
        watching = asyncio.create_task(self._watch(what, lambda: is_over))
        try:
            done = await undoing
        finally:
            is_over = True
            await watching
        await self.settle(Concern.UNDO_FAILING)
        return done

    async def _watch(self, what: str, is_over: Callable[[], bool]) -> None:
        """A call that is on its way to the shop is not cut off: its end would be taken for a failure of the undo."""
        summary = "how long an undo may take before a person is told"
        try:
            await workflow.wait_condition(is_over, timeout=PATIENCE_WITH_AN_UNDO, timeout_summary=summary)
        except TimeoutError:
            minutes = PATIENCE_WITH_AN_UNDO.total_seconds() // 60
            await self.voice(Concern.UNDO_FAILING, f"{what} has not worked for {minutes:.0f} minutes; it is tried on")
