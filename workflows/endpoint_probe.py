"""A webhook endpoint was paused because nothing got through."""

from datetime import timedelta

from temporalio import workflow

from domain.webhooks import ProbeEndpoint, ProbeNow, probe_pause
from workflows.steps import webhooks


@workflow.defn
class EndpointProbe:
    """Try it now and then with something that waits for it, until it takes that; then all that waits follows."""

    @workflow.run
    async def run(self, request: ProbeEndpoint) -> int:
        """How often it was tried."""
        probes = request.probes
        while True:
            await self._rest_for(probe_pause(probes, workflow.random().random()))
            probed = await webhooks.probe(ProbeNow(endpoint_id=request.endpoint_id, now=workflow.now()))
            probes += 1
            if not probed.is_paused:
                workflow.set_current_details(f"It is paused no more, after {probes} tries.")
                return probes
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(ProbeEndpoint(endpoint_id=request.endpoint_id, probes=probes))

    async def _rest_for(self, pause: timedelta) -> None:
        workflow.set_current_details(f"Tries it again on {workflow.now() + pause:%d %B, %H:%M:%S} UTC.")
        await workflow.sleep(pause, summary="until the endpoint is tried again")
