"""A shop whose webhooks are a test's own: its own tables, an engine that skips time, and endpoints that it makes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from temporalio.testing import WorkflowEnvironment

from activities.webhooks import WebhookActivities
from db import outbox, webhook_deliveries, webhooks
from db.base import new_id
from domain.webhooks import new_secret
from runtime.resources import Resources
from runtime.webhooks import about
from tests.support.events import tell
from tests.support.waiting import eventually
from tests.workflows.conftest import skipping_time
from workers.duty import Duty
from workers.run import worker_for
from workflows.delivery import Delivery
from workflows.endpoint_probe import EndpointProbe
from workflows.names import Queue

SOURCE = "https://shop.example"


async def an_endpoint(resources: Resources, url: str, *types: str, secret: str | None = None) -> UUID:
    endpoint_id = new_id()
    sealed = resources.seal.close((secret or new_secret()).encode(), about(endpoint_id))
    async with resources.sessions.begin() as session:
        await webhooks.make(session, endpoint_id, url, event_types=types, description="a test", sealed=sealed)
    return endpoint_id


@dataclass
class PatientWebhooks:
    """Real tables and real HTTP; days of silence pass in a second."""

    environment: WorkflowEnvironment
    resources: Resources
    activities: WebhookActivities

    async def tell(self, orders: int, each: int) -> list[str]:
        """Events of new orders, published and handed out."""
        keys = await tell(self.resources.sessions, orders=orders, each=each)
        await self.hand_out()
        return keys

    async def hand_out(self) -> None:
        """What whoever has the shift does again and again."""
        async with self.resources.sessions.begin() as session:
            await outbox.publish(session, most=10_000)
        while await self.activities.write_down():
            pass
        await self.activities.begin_stories()

    async def pass_time(self, time: timedelta) -> None:
        await self.environment.sleep(time)

    async def endpoint(self, endpoint_id: UUID) -> webhooks.WebhookEndpoint:
        async with self.resources.sessions() as session:
            return await webhooks.endpoint(session, endpoint_id)

    async def log(self, endpoint_id: UUID) -> list[dict[str, Any]]:
        """Its deliveries, the oldest event first."""
        async with self.resources.sessions() as session:
            rows = await webhook_deliveries.page(
                session, endpoint_id, limit=1000, before=None, status=None, event_type=None, key=None
            )
        return [dict(row) for row in reversed(rows)]

    async def details(self, delivery_id: UUID) -> dict[str, Any]:
        async with self.resources.sessions() as session:
            return await webhook_deliveries.delivery(session, delivery_id)

    async def all_sent(self, endpoint_id: UUID) -> None:
        """Hand out until nothing waits for the endpoint."""

        async def is_done() -> bool:
            await self.hand_out()
            return {row["status"] for row in await self.log(endpoint_id)} == {"delivered"}

        await eventually(is_done, within=60)


@asynccontextmanager
async def patient_webhooks(resources: Resources) -> AsyncIterator[PatientWebhooks]:
    async with skipping_time() as environment:
        activities = WebhookActivities(
            resources.sessions, environment.client, resources.postman.send, source=SOURCE, kept=timedelta(days=30)
        )
        duty = Duty(workflows=[Delivery, EndpointProbe], activities=[activities.deliver, activities.probe], at_once=50)
        async with worker_for(Queue.WEBHOOKS, duty, environment.client, resources):
            yield PatientWebhooks(environment, resources, activities)
