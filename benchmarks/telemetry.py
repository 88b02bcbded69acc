"""What telemetry costs: ``python -m benchmarks.telemetry [SAMPLE_RATIO]``, by default what the settings sample.

Two shops, one with traces and one without, are asked by turns, so that both meet the same machine.
"""

import statistics
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import aiohttp
import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.checkouts import Till, carts_for
from benchmarks.load import Series, hammered, measured
from benchmarks.report import keep_text
from benchmarks.shop import Shop, shop
from runtime.settings import Telemetry
from tests.support.otlp import collector

ROUNDS, SHOPPERS, CHECKOUTS = 6, 10, 100
CONNECTIONS, SECONDS = 50, 2.0
PATH = "/v1/products?limit=20"
MOST = {"reads": 0.15, "checkouts": 0.10}
"""Which share of the throughput telemetry may take."""

Work = Callable[[], Awaitable[Series]]


async def main(ratio: float) -> int:
    console = Console()
    with collector() as told:
        traced = {"APP_TELEMETRY__OTLP_ENDPOINT": told.url, "APP_TELEMETRY__SAMPLE_RATIO": str(ratio)}
        async with AsyncExitStack() as stack:
            without = await works(await stack.enter_async_context(shop()), stack)
            with_it = await works(await stack.enter_async_context(shop(**traced)), stack)
            lost = {name: await lost_share(without[name], with_it[name]) for name in MOST}
        spans = sum(len(body) for body in told.raw)
    table = Table(title=f"What traces of {ratio:.0%} of all requests cost")
    for column in ("", "per second without", "with", "taken", "allowed"):
        table.add_column(column, justify="right" if column else "left")
    for name, (off, on, share) in lost.items():
        table.add_row(name, f"{off:,.0f}", f"{on:,.0f}", f"{share:.1%}", f"{MOST[name]:.0%}")
    console.print(table)
    console.print(f"The collector was told {spans / 1e6:.1f} MB. Medians of {ROUNDS} rounds, by turns.")
    keep_text(table, "telemetry")
    return 0 if all(share <= MOST[name] for name, (*_, share) in lost.items()) else 1


async def works(running: Shop, stack: AsyncExitStack) -> dict[str, Work]:
    http = await stack.enter_async_context(aiohttp.ClientSession(running.api_url))
    till = Till(http, await carts_for(running, (ROUNDS + 1) * CHECKOUTS))

    async def checkouts() -> Series:
        series = await measured(till.check_out, SHOPPERS, CHECKOUTS)
        await till.settled(running)
        return series

    async def reads() -> Series:
        return await hammered(running.api_port, path=PATH, connections=CONNECTIONS, seconds=SECONDS)

    return {"reads": reads, "checkouts": checkouts}


async def lost_share(without: Work, with_it: Work) -> tuple[float, float, float]:
    """The throughput without and with it, and the share that it takes; a first round is for warming up.

    Who goes first changes from round to round.
    """
    rounds = []
    for number in range(ROUNDS + 1):
        if number % 2:
            on, off = await with_it(), await without()
        else:
            off, on = await without(), await with_it()
        rounds.append((off.per_second, on.per_second))
    share = statistics.median(1 - on / off for off, on in rounds[1:])
    return statistics.median(off for off, _ in rounds[1:]), statistics.median(on for _, on in rounds[1:]), share


if __name__ == "__main__":
    sys.exit(uvloop.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else Telemetry().sample_ratio)))
