"""The real shop on an engine that skips time: hours of an outage pass in a second, and everything else is real."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from api.stories import Stories
from db import checkouts, order_views
from domain.orders import CheckoutOutcome, StartCheckout, number_of
from runtime.resources import Resources
from tests.support.ledger import moved_by
from tests.support.orders import a_cart, a_wish, timeline_of
from tests.workflows.conftest import skipping_time
from workers.run import DUTIES, worker_for
from workflows.checkout import Checkout
from workflows.names import Queue, order_id

KEY = {"Authorization": "Bearer sk_test_sutler"}


@dataclass
class PatientShop:
    """Checkouts by the real activities: real Postgres, real sandbox, time at will."""

    environment: WorkflowEnvironment
    resources: Resources
    sandbox: httpx.AsyncClient

    @property
    def stories(self) -> Stories:
        return Stories(self.environment.client, self.resources.sessions, wait_seconds=30)

    async def taken_in(self, *contents: tuple[UUID, int], card: str = "pm_card_visa") -> StartCheckout:
        """A checkout that is written down and not begun."""
        cart_id = await a_cart(self.resources.sessions, *contents)
        async with self.resources.sessions.begin() as session:
            intake = await checkouts.take_in(session, a_wish(cart_id, payment_method=card))
        return StartCheckout(
            order_id=intake.order_id,
            order_number=number_of(intake.order_number),
            cart_id=cart_id,
            payment_id=intake.payment_id,
            payment_method=card,
            customer="guest",
        )

    async def begin(self, request: StartCheckout) -> WorkflowHandle[Checkout, CheckoutOutcome]:
        return await self.environment.client.start_workflow(
            Checkout.run, request, id=order_id(request.order_id), task_queue=Queue.CHECKOUT
        )

    async def order(self, order: UUID) -> dict[str, Any]:
        """What the tables say of it; nothing before it is placed."""
        async with self.resources.sessions() as session:
            return dict(await order_views.order(session, order) or {})

    async def timeline(self, order: UUID) -> list[str]:
        return await timeline_of(self.resources.sessions, order)

    async def faults(self, **payments: Any) -> None:
        (await self.sandbox.put("/faults", json={"payments": payments})).raise_for_status()

    async def intents_of(self, payment_id: UUID) -> list[dict[str, Any]]:
        """All that the provider made for this payment, the newest first."""
        found = await self.sandbox.get(
            "/v1/payment_intents/search", params={"query": f"metadata['payment_id']:'{payment_id}'"}, headers=KEY
        )
        intents: list[dict[str, Any]] = found.json()["data"]
        return intents

    async def moved(self, payment_id: UUID) -> list[tuple[str, int]]:
        """Every movement of money for this payment, whatever the provider calls it."""
        intents = await self.intents_of(payment_id)
        return [movement for intent in reversed(intents) for movement in await moved_by(self.sandbox, intent["id"])]


@asynccontextmanager
async def patient_shop(resources: Resources, sandbox: httpx.AsyncClient) -> AsyncIterator[PatientShop]:
    async with skipping_time() as environment, AsyncExitStack() as workers:
        for queue in (Queue.CHECKOUT, Queue.PAYMENTS, Queue.FULFILLMENT):
            worker = worker_for(queue, DUTIES[queue](resources), environment.client, resources)
            await workers.enter_async_context(worker)
        try:
            yield PatientShop(environment, resources, sandbox)
        finally:
            await sandbox.delete("/faults")
