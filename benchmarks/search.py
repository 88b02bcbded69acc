"""How searching holds up as the shop grows: a shop of 5,000 products beside one of all 91,515, asked in turns.

Every search is another one, so none is answered from memory. ``python -m benchmarks.search [SEARCHES]``
"""

import asyncio
import random
import re
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp
import psutil
import uvloop
from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from benchmarks.load import Series
from benchmarks.report import keep_text
from benchmarks.shop import answering, part
from deploy import embedded
from deploy.ports import free_ports
from deploy.private import on_free_ports
from runtime.catalog import connected, import_demo
from runtime.databases import migrated
from runtime.settings import Database, Settings

SHOPS: dict[str, int | None] = {"small": 5000, "large": None}
KINDS = ("plain", "mistyped", "filtered", "sorted", "with facets")
WARM_UP = 200
"""So many others are asked before: a shop that has been open for a minute has its indexes in memory."""
AT_LEAST_LETTERS = 3
"""Searches have a word at least this long: nobody looks for `oz` alone."""


def searches(names: list[str], count: int, *, seed: int = 11) -> Iterator[tuple[str, dict[str, str]]]:
    """Words of the shop's own names, one to three of one name, in turns of each kind."""
    dice, asked = random.Random(seed), set[str]()
    while len(asked) < count:
        kind = KINDS[len(asked) % len(KINDS)]
        words = re.findall(r"[^\W_]+", dice.choice(names))
        chosen = dice.sample(words, min(len(words), dice.randint(1, 3)))
        longest = max(chosen, key=len)
        if len(longest) < AT_LEAST_LETTERS:
            continue
        params = {"q": " ".join(chosen)}
        if kind == "mistyped":
            place = dice.randrange(1, len(longest))
            params["q"] = params["q"].replace(longest, longest[:place] + dice.choice("aeiorst") + longest[place:])
        elif kind == "filtered":
            params |= {"in_stock": "true", "min_price": f"{dice.randint(0, 5)}", "max_price": f"{dice.randint(6, 60)}"}
        elif kind == "sorted":
            params["sort"] = dice.choice(["newest", "name", "price", "-price"])
        elif kind == "with facets":
            params["facets"] = "category,brand,price"
        if (key := str(params)) not in asked:
            asked.add(key)
            yield kind, params


def beginnings(names: list[str], count: int) -> Iterator[dict[str, str]]:
    """What is typed on the way to a name."""
    dice, asked = random.Random(12), set[str]()
    while len(asked) < count:
        name = dice.choice(names)
        typed = name[: dice.randint(1, len(name))]
        if typed not in asked:
            asked.add(typed)
            yield {"q": typed}


def settings_of(stack: embedded.Running, name: str) -> Settings:
    return Settings(database=Database.model_validate({"url": stack.database_url, "shop_schema": name}))


async def filled(stack: embedded.Running, name: str, count: int | None) -> list[str]:
    """Make the shop, and say what its products are called."""
    await asyncio.to_thread(migrated, stack.database.model_copy(update={"shop_schema": name}))
    settings = settings_of(stack, name)
    await import_demo(settings, count, if_empty=False, console=Console(quiet=True))
    async with connected(settings) as engine, engine.connect() as connection:
        analysing = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await analysing.execute(text("VACUUM ANALYZE"))
        return list(await analysing.scalars(text("SELECT name FROM products ORDER BY id")))


@dataclass(frozen=True)
class Served:
    http: aiohttp.ClientSession
    process: psutil.Process
    port: int


@asynccontextmanager
async def serving(stack: embedded.Running, name: str, directory: Path, **settings: str) -> AsyncIterator[Served]:
    """The API of this shop, in a process of its own."""
    shop = on_free_ports(
        directory,
        postgres_port=stack.postgres_port,
        valkey_port=stack.valkey_port,
        temporal_port=stack.temporal_port,
        temporal_http_port=stack.temporal_http_port,
        api_port=free_ports(1)[0],
    )
    own = {"APP_DATABASE__SHOP_SCHEMA": name, "APP_CACHE__PREFIX": f"{name}:", "APP_LOG_LEVEL": "WARNING", **settings}
    async with part("cli", "api", environment={**shop.environment(), **own}, log=directory) as process:
        await answering(f"{shop.api_url}/health")
        async with aiohttp.ClientSession(shop.api_url) as http:
            yield Served(http, process, shop.api_port)


async def took(http: aiohttp.ClientSession, path: str, params: dict[str, str]) -> float:
    began = time.perf_counter()
    async with http.get(path, params=params) as answer:
        await answer.read()
        answer.raise_for_status()
    return time.perf_counter() - began


async def main(count: int) -> None:
    console = Console()
    times: dict[str, dict[str, list[float]]] = {}
    with embedded.stack() as stack, TemporaryDirectory() as directory:
        async with AsyncExitStack() as exits:
            shops, names = {}, {}
            for name, products in SHOPS.items():
                names[name] = await filled(stack, name, products)
                console.print(f"{name}: {len(names[name]):,} products")
                folder = Path(directory) / name
                folder.mkdir()
                shops[name] = (await exits.enter_async_context(serving(stack, name, folder))).http
                for _, params in searches(names[name], WARM_UP, seed=13):
                    await took(shops[name], "/v1/products", params)
            asked = zip(*(searches(names[name], count) for name in SHOPS), strict=True)
            typed = zip(*(beginnings(names[name], count // 4) for name in SHOPS), strict=True)
            for in_turn in asked:
                for name, (kind, params) in zip(SHOPS, in_turn, strict=True):
                    spent = await took(shops[name], "/v1/products", params)
                    for row in ("all searches", kind):
                        times.setdefault(row, {}).setdefault(name, []).append(spent)
            for begun in typed:
                for name, params in zip(SHOPS, begun, strict=True):
                    spent = await took(shops[name], "/v1/search/suggestions", params)
                    times.setdefault("suggestions", {}).setdefault(name, []).append(spent)
    table = told(times)
    console.print(table)
    console.print(f"Written to {keep_text(table, 'search')}")


def told(times: dict[str, dict[str, list[float]]]) -> Table:
    table = Table(title="Searches that nobody asked before, over HTTP: 5,000 products beside 91,515, in turns")
    for column in ("what", "how many", "p50 ms", "large", "times", "p99 ms", "large", "times"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for row, by_shop in times.items():
        small, large = (Series.of(by_shop[name], sum(by_shop[name])) for name in SHOPS)
        table.add_row(
            row,
            f"{len(by_shop['small']):,}",
            *(f"{small.p50_ms:.1f}", f"{large.p50_ms:.1f}", f"{large.p50_ms / small.p50_ms:.1f}"),
            *(f"{small.p99_ms:.1f}", f"{large.p99_ms:.1f}", f"{large.p99_ms / small.p99_ms:.1f}"),
        )
    return table


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000))
