"""More worker processes, more checkouts? ``python -m benchmarks.scaling [SHOPPERS]``.

Whole checkouts over HTTP with 1, 2 and 4 processes each of the checkout and payments workers, in turns with the floor
of the engine, whose workers are as many. The processor time by part says where the limit lies: a part that uses a core
for each of its processes, or all cores of the machine together. What a step of a cart costs, and how often the engine
writes the state of a checkout, is told as well: `docs/scaling.md` reckons with it.
"""

import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

import aiohttp
import psutil
import uvloop
from rich.console import Console
from rich.table import Table
from temporalio.client import Client

from benchmarks import floor
from benchmarks.checkouts import ADDRESS, ROUNDS, Till, carts_for
from benchmarks.load import Series, measured
from benchmarks.report import Row, keep_text
from benchmarks.shop import Shop, awaited, part, shop
from runtime import temporal
from runtime.settings import Temporal
from workflows.names import Queue, order_id

SHOPPERS = 50
EACH = 6
"""Checkouts of each shopper in a round."""
PROCESSES = (1, 2, 4)
SCALED = (Queue.CHECKOUT, Queue.PAYMENTS)
PARTS = {
    "temporal": "engine",
    "postgres": "Postgres",
    "api": "API",
    "checkout worker": "checkout",
    "payments worker": "payments",
    "shoppers": "shoppers",
}
"""Whose time is told apart, and how they are called in the table; the shoppers are this process."""


@dataclass
class Reading:
    processes: int
    ours: list[Series] = field(default_factory=list)
    floor: list[Series] = field(default_factory=list)
    used: list["Used"] = field(default_factory=list)
    """In the rounds of ours."""


@dataclass(frozen=True)
class Used:
    """Processor time in a round."""

    seconds: dict[str, float]
    """By part."""
    busiest: float
    """What the busiest process of the scaled workers used of a core."""
    wall: float

    @property
    def cores(self) -> float:
        return sum(self.seconds.values()) / self.wall


class Basket:
    """Fills one cart after the other: a cart, what is in it, for whom, where to and how."""

    STEPS = 5

    def __init__(self, http: aiohttp.ClientSession, variant_id: str) -> None:
        self._http = http
        self._variant_id = variant_id

    async def fill(self) -> None:
        cart = f"/v1/carts/{(await self._ask('POST', '/v1/carts', {'currency': 'USD'}))['id']}"
        await self._ask("POST", f"{cart}/items", {"variant_id": self._variant_id, "quantity": 1})
        await self._ask("PUT", f"{cart}/email", {"email": "ada@example.com"})
        await self._ask("PUT", f"{cart}/shipping-address", ADDRESS)
        await self._ask("PUT", f"{cart}/shipping-method", {"code": "standard"})

    async def _ask(self, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        async with self._http.request(method, path, json=body) as answer:
            told: dict[str, Any] = await answer.json()
            if answer.status >= 400:
                raise RuntimeError(f"{answer.status}: {told}")
            return told


async def main(shoppers: int) -> None:
    console = Console(width=150)
    async with AsyncExitStack() as parts:
        running = await parts.enter_async_context(shop())
        engine = await temporal.connect(Temporal(address=running.temporal_address), is_lazy=False)
        connector = aiohttp.TCPConnector(limit=2 * shoppers)
        http = await parts.enter_async_context(aiohttp.ClientSession(running.api_url, connector=connector))
        carts = (ROUNDS * EACH + 2) * len(PROCESSES) * shoppers
        till = Till(http, await carts_for(running, carts))
        notes = [await step_of_a_cart(running, http, shoppers)]
        readings = []
        for processes in PROCESSES:
            async with crowded(running, processes) as scaled:
                readings.append(await read(scaled, till, engine, shoppers, processes))
            console.print(f"{processes} of each")
        notes.append(f"The engine writes a checkout's state {await transitions(engine, till.last_order)} times.")
    table = told(readings, shoppers)
    table.caption = "\n".join(notes)
    console.print(table)
    console.print(f"Written to {keep_text(table, 'scaling')}")


@asynccontextmanager
async def crowded(running: Shop, processes: int) -> AsyncIterator[Shop]:
    """The shop with so many processes of the scaled workers, and as many of the floor's."""
    async with AsyncExitStack() as parts:
        directory = Path(parts.enter_context(TemporaryDirectory()))
        members = dict(running.processes)
        if processes > 1:
            for queue in SCALED:
                argv = ("cli", "worker", queue, "--processes", str(processes - 1))
                members[f"more {queue} worker"] = await _started(parts, running, directory / queue, *argv)
        for number in range(processes):
            for duty in ("workflows", "calls"):
                await _started(parts, running, directory / f"{duty}-{number}", "benchmarks.floor_worker", duty)
        yield Shop(**{**vars(running), "processes": members})


async def _started(parts: AsyncExitStack, running: Shop, directory: Path, *argv: str) -> psutil.Process:
    directory.mkdir()
    ready = directory / "ready"
    environment = {**running.environment, "APP_READY_FILE": str(ready)}
    process = await parts.enter_async_context(part(*argv, environment=environment, log=directory))
    await awaited(ready.exists)
    return process


async def read(running: Shop, till: Till, engine: Client, shoppers: int, processes: int) -> Reading:
    reading = Reading(processes)
    await measured(lambda: floor.place(engine), shoppers, shoppers)
    await measured(till.check_out, shoppers, shoppers)
    await till.settled(running)
    for _ in range(ROUNDS):
        reading.floor.append(await measured(lambda: floor.place(engine), shoppers, EACH * shoppers))
        before, began = times_of(running), time.perf_counter()
        reading.ours.append(await measured(till.check_out, shoppers, EACH * shoppers))
        reading.used.append(used_since(before, times_of(running), time.perf_counter() - began))
        await till.settled(running)
    return reading


async def step_of_a_cart(running: Shop, http: aiohttp.ClientSession, shoppers: int) -> str:
    async with http.get("/v1/products?in_stock=true&limit=1") as page:
        basket = Basket(http, (await page.json())["items"][0]["variants"][0]["id"])
    await measured(basket.fill, shoppers, shoppers)
    before, began = times_of(running), time.perf_counter()
    await measured(basket.fill, shoppers, EACH * shoppers)
    used = used_since(before, times_of(running), time.perf_counter() - began)
    each = {name: seconds / (EACH * shoppers * basket.STEPS) * 1000 for name, seconds in used.seconds.items()}
    return f"A step of a cart takes {each['api']:.1f} ms of the API's and {each['postgres']:.1f} ms of Postgres' time."


async def transitions(engine: Client, order: str) -> int:
    """Of the run that answered the customer."""
    workflow_id = order_id(UUID(order))
    async for run in engine.list_workflows(f"WorkflowId = '{workflow_id}' AND WorkflowType = 'Checkout'"):
        described = await engine.get_workflow_handle(workflow_id, run_id=run.run_id).describe()
        return described.raw_description.workflow_execution_info.state_transition_count
    raise LookupError(workflow_id)


def times_of(running: Shop) -> dict[tuple[str, int], float]:
    """What each process has used so far, by its part and its id."""
    parts = {**running.processes, "shoppers": psutil.Process()}
    return {
        (_part_of(name), member.pid): sum(member.cpu_times()[:2])
        for name, process in parts.items()
        for member in ([process] if name == "shoppers" else [process, *process.children(recursive=True)])
    }


def _part_of(name: str) -> str:
    name = name.removeprefix("more ")
    return name if name in PARTS else "others"


def used_since(before: dict[tuple[str, int], float], now: dict[tuple[str, int], float], wall: float) -> Used:
    used = {member: seconds - before.get(member, 0.0) for member, seconds in now.items()}
    by_part: dict[str, float] = defaultdict(float)
    for (name, _), seconds in used.items():
        by_part[name] += seconds
    scaled = {f"{queue} worker" for queue in SCALED}
    return Used(dict(by_part), max(seconds for (name, _), seconds in used.items() if name in scaled) / wall, wall)


def told(readings: list[Reading], shoppers: int) -> Table:
    table = Table(title=f"Checkouts of {shoppers} shoppers by worker processes; processor ms of each checkout")
    for column in ("each", "per second", "floor", "of the floor", "p50 ms", "p99 ms", *PARTS.values(), "others"):
        table.add_column(column, justify="right")
    table.add_column(f"cores of {psutil.cpu_count()}", justify="right")
    table.add_column("busiest", justify="right")
    for reading in readings:
        ours, bare = Row("checkout", "", reading.ours, reading.floor).middle
        used = reading.used[reading.ours.index(ours)]
        milliseconds = [used.seconds.get(name, 0.0) / (EACH * shoppers) * 1000 for name in (*PARTS, "others")]
        table.add_row(
            str(reading.processes),
            f"{ours.per_second:.1f}",
            f"{bare.per_second:.1f}",
            f"{ours.per_second / bare.per_second:.2f}",
            f"{ours.p50_ms:.0f}",
            f"{ours.p99_ms:.0f}",
            *(f"{each:.1f}" for each in milliseconds),
            f"{used.cores:.2f}",
            f"{used.busiest:.0%}",
        )
    return table


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else SHOPPERS))
