"""Work that comes by the clock, as Temporal Schedules: seen, paused and run at once with ``temporal schedule``."""

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleState,
    ScheduleUpdate,
    ScheduleUpdateInput,
)

from workers.duty import Scheduled
from workflows.names import Queue


async def see_to(client: Client, queue: Queue, wanted: Scheduled, *, is_paused: bool) -> None:
    """Make the schedule, or bring the one that is there up to date; however many workers do, there is one.

    Whether it is paused is decided when it is made; afterwards people decide.
    """
    schedule = Schedule(
        action=ScheduleActionStartWorkflow(
            wanted.story.__name__,
            wanted.request,
            id=wanted.id,
            task_queue=queue,
            static_summary=wanted.why,
        ),
        spec=wanted.when,
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=wanted.catch_up),
        state=ScheduleState(note=wanted.why, paused=is_paused),
    )
    try:
        await client.create_schedule(wanted.id, schedule)
    except ScheduleAlreadyRunningError:
        await client.get_schedule_handle(wanted.id).update(lambda found: _brought_up_to_date(schedule, found))


def _brought_up_to_date(wanted: Schedule, found: ScheduleUpdateInput) -> ScheduleUpdate:
    wanted.state = found.description.schedule.state
    return ScheduleUpdate(wanted)
