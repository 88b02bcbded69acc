"""Whole checkouts over HTTP against the floor of the engine, in one run: ``python -m benchmarks.checkouts``."""

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import aiohttp
import uvloop
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from benchmarks import floor
from benchmarks.shop import Shop, awaited, part, shop
from db.engine import sessions_of
from runtime.settings import Temporal
from runtime.temporal import connect_now
from tests.support.catalog import a_product

ROUNDS = 1
SHOPPERS = {10: 200, 50: 500}
ADDRESS = {"name": "Ada", "line1": "12 Orchard Lane", "city": "Springfield", "postal_code": "62701", "country": "US"}


@dataclass(frozen=True)
class Series:
    per_second: float
    p50_ms: float
    p99_ms: float


async def measured(work: Callable[[], Awaitable[None]], shoppers: int, count: int) -> Series:
    """``count`` pieces of work by ``shoppers`` at a time, each shopper starting the next as soon as one is answered."""
    times: list[float] = []
    left = iter(range(count))

    async def shopper() -> None:
        for _ in left:
            begin = time.perf_counter()
            await work()
            times.append(time.perf_counter() - begin)

    begin = time.perf_counter()
    await asyncio.gather(*(shopper() for _ in range(shoppers)))
    took = time.perf_counter() - begin
    times.sort()
    return Series(count / took, statistics.median(times) * 1000, times[int(len(times) * 0.99) - 1] * 1000)


async def carts_for(shop: Shop, count: int) -> list[str]:
    """Complete carts of two lines each, written straight into the table: filling them is not what is measured."""
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
                {"id": uuid4(), "cart": cart, "variant": products[(n * 7 + line) % 20].variant_id}
                for n, cart in enumerate(carts)
                for line in (0, 3)
            ],
        )
    await engine.dispose()
    return [str(cart) for cart in carts]


async def main() -> None:
    console = Console()
    async with shop() as running, AsyncExitStack() as extra:
        directory = Path(extra.enter_context(tempfile.TemporaryDirectory()))
        for duty in ("workflows", "calls"):
            ready = directory / duty
            environment = {**running.environment, "APP_READY_FILE": str(ready)}
            process = await extra.enter_async_context(
                part("benchmarks.floor_worker", duty, environment=environment, log=directory)
            )
            running.processes[f"floor {duty}"] = process  # type: ignore[index]
            await awaited(ready.exists)
        client = await connect_now(Temporal(address=running.temporal_address))
        http = await extra.enter_async_context(
            aiohttp.ClientSession(running.api_url, connector=aiohttp.TCPConnector(limit=100))
        )
        carts = iter(await carts_for(running, ROUNDS * sum(SHOPPERS.values()) + 1050))

        async def check_out() -> None:
            body = {"cart_id": next(carts), "payment_method": "pm_card_visa"}
            async with http.post("/v1/checkouts", json=body, headers={"Idempotency-Key": str(uuid4())}) as answer:
                if answer.status not in (201, 202):
                    raise RuntimeError(await answer.text())
                await answer.read()

        subjects = {
            "floor": lambda: floor.place(client),
            "floor, activity in the same worker": lambda: floor.place(client, floor.QUEUE),
            "checkout": check_out,
        }
        for work in subjects.values():
            await measured(work, 5, 50)
        found: dict[tuple[int, str], list[Series]] = {}
        for _ in range(ROUNDS):
            for shoppers, count in SHOPPERS.items():
                for name, work in subjects.items():
                    before = running.cpu_seconds()
                    series = await measured(work, shoppers, count)
                    await asyncio.sleep(1)
                    used = {k: (v - before[k]) / count * 1000 for k, v in running.cpu_seconds().items()}
                    found.setdefault((shoppers, name), []).append(series)
                    print(shoppers, name, series, {k: round(v, 1) for k, v in used.items() if v > 0.3}, flush=True)


if __name__ == "__main__":
    uvloop.run(main())
