"""How soon everybody sees a new price: ``python -m benchmarks.freshness [CHANGES]``.

An admin changes it through one of two API processes of a shop while both are asked for the product without a pause. The
time runs from the answer to the change until a process shows the new price; the floor is how long a bare listener waits
for Postgres to tell of a commit.
"""

import asyncio
import sys
import time
from contextlib import AsyncExitStack

import aiohttp
import asyncpg
import uvloop
from rich.console import Console
from rich.table import Table
from sqlalchemy import make_url

from benchmarks.load import Series
from benchmarks.processes import a_second
from benchmarks.report import keep_text
from benchmarks.shop import shop
from deploy.visitor import OPERATOR, Visitor
from runtime.settings import Demo

PROMISE_MS = 100


async def main(changes: int) -> None:
    async with AsyncExitStack() as parts:
        running = await parts.enter_async_context(shop())
        other_url = f"http://127.0.0.1:{await a_second(running, parts)}"
        http = await parts.enter_async_context(aiohttp.ClientSession())
        admin, here, there = Visitor(http, running.api_url), Visitor(http, running.api_url), Visitor(http, other_url)
        await admin.sign_in(OPERATOR, Demo().password.get_secret_value())
        [product] = (await here.get("/v1/products", limit="1"))["items"]
        path = f"/v1/products/{product['id']}"
        times: dict[str, list[float]] = {"the process that was asked": [], "the other one": []}
        for number in range(changes):
            amount = f"{100 + number}.00"
            showing = [asyncio.create_task(shows(visitor, path, amount)) for visitor in (here, there)]
            await admin.done("PATCH", path, {"price": {"amount": amount, "currency": product["price"]["currency"]}})
            done = time.perf_counter()
            for who, shown in zip(times, await asyncio.gather(*showing), strict=True):
                times[who].append(max(0.0, shown - done))
        times["floor: a bare listener of Postgres"] = await heard(running.environment["APP_DATABASE__URL"], changes)
    table = told(times)
    Console().print(table)
    Console().print(f"Written to {keep_text(table, 'freshness')}")


async def shows(visitor: Visitor, path: str, amount: str) -> float:
    """When it first shows this price."""
    while (await visitor.get(path))["price"]["amount"] != amount:
        pass
    return time.perf_counter()


async def heard(url: str, count: int) -> list[float]:
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    listening, telling = await asyncpg.connect(plain), await asyncpg.connect(plain)
    news: asyncio.Queue[float] = asyncio.Queue()
    await listening.add_listener("bare", lambda *_: news.put_nowait(time.perf_counter()))
    times = []
    for _ in range(count):
        await telling.execute("SELECT pg_notify('bare', '')")
        done = time.perf_counter()
        times.append(max(0.0, await news.get() - done))
    await listening.close()
    await telling.close()
    return times


def told(times: dict[str, list[float]]) -> Table:
    table = Table(title="From the answer to a change of a price until it is shown")
    for column in ("where", "changes", "p50 ms", "p99 ms", "longest ms", f"over {PROMISE_MS} ms"):
        table.add_column(column, justify="left" if column == "where" else "right")
    for who, took in times.items():
        series = Series.of(took, sum(took) or 1.0)
        table.add_row(
            *(who, f"{len(took):,}", f"{series.p50_ms:.1f}", f"{series.p99_ms:.1f}", f"{max(took) * 1000:.1f}"),
            str(sum(seconds * 1000 > PROMISE_MS for seconds in took)),
        )
    return table


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 300))
