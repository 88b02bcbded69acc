"""How reading holds up as the shop grows: a shop of 5,000 products beside one of all 91,515, asked in turns.

``python -m benchmarks.sizes [QUESTIONS]``. Cold: every question is another one. Warm: the same again and again, as in
``python -m benchmarks catalogue``. Searches have :mod:`benchmarks.search` to themselves.
"""

import random
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import uvloop
from rich.console import Console
from rich.table import Table
from sqlalchemy import select

from benchmarks.load import Series, hammered
from benchmarks.report import keep_text, middle
from benchmarks.search import SHOPS, Served, filled, serving, settings_of
from db.catalog import ListedProduct
from deploy import embedded
from runtime.catalog import connected

WARM = {
    "product by id": "/v1/products/{product}",
    "list of 20": "/v1/products?limit=20",
    "list with facets": "/v1/products?limit=20&facets=category,brand,price",
}
CONNECTIONS = (50, 400)
ROUNDS = 3
SECONDS = 2.0
WARM_UP = 100
"""So many others are asked before: a shop that has been open for a minute has its indexes in memory."""


@dataclass
class Shopper:
    """Asks one of the two shops, and never the same twice."""

    served: Served
    products: list[str]
    """Ids in any order."""
    dice: random.Random
    next_page: str | None = None

    async def product(self) -> None:
        await self._get(f"/v1/products/{self.products.pop()}", {})

    async def page(self) -> None:
        """The next page of all there are."""
        wish = {"limit": "20", "sort": "name"} | ({"cursor": self.next_page} if self.next_page else {})
        self.next_page = (await self._get("/v1/products", wish))["next_cursor"]

    async def filtered(self) -> None:
        await self._get("/v1/products", {"limit": "20", "sort": "price", "in_stock": "true", **self._price()})

    async def facets(self) -> None:
        await self._get("/v1/products", {"limit": "20", "facets": "category,brand,price", **self._price()})

    def _price(self) -> dict[str, str]:
        lowest = self.dice.randrange(1000)
        return {
            "min_price": f"{lowest / 100:.2f}",
            "max_price": f"{(lowest + self.dice.randrange(1, 100_000)) / 100:.2f}",
        }

    async def _get(self, path: str, params: dict[str, str]) -> Any:
        async with self.served.http.get(path, params=params) as answer:
            answer.raise_for_status()
            return await answer.json()


COLD: dict[str, Callable[[Shopper], Awaitable[None]]] = {
    "product by id": Shopper.product,
    "next page of a list": Shopper.page,
    "list, by price": Shopper.filtered,
    "list with facets": Shopper.facets,
}


@asynccontextmanager
async def opened(stack: embedded.Running, name: str, products: int | None, directory: Path) -> AsyncIterator[Shopper]:
    await filled(stack, name, products)
    folder = directory / name
    folder.mkdir()
    async with connected(settings_of(stack, name)) as engine, engine.connect() as connection:
        ids = [str(product_id) for product_id in await connection.scalars(select(ListedProduct.product_id))]
    dice = random.Random(17)
    dice.shuffle(ids)
    async with serving(stack, name, folder, APP_LIMITS__ADDRESS_CATALOGUE="100000/s") as served:
        yield Shopper(served, ids, dice)


async def asked_for_what_is_new(shops: dict[str, Shopper], count: int) -> dict[str, dict[str, Series]]:
    times: dict[str, dict[str, list[float]]] = {what: {name: [] for name in shops} for what in COLD}
    for what, ask in COLD.items():  # one after the other: whoever turns all pages has seen all products of a small shop
        for number in range(WARM_UP + count):
            for name, shopper in shops.items():
                began = time.perf_counter()
                await ask(shopper)
                if number >= WARM_UP:
                    times[what][name].append(time.perf_counter() - began)
    return {
        what: {name: Series.of(of_shop, sum(of_shop)) for name, of_shop in by_shop.items()}
        for what, by_shop in times.items()
    }


async def asked_for_the_same(shops: dict[str, Shopper]) -> dict[tuple[str, int], dict[str, Series]]:
    found: dict[tuple[str, int], dict[str, Series]] = {}
    for what, path in WARM.items():
        for connections in CONNECTIONS:
            rounds: dict[str, list[Series]] = {name: [] for name in shops}
            for _ in range(ROUNDS):
                for name, shopper in shops.items():
                    product = shopper.products[0]
                    series = hammered(
                        shopper.served.port,
                        path=path.format(product=product),
                        connections=connections,
                        seconds=SECONDS,
                    )
                    rounds[name].append(await series)
            found[what, connections] = {name: middle(of_shop) for name, of_shop in rounds.items()}
    return found


async def main(count: int) -> None:
    console = Console()
    with embedded.stack() as stack, TemporaryDirectory() as directory:
        async with AsyncExitStack() as parts:
            shops = {
                name: await parts.enter_async_context(opened(stack, name, products, Path(directory)))
                for name, products in SHOPS.items()
            }
            cold = await asked_for_what_is_new(shops, count)
            warm = await asked_for_the_same(shops)
    table = told(cold, warm)
    console.print(table)
    console.print(f"Written to {keep_text(table, 'sizes')}")


def told(cold: dict[str, dict[str, Series]], warm: dict[tuple[str, int], dict[str, Series]]) -> Table:
    table = Table(title="Reading over HTTP: 5,000 products beside 91,515, in turns")
    for column in ("what", "load", "per second", "large", "p50 ms", "large", "times", "p99 ms", "large"):
        table.add_column(column, justify="left" if column in ("what", "load") else "right")
    rows = [(what, "cold, one at a time", by_shop) for what, by_shop in cold.items()]
    rows += [(what, f"warm, {connections} connections", by_shop) for (what, connections), by_shop in warm.items()]
    for what, load, by_shop in rows:
        small, large = (by_shop[name] for name in SHOPS)
        table.add_row(
            *(what, load, f"{small.per_second:,.0f}", f"{large.per_second:,.0f}"),
            *(f"{small.p50_ms:.1f}", f"{large.p50_ms:.1f}", f"{large.p50_ms / small.p50_ms:.1f}"),
            *(f"{small.p99_ms:.1f}", f"{large.p99_ms:.1f}"),
        )
    return table


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 500))
