"""A flash sale: far more shoppers than units, all at once. ``python -m benchmarks.flash_sale [SHOPPERS] [UNITS]``

Each comes with a cart of their own that holds one unit of the one hot variant. The floor is a bare ASGI answer to the
same requests, with the bytes of a refusal, from the same client in the same run.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID, uuid4

import aiohttp
import uvloop
from redis.asyncio import Redis
from rich.console import Console
from rich.table import Table
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from benchmarks.checkouts import ADDRESS
from benchmarks.load import Series
from benchmarks.report import keep_text
from benchmarks.shop import Shop, answering, part, shop
from db import hot_variants
from db.engine import sessions_of
from deploy.ports import free_ports
from runtime import temporal
from runtime.settings import Temporal
from tests.support.catalog import a_product

SHOPPERS, UNITS = 5000, 100
AT_A_TIME = 200


@dataclass
class Storm:
    """What came of one checkout for each cart."""

    took: float = 0.0
    by_answer: dict[str, list[float]] = field(default_factory=dict)
    refusal: bytes = b""


async def storm(url: str, carts: Sequence[UUID]) -> Storm:
    made, waiting = Storm(), iter(carts)
    async with aiohttp.ClientSession(url, connector=aiohttp.TCPConnector(limit=AT_A_TIME)) as http:

        async def shopper() -> None:
            for cart in waiting:
                body = {"cart_id": str(cart), "payment_method": "pm_card_visa"}
                began = time.perf_counter()
                async with http.post("/v1/checkouts", json=body, headers={"Idempotency-Key": str(cart)}) as answer:
                    told = await answer.read()
                code = json.loads(told).get("code") or f"{answer.status}"
                made.by_answer.setdefault(code, []).append(time.perf_counter() - began)
                if code == "out_of_stock":
                    made.refusal = told

        began = time.perf_counter()
        await asyncio.gather(*(shopper() for _ in range(AT_A_TIME)))
        made.took = time.perf_counter() - began
    return made


async def carts_for(running: Shop, shoppers: int, units: int) -> list[UUID]:
    """Written straight into the tables; the gate knows the units when this returns."""
    engine = create_async_engine(running.environment["APP_DATABASE__URL"])
    sessions = sessions_of(engine)
    product = await a_product(sessions, stock=units)
    async with sessions.begin() as session:
        await hot_variants.mark(session, product.variant_id, is_hot=True)
    carts = [uuid4() for _ in range(shoppers)]
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO carts (id, currency, email, shipping_address, shipping_method) "
                "SELECT id, 'USD', 'ada@example.com', CAST(:address AS jsonb), 'standard' "
                "FROM unnest(CAST(:carts AS uuid[])) AS new (id)"
            ),
            {"carts": carts, "address": json.dumps(ADDRESS)},
        )
        await connection.execute(
            text(
                "INSERT INTO cart_items (id, cart_id, variant_id, quantity) "
                "SELECT gen_random_uuid(), id, :variant, 1 FROM unnest(CAST(:carts AS uuid[])) AS new (id)"
            ),
            {"carts": carts, "variant": product.variant_id},
        )
    await engine.dispose()
    redis = Redis.from_url(running.environment["APP_CACHE__URL"])
    prefix = running.environment.get("APP_CACHE__PREFIX", "sutler:")
    async with asyncio.timeout(30):
        while not await redis.hexists(f"{prefix}admissions:{product.variant_id}", "free"):
            await asyncio.sleep(0.05)
    await redis.aclose()
    return carts


async def bare(running: Shop, refusal: bytes, carts: Sequence[UUID]) -> Storm:
    async with AsyncExitStack() as stack:
        directory, [port] = Path(stack.enter_context(TemporaryDirectory())), free_ports(1)
        body = directory / "body"
        body.write_bytes(refusal)
        variables = {**running.environment, "BENCH_BODY": str(body), "BENCH_PORT": str(port)}
        await stack.enter_async_context(part("benchmarks.bare", environment=variables, log=directory))
        await answering(f"http://127.0.0.1:{port}/")
        return await storm(f"http://127.0.0.1:{port}", carts)


async def started(running: Shop) -> int:
    """Checkouts that the engine has begun, once its list, which is a moment behind, has settled."""
    engine = await temporal.connect(Temporal(address=running.temporal_address), is_lazy=False)
    await asyncio.sleep(3)
    return (await engine.count_workflows("WorkflowType = 'Checkout'")).count


async def main(shoppers: int, units: int) -> None:
    async with shop() as running:
        carts = await carts_for(running, shoppers, units)
        ours = await storm(running.api_url, carts)
        begun = await started(running)
        floor = await bare(running, ours.refusal, carts)
    table = told(ours, floor, begun, f"{shoppers:,} shoppers, {AT_A_TIME} at a time, {units:,} units")
    Console().print(table)
    Console().print(f"Written to {keep_text(table, 'flash_sale')}")


def told(ours: Storm, floor: Storm, begun: int, size: str) -> Table:
    counted = Counter({answer: len(times) for answer, times in ours.by_answer.items()})
    refused = Series.of(ours.by_answer["out_of_stock"], ours.took)
    plain = Series.of(floor.by_answer["out_of_stock"], floor.took)
    table = Table(title=f"A flash sale: {size}", show_header=False)
    others = {answer: count for answer, count in counted.items() if answer not in ("201", "out_of_stock")}
    for name, figure in {
        "sold": f"{counted['201']:,}",
        "refused": f"{counted['out_of_stock']:,}",
        "answered otherwise": ", ".join(f"{answer}: {count}" for answer, count in others.items()) or "nobody",
        "workflows started": f"{begun:,}",
        "the whole sale": f"{ours.took:.1f} s",
        "refusals per second": f"{refused.per_second:,.0f}",
        "bare answers per second": f"{plain.per_second:,.0f}",
        "of the floor": f"{refused.per_second / plain.per_second:.2f}",
        "a refusal, p50 and p99": f"{refused.p50_ms:.0f} and {refused.p99_ms:.0f} ms",
        "a bare answer, p50 and p99": f"{plain.p50_ms:.0f} and {plain.p99_ms:.0f} ms",
    }.items():
        table.add_row(name, figure)
    return table


if __name__ == "__main__":
    shoppers, units = [*map(int, sys.argv[1:]), *(SHOPPERS, UNITS)[len(sys.argv) - 1 :]]
    uvloop.run(main(shoppers, units))
