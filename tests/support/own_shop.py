"""A shop that nobody else uses: its own tables, namespace, sandbox, workers and API, on the session's servers.

What it has was bought in it, so all its books add up.
"""

import asyncio
import base64
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import text
from temporalio.client import WorkflowExecutionStatus

from domain.audit import AuditReport, LookAtBooks
from domain.customers import Role
from runtime.databases import migrated
from runtime.resources import Resources, opened
from runtime.settings import Settings
from tests.support.catalog import a_product
from tests.support.engines import make_namespace
from tests.support.processes import answers, free_port, process
from tests.support.shopper import Shopper
from tests.support.staff import headers_of
from tests.support.superuser import behind_its_back
from workers.run import serving
from workflows.audit import Audit
from workflows.names import Queue, order_id

KEY = {"Authorization": "Bearer sk_test_sutler"}
A_KEY = f"2026:{base64.b64encode(os.urandom(32)).decode()}"
LABEL = {"carrier": "UPS", "tracking_number": "1Z999"}
AT_ONCE = LookAtBooks(patience_seconds=0, pause_seconds=0.2)


@dataclass
class OwnShop:
    resources: Resources
    http: httpx.AsyncClient
    sandbox: httpx.AsyncClient
    operator: dict[str, str]
    environment: dict[str, str]
    log: Path
    """Of its API, which says all that it can say."""

    async def sql(self, statement: str, **values: Any) -> Any:
        """Behind the shop's back, and past what guards its tables."""
        async with behind_its_back(self.resources.settings) as session:
            return await session.execute(text(statement), values)

    async def value(self, query: str, **values: Any) -> Any:
        return (await self.sql(query, **values)).scalar()

    async def buy(self, units: int = 2, *, card: Any = "pm_card_visa", product: Any = None) -> dict[str, Any]:
        """An order, as the checkout answers it."""
        product = product or await a_product(self.resources.sessions, price="10.00", stock=20)
        shopper = Shopper(self.http)
        told = await shopper.check_out(await shopper.a_cart((product.variant_id, units)), card=card)
        assert told.status_code in (201, 202), told.text
        order: dict[str, Any] = told.json()
        return order

    async def desk(self, path: str, body: Any = None, *, status: int | None = None) -> Any:
        answer = await self.http.post(f"/v1/admin{path}", json=body, headers=self.operator)
        assert answer.status_code == status if status else answer.is_success, answer.text
        return answer.json()

    async def pack(self, order: dict[str, Any]) -> str:
        return str((await self.desk(f"/orders/{order['id']}/fulfillments", {}))["id"])

    async def ship(self, order: dict[str, Any]) -> str:
        parcel = await self.pack(order)
        await self.desk(f"/fulfillments/{parcel}/ship", LABEL)
        return parcel

    async def deliver(self, order: dict[str, Any]) -> None:
        await self.desk(f"/fulfillments/{await self.ship(order)}/deliver")

    async def desk_cancel(self, order: dict[str, Any]) -> None:
        wish = {"reason": "not wanted"}
        told = await self.http.post(f"/v1/orders/{order['id']}/cancel", json=wish, headers=self.operator)
        assert told.is_success, told.text

    async def look(self, order: dict[str, Any]) -> dict[str, Any]:
        found = await self.http.get(f"/v1/orders/{order['id']}", headers=self.operator)
        shown: dict[str, Any] = found.json()
        return shown

    async def timeline(self, order: dict[str, Any]) -> list[str]:
        rows = await self.sql("SELECT type FROM order_events WHERE order_id = :id ORDER BY sequence", id=order["id"])
        return list(rows.scalars())

    async def at_the_provider(self, path: str, **fields: Any) -> dict[str, Any]:
        """Move money as somebody with the provider's dashboard would."""
        answer = await self.sandbox.post(f"/v1{path}", data=fields, headers=KEY)
        assert answer.status_code == 200, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def kill_story(self, order: dict[str, Any]) -> None:
        await self.resources.temporal.get_workflow_handle(order_id(UUID(order["id"]))).terminate(
            "an operator's mistake"
        )

    async def story(self, order: dict[str, Any]) -> tuple[str, WorkflowExecutionStatus | None]:
        found = await self.resources.temporal.get_workflow_handle(order_id(UUID(order["id"]))).describe()
        return found.workflow_type, found.status

    async def audit(self, look: LookAtBooks = AT_ONCE) -> AuditReport:
        return await self.resources.temporal.execute_workflow(
            Audit.run, look, id=f"audit-{uuid4()}", task_queue=Queue.OPERATIONS
        )


@asynccontextmanager
async def an_own_shop(session: Resources, environment: dict[str, str], directory: Path) -> AsyncIterator[OwnShop]:
    name = f"own_{uuid4().hex[:8]}"
    await make_namespace(session, name.replace("_", "-"))
    api_port, sandbox_port = free_port(), free_port()
    own = {
        **environment,
        "APP_DATABASE__SHOP_SCHEMA": name,
        "APP_AUTH__ACCESS_TOKEN_SECONDS": "86400",  # its operator works for as long as the tests take
        "APP_TEMPORAL__NAMESPACE": name.replace("_", "-"),
        "APP_TEMPORAL__ENCRYPTION_KEYS": A_KEY,  # as in production
        "APP_CACHE__PREFIX": f"{name}:",
        "APP_LOG_LEVEL": "DEBUG",
        "APP_API__PORT": str(api_port),
        "APP_SANDBOX__PORT": str(sandbox_port),
        "APP_SANDBOX__SMTP_PORT": str(smtp := free_port()),
        "APP_SANDBOX__DATABASE": str(directory / "sandbox.sqlite3"),
        "APP_SANDBOX__WEBHOOK_URL": f"http://127.0.0.1:{api_port}/v1/webhooks/stripe",
        "APP_SANDBOX__CARRIER_WEBHOOK_URL": f"http://127.0.0.1:{api_port}/v1/webhooks/easypost",
        "APP_PAYMENTS__STRIPE_API_BASE": f"http://127.0.0.1:{sandbox_port}",
        "APP_CARRIERS__EASYPOST_API_BASE": f"http://127.0.0.1:{sandbox_port}/v2",
        "APP_AUTH__STOLEN_PASSWORDS_URL": f"http://127.0.0.1:{sandbox_port}",
        "APP_MAIL__PORT": str(smtp),
    }
    url, sandbox_url = f"http://127.0.0.1:{api_port}", f"http://127.0.0.1:{sandbox_port}"
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in own.items():
            patch.setenv(variable, value)
        settings = Settings()
    await asyncio.to_thread(migrated, settings.database)
    async with AsyncExitStack() as parts:
        for argv, ready in ((["sandbox"], f"{sandbox_url}/health"), (["cli", "api"], f"{url}/health")):
            part = process(*argv, environment=own, ready=answers(ready), log=directory / f"{argv[-1]}.log")
            await asyncio.to_thread(part.__enter__)
            parts.push_async_callback(asyncio.to_thread, part.__exit__, None, None, None)
        resources = await parts.enter_async_context(opened(settings))
        await parts.enter_async_context(serving(resources))
        http = await parts.enter_async_context(httpx.AsyncClient(base_url=url, timeout=60))
        sandbox = await parts.enter_async_context(httpx.AsyncClient(base_url=sandbox_url))
        yield OwnShop(resources, http, sandbox, await headers_of(resources, Role.ADMIN), own, directory / "api.log")
