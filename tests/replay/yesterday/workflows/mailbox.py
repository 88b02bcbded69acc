"""The one who carries the letters."""

from datetime import timedelta

from temporalio import workflow

from tests.replay.yesterday.domain.notifications import Shift
from tests.replay.yesterday.workflows.steps import mailbox

SHIFT = timedelta(minutes=10)
SHIFTS_OF_A_RUN = 100


@workflow.defn
class Mailbox:
    """Never ends: somebody is always carrying letters, and when that somebody dies the engine finds another one."""

    @workflow.run
    async def run(self) -> None:
        workflow.set_current_details("Carries the letters that were asked for to the mail server.")
        for _ in range(SHIFTS_OF_A_RUN):
            await mailbox.carry(Shift(seconds=SHIFT.total_seconds()))
        workflow.continue_as_new()
