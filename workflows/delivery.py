"""The events of one order go to one webhook endpoint."""

from contextlib import suppress
from datetime import datetime, timedelta

from temporalio import workflow

from domain.webhooks import DeliverEvents, DeliverNow
from workflows.steps import webhooks


@workflow.defn
class Delivery:
    """Send what waits, in its order; rest after a failure, longer each time, and try again what was not taken.

    An endpoint that is paused is left alone: its events wait in the tables, and whoever finds it back has them handed
    out to new stories.
    """

    def __init__(self) -> None:
        self._told = 0

    @workflow.run
    async def run(self, request: DeliverEvents) -> int:
        delivered = 0
        while True:
            heard = self._told
            lane = await webhooks.deliver(
                DeliverNow(endpoint_id=request.endpoint_id, key=request.key, now=workflow.now())
            )
            delivered += lane.delivered
            if lane.look_again_at is not None:
                await self._rest_until(lane.look_again_at, heard)
            elif self._told == heard:
                workflow.set_current_details(f"Over, after {delivered} events.")
                return delivered
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(request)

    @workflow.signal
    def more(self) -> None:
        """Something else waits, or what waits shall be tried now."""
        self._told += 1

    async def _rest_until(self, time: datetime, heard: int) -> None:
        workflow.set_current_details(f"Tries again on {time:%d %B, %H:%M:%S} UTC.")
        with suppress(TimeoutError):
            await workflow.wait_condition(
                lambda: self._told > heard,
                timeout=max(time - workflow.now(), timedelta()),
                timeout_summary="until the endpoint may listen again",
            )
