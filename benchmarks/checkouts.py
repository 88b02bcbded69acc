"""Whole checkouts over HTTP, against the floor of the engine in the same run.

The floor is a workflow with one no-op activity, started and awaited as a checkout is: Update-with-Start with the same
options, workers with the same settings, the activity on a queue and in a process of its own.
"""

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID, uuid4

import aiohttp
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from temporalio.client import Client

from benchmarks import floor
from benchmarks.load import Series, measured
from benchmarks.report import Row
from benchmarks.shop import Shop, awaited, part
from db.engine import sessions_of
from runtime import temporal
from runtime.settings import Temporal
from tests.support.catalog import a_product
from workflows.names import order_id

ROUNDS = 3
SHOPPERS = {1: 60, 10: 150, 50: 300}
"""How many checkouts are measured with how many shoppers at a time."""
ADDRESS = {"name": "Ada", "line1": "12 Orchard Lane", "city": "Springfield", "postal_code": "62701", "country": "US"}


async def run(shop: Shop, progress: Callable[[str], None]) -> list[Row]:
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory()))
        for duty in ("workflows", "calls"):
            ready = directory / duty
            settings = {**shop.environment, "APP_READY_FILE": str(ready)}
            await stack.enter_async_context(part("benchmarks.floor_worker", duty, environment=settings, log=directory))
            await awaited(ready.exists)
        engine = await temporal.connect(Temporal(address=shop.temporal_address), is_lazy=False)
        connector = aiohttp.TCPConnector(limit=100)
        http = await stack.enter_async_context(aiohttp.ClientSession(shop.api_url, connector=connector))
        till = Till(http, await carts_for(shop, ROUNDS * sum(SHOPPERS.values()) + 50))
        await measured(lambda: floor.place(engine), 5, 50)
        await measured(till.check_out, 5, 50)
        await till.settled(shop)
        rows = [await _row(shop, till, engine, shoppers, count, progress) for shoppers, count in SHOPPERS.items()]
        rows[0].notes["history events up to the answer"] = str(await events_up_to_the_answer(engine, till.last_order))
        return rows


async def _row(
    shop: Shop, till: "Till", engine: Client, shoppers: int, count: int, progress: Callable[[str], None]
) -> Row:
    ours: list[Series] = []
    floors: list[Series] = []
    settled: list[float] = []
    used: dict[str, float] = {}
    for _ in range(ROUNDS):
        floors.append(await measured(lambda: floor.place(engine), shoppers, count))
        before, begin = shop.cpu_seconds(), time.perf_counter()
        ours.append(await measured(till.check_out, shoppers, count))
        await till.settled(shop)
        settled.append(count / (time.perf_counter() - begin))
        used = {name: (cpu - before[name]) / count * 1000 for name, cpu in shop.cpu_seconds().items()}
        progress(f"checkout, {shoppers} shoppers")
    notes = {
        "per second until the last confirmation mail is out": f"{sorted(settled)[ROUNDS // 2]:.1f}",
        "processor ms per checkout": ", ".join(f"{name} {ms:.1f}" for name, ms in used.items() if ms >= 0.5),
    }
    return Row("checkout", f"{shoppers} shoppers", ours, floors, notes)


class Till:
    """Checks out one prepared cart after the other."""

    def __init__(self, http: aiohttp.ClientSession, carts: list[str]) -> None:
        self._http = http
        self._carts = iter(carts)
        self._confirmed = 0
        self.last_order = ""

    async def check_out(self) -> None:
        body = {"cart_id": next(self._carts), "payment_method": "pm_card_visa"}
        headers = {"Idempotency-Key": str(uuid4())}
        async with self._http.post("/v1/checkouts", json=body, headers=headers) as answer:
            told = await answer.json()
            if answer.status != 201:
                raise RuntimeError(f"{answer.status}: {told}")
            self._confirmed += 1
            self.last_order = told["id"]

    async def settled(self, shop: Shop) -> None:
        """Waits until every confirmed order's mail has gone out."""
        engine = create_async_engine(shop.environment["APP_DATABASE__URL"])
        sent = text("SELECT count(*) FROM letters WHERE outcome = 'sent'")
        async with engine.connect() as connection, asyncio.timeout(120):
            while (await connection.scalar(sent) or 0) < self._confirmed:
                await connection.rollback()
                await asyncio.sleep(0.1)
        await engine.dispose()


async def carts_for(shop: Shop, count: int) -> list[str]:
    """Complete carts of two lines each, written straight into the tables: filling them is not what is measured."""
    engine = create_async_engine(shop.environment["APP_DATABASE__URL"])
    products = [await a_product(sessions_of(engine), stock=1_000_000) for _ in range(20)]
    carts = [uuid4() for _ in range(count)]
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO carts (id, currency, email, shipping_address, shipping_method) "
                "VALUES (:id, 'USD', 'ada@example.com', CAST(:address AS jsonb), 'standard')"
            ),
            [{"id": cart, "address": json.dumps(ADDRESS)} for cart in carts],
        )
        await connection.execute(
            text("INSERT INTO cart_items (id, cart_id, variant_id, quantity) VALUES (:id, :cart, :variant, 1)"),
            [
                {"id": uuid4(), "cart": cart, "variant": products[(number * 7 + line) % 20].variant_id}
                for number, cart in enumerate(carts)
                for line in (0, 3)
            ],
        )
    await engine.dispose()
    return [str(cart) for cart in carts]


async def events_up_to_the_answer(engine: Client, order: str) -> int:
    """Events in the history of a happy checkout, up to and with the one that answers the customer."""
    workflow_id = order_id(UUID(order))
    async for run in engine.list_workflows(f"WorkflowId = '{workflow_id}' AND WorkflowType = 'Checkout'"):
        history = await engine.get_workflow_handle(workflow_id, run_id=run.run_id).fetch_history()
        return next(
            number
            for number, event in enumerate(history.events, start=1)
            if event.HasField("workflow_execution_update_completed_event_attributes")
        )
    raise LookupError(workflow_id)
