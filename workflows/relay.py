"""The one who tells the rest of the company."""

from datetime import timedelta

from temporalio import workflow

from domain.events import CarryEvents
from workflows.steps import events

SHIFT = timedelta(minutes=10)
SHIFTS_OF_A_RUN = 100


@workflow.defn
class EventRelay:
    """Never ends: somebody is always carrying events, and when that somebody dies the engine finds another one."""

    @workflow.run
    async def run(self) -> None:
        workflow.set_current_details("Carries the events of the outbox to the stream.")
        for _ in range(SHIFTS_OF_A_RUN):
            await events.carry(CarryEvents(seconds=SHIFT.total_seconds()))
        workflow.continue_as_new()
