"""The one who sees to it that what waits for the shop's webhook endpoints is sent."""

from datetime import timedelta

from temporalio import workflow

from domain.webhooks import HandOut
from workflows.steps import webhooks

SHIFT = timedelta(minutes=10)
SHIFTS_OF_A_RUN = 100


@workflow.defn
class Dispatch:
    """Never ends: somebody is always handing out what waits, and when that somebody dies the engine finds another."""

    @workflow.run
    async def run(self) -> None:
        workflow.set_current_details("Hands events out to the stories that send them to webhook endpoints.")
        for _ in range(SHIFTS_OF_A_RUN):
            await webhooks.hand_out(HandOut(seconds=SHIFT.total_seconds()))
        workflow.continue_as_new()
