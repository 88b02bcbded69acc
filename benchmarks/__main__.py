"""``python -m benchmarks [catalogue] [checkouts]``: measure, print ratios, write ``benchmarks/results``."""

import sys

import uvloop
from rich.console import Console
from rich.progress import Progress

from benchmarks import catalogue, checkouts
from benchmarks.report import Row, keep, tell
from benchmarks.shop import shop

SUBJECTS = {"catalogue": catalogue, "checkouts": checkouts}
ROUNDS = {"catalogue": catalogue.IN_ALL, "checkouts": checkouts.ROUNDS * len(checkouts.SHOPPERS)}


async def main(chosen: list[str]) -> None:
    console = Console()
    rows: list[Row] = []
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("starting the shop", total=sum(ROUNDS[name] for name in chosen))
        async with shop() as running:
            for name in chosen:
                rows += await SUBJECTS[name].run(running, lambda what: bar.update(task, advance=1, description=what))
    tell(rows, console)
    for name in chosen:
        mine = [row for row in rows if (row.name == "checkout") == (name == "checkouts")]
        console.print(f"Written to {keep(mine, name).relative_to(keep(mine, name).parent.parent.parent)}")


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1:] or list(SUBJECTS)))
