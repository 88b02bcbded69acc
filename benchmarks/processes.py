"""Reading the catalogue with one API process and with two: ``python -m benchmarks.processes [ROUNDS]``.

The second process belongs to the same shop and has its own memory; each gets half of the connections. The floor are as
many bare ones.
"""

import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import uvloop
from rich.console import Console

from benchmarks.catalogue import Subject, asked, bare, subjects
from benchmarks.load import Series
from benchmarks.report import Row, keep, tell
from benchmarks.shop import Shop, answering, part, shop
from deploy.ports import free_ports

ROUNDS = 3
CONNECTIONS = 100


async def main(rounds: int) -> None:
    console = Console()
    async with AsyncExitStack() as parts:
        running = await parts.enter_async_context(shop())
        ours = [running.api_port, await a_second(running, parts)]
        rows = []
        for subject in await subjects(running):
            rows += await measured(running, subject, ours, rounds)
            console.print(subject.name)
    tell(rows, console)
    console.print(f"Written to {keep(rows, 'processes')}")


async def a_second(running: Shop, parts: AsyncExitStack) -> int:
    """The port of a further API process of the shop, which has a memory of its own to be warmed."""
    [port] = free_ports(1)
    log = Path(parts.enter_context(TemporaryDirectory()))
    own = {**running.environment, "APP_API__PORT": str(port)}
    await parts.enter_async_context(part("cli", "api", environment=own, log=log))
    await answering(f"http://127.0.0.1:{port}/health")
    return port


async def measured(running: Shop, subject: Subject, ours: Sequence[int], rounds: int) -> list[Row]:
    """One and both, ours and bare ones, in turns."""
    series: dict[tuple[str, int], list[Series]] = {}
    async with bare(running, subject) as one, bare(running, subject) as other:
        for _ in range(rounds):
            for processes in (1, 2):
                for who, ports in (("floor", [one, other]), ("ours", ours)):
                    asking = asked(subject, CONNECTIONS, *ports[:processes])
                    series.setdefault((who, processes), []).append(await asking)
    return [
        Row(
            subject.name,
            f"{processes} API process{'es' * (processes > 1)}",
            ours=series["ours", processes],
            floor=series["floor", processes],
        )
        for processes in (1, 2)
    ]


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS))
