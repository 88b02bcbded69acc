"""What an API process holds in memory once the whole catalogue was asked for: ``python -m benchmarks.memory``."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp
import psutil
import uvloop
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.report import keep_text
from benchmarks.search import filled, serving
from deploy import embedded

BOUNDS = (16, 128, 1024)
"""Values of ``APP_CACHE__MEMORY_MEGABYTES``; the middle one is what the shop has without a setting."""


async def read_everything(http: aiohttp.ClientSession, pages: int) -> None:
    """Page by page, as whoever shows the whole shop would."""
    params = {"limit": "100", "sort": "newest"}
    for _ in track(range(pages), description="reading the catalogue", transient=True):
        async with http.get("/v1/products", params=params) as answer:
            answer.raise_for_status()
            page = await answer.json()
        if page["next_cursor"] is None:
            return
        params["cursor"] = page["next_cursor"]


def resident(process: psutil.Process) -> float:
    """Megabytes of the process and those it started."""
    return sum(member.memory_info().rss for member in [process, *process.children(recursive=True)]) / 1e6


async def main() -> None:
    table = Table(title="Memory of one API process before and after all 91,515 products were asked for")
    for column in ("bound by setting, MB", "before, MB", "after, MB", "grown by, MB"):
        table.add_column(column, justify="right")
    with embedded.stack() as stack, TemporaryDirectory() as directory:
        products = len(await filled(stack, "large", None))
        for bound in BOUNDS:
            folder = Path(directory) / str(bound)
            folder.mkdir()
            own = {"APP_CACHE__MEMORY_MEGABYTES": str(bound)}
            async with serving(stack, "large", folder, **own) as shop:
                await asyncio.sleep(1)
                before = resident(shop.process)
                await read_everything(shop.http, products // 100 + 1)
                after = resident(shop.process)
            table.add_row(str(bound), f"{before:.0f}", f"{after:.0f}", f"{after - before:.0f}")
    Console().print(table)
    Console().print(f"Written to {keep_text(table, 'memory')}")


if __name__ == "__main__":
    uvloop.run(main())
