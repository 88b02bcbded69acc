"""From a person's wish to be forgotten to a shop that does not know them."""

from datetime import timedelta

from temporalio import workflow

from domain.erasures import ErasePerson, ErasureOutcome
from workflows.steps import erasures

PAUSES_WHILE_THE_WISH_IS_NOT_THERE = (0.25, 0.5, 1, 2, 4, 8, 16)
"""Seconds. The API starts this workflow before it commits the wish, and Postgres ends its transaction well before these
are over: see ``db.erasures.ask``."""

LOOKED_AT_AGAIN_AFTER = timedelta(days=1)


@workflow.defn
class Erasure:
    """Wait until nothing that the person ordered is on its way any more, then forget who they were."""

    @workflow.run
    async def run(self, request: ErasePerson) -> ErasureOutcome:
        if not await self._was_asked(request):
            return ErasureOutcome.NEVER_ASKED
        while open_orders := (await erasures.look_up(request)).open_orders:
            workflow.set_current_details(f"Waits for {open_orders} orders that are on their way; looks again each day.")
            await workflow.sleep(LOOKED_AT_AGAIN_AFTER, summary="until nothing is on its way any more")
        await erasures.erase(request)
        workflow.set_current_details("The person is forgotten.")
        return ErasureOutcome.ERASED

    async def _was_asked(self, request: ErasePerson) -> bool:
        for pause in PAUSES_WHILE_THE_WISH_IS_NOT_THERE:
            if (await erasures.look_up(request)).was_asked:
                return True
            await workflow.sleep(pause, summary="until the wish is committed")
        return (await erasures.look_up(request)).was_asked
