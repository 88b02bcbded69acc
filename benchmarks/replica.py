"""What a replica takes off the primary: reads that no memory has, with a replica and without one, in turns.

``python -m benchmarks.replica [SEARCHES] [PRODUCTS]``. Both servers share the machine, so the answers come no sooner:
what counts is the processor time that the primary spends on a search, because a replica has a machine of its own.
"""

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.load import Series
from benchmarks.report import keep_text
from benchmarks.search import Served, filled, searches, serving, took
from deploy import embedded, probes
from deploy.embedded.postgres import database_url, replica
from deploy.ports import free_ports
from deploy.processes import spawn, stop_all

TURN = 50
"""So many searches in a row, then the other one's turn."""
WARM_UP = 100


@dataclass
class Reading:
    """What one of the two shops took for its searches."""

    times: list[float] = field(default_factory=list)
    on_the_primary: float = 0.0
    on_the_replica: float = 0.0


async def main(count: int, products: int) -> None:
    console = Console()
    with embedded.stack() as stack, TemporaryDirectory() as directory:
        names = await filled(stack, "shop", products)
        async with AsyncExitStack() as parts:
            copy = await parts.enter_async_context(a_replica(Path(directory), of=stack.postgres_port))
            readings = {"the primary alone": Reading(), "with a replica": Reading()}
            apis = {}
            for name, own in zip(readings, ({}, {"APP_DATABASE__REPLICA_URL": database_url(copy)}), strict=True):
                folder = Path(directory) / name
                folder.mkdir()
                own = {**own, "APP_CACHE__PREFIX": f"{name}:"}
                apis[name] = await parts.enter_async_context(serving(stack, "shop", folder, **own))
                for _, params in searches(names, WARM_UP, seed=13):
                    await took(apis[name].http, "/v1/products", params)
            asked = [params for _, params in searches(names, count)]
            for first in range(0, count, TURN):
                for name, reading in readings.items():
                    await search(apis[name], asked[first : first + TURN], reading, stack.postgres_port, copy)
            share = await read_from_the_replica(apis["with a replica"])
    table = told(readings)
    console.print(table)
    console.print(f"With a replica, {share:.1%} of the reads that memory lacked went there.")
    console.print(f"Written to {keep_text(table, 'replica')}")


async def search(api: Served, asked: list[dict[str, str]], reading: Reading, primary: int, copy: int) -> None:
    before = processor_seconds(primary), processor_seconds(copy)
    for params in asked:
        reading.times.append(await took(api.http, "/v1/products", params))
    reading.on_the_primary += processor_seconds(primary) - before[0]
    reading.on_the_replica += processor_seconds(copy) - before[1]


def processor_seconds(port: int) -> float:
    """What the server at this port has used since it started."""
    [server] = [
        process
        for process in psutil.process_iter(["name", "cmdline"])
        if process.info["name"] == "postgres" and f"--port={port}" in (process.info["cmdline"] or ())
    ]
    return sum(sum(member.cpu_times()[:2]) for member in [server, *server.children()])


@asynccontextmanager
async def a_replica(directory: Path, *, of: int) -> AsyncIterator[int]:
    """The port of a server that follows the one at that port."""
    [port] = free_ports(1)
    service = replica(directory / "replica", port, of=of)
    await asyncio.to_thread(service.prepare)
    child = spawn(service, directory / "replica.log")
    try:
        assert await asyncio.to_thread(probes.awaited, service.ready, 120)
        yield port
    finally:
        stop_all([child])


async def read_from_the_replica(api: Served) -> float:
    async with api.http.get("/metrics") as answer:
        metrics = await answer.text()
    reads = {
        server: float(number)
        for server, number in re.findall(r'^sutler_catalog_reads_total\{server="(\w+)"\} (\S+)', metrics, re.MULTILINE)
    }
    return reads.get("replica", 0.0) / sum(reads.values())


def told(readings: dict[str, Reading]) -> Table:
    table = Table(title="Searches that nobody asked before, one after the other, by who is read")
    for column in ("read", "searches", "p50 ms", "p99 ms", "primary ms each", "replica ms each"):
        table.add_column(column, justify="left" if column == "read" else "right")
    for name, reading in readings.items():
        series, count = Series.of(reading.times, sum(reading.times)), len(reading.times)
        table.add_row(
            name,
            f"{count:,}",
            f"{series.p50_ms:.1f}",
            f"{series.p99_ms:.1f}",
            f"{reading.on_the_primary / count * 1000:.2f}",
            f"{reading.on_the_replica / count * 1000:.2f}",
        )
    return table


if __name__ == "__main__":
    wanted = [int(number) for number in sys.argv[1:]]
    uvloop.run(main(*[*wanted, *(2000, 5000)[len(wanted) :]]))
