"""Reading the catalogue, against a bare ASGI answer of the same bytes on the same server in the same run."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp

from benchmarks.load import Series, hammered
from benchmarks.report import Row
from benchmarks.shop import Shop, answering, part
from deploy.ports import free_ports

ROUNDS = 3
SECONDS = 3.0
CONNECTIONS = 32


async def run(shop: Shop, progress: Callable[[str], None]) -> list[Row]:
    async with aiohttp.ClientSession(shop.api_url) as http:
        page = await (await http.get("/v1/products?limit=20")).json()
    product = page["items"][0]["id"]
    rows = []
    for name, path in {
        "catalogue list, 20 products": "/v1/products?limit=20",
        "product by id": f"/v1/products/{product}",
    }.items():
        ours, floor = await _against_the_floor(shop, name, path, progress)
        rows.append(Row(name, f"{CONNECTIONS} connections", ours, floor))
    return rows


async def _against_the_floor(
    shop: Shop, name: str, path: str, progress: Callable[[str], None]
) -> tuple[list[Series], list[Series]]:
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory()))
        body, [port] = directory / "body", free_ports(1)
        async with aiohttp.ClientSession(shop.api_url) as http, http.get(path) as answer:
            body.write_bytes(await answer.read())
        bare = {**shop.environment, "BENCH_BODY": str(body), "BENCH_PORT": str(port)}
        await stack.enter_async_context(part("benchmarks.bare", environment=bare, log=directory))
        await answering(f"http://127.0.0.1:{port}/")
        ours, floor = [], []
        await hammered(shop.api_port, path, connections=CONNECTIONS, seconds=1)
        for _ in range(ROUNDS):
            floor.append(await hammered(port, path, connections=CONNECTIONS, seconds=SECONDS))
            ours.append(await hammered(shop.api_port, path, connections=CONNECTIONS, seconds=SECONDS))
            progress(name)
    return ours, floor
