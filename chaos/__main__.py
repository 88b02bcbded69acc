"""``python -m chaos [--minutes 1] [--seed N]``: load a private shop, break it, wait for quiet, check the books."""

import random
import shutil
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from chaos.report import keep, replay_of, tell
from chaos.run import Plan, run
from chaos.tables import console_of_a_run


def main(
    minutes: Annotated[float, typer.Option(help="How long the shop is under load and under fire.")] = 1.0,
    seed: Annotated[int | None, typer.Option(help="Which faults; the same seed gives the same ones.")] = None,
    pause: Annotated[float, typer.Option(help="Seconds between two faults, on average.")] = 2.0,
    shoppers: Annotated[int, typer.Option(help="Customers at a time.")] = 4,
    products: Annotated[int, typer.Option(help="Kinds of goods that can be bought.")] = 6000,
    into: Annotated[Path, typer.Option(help="Where the report is written.")] = Path(),
    keep_logs: Annotated[bool, typer.Option(help="Keep the shop's data and logs also when nothing was found.")] = False,
) -> None:
    """Kill everything, again and again, and see that no order is lost."""
    chosen = random.SystemRandom().randrange(10**6) if seed is None else seed
    console = console_of_a_run()
    console.print(f"Seed {chosen}. Again: {replay_of(chosen, minutes * 60, pause, shoppers)}")
    directory = Path(tempfile.mkdtemp(prefix="sutler-chaos-"))
    plan = Plan(
        seed=chosen, seconds=minutes * 60, pause=pause, shoppers=shoppers, products=products, directory=directory
    )
    begun = time.monotonic()
    report = uvloop.run(run(plan, console))
    tell(report, console)
    into.mkdir(parents=True, exist_ok=True)
    console.print(f"Written to {keep(report, into)} after {time.monotonic() - begun:.0f} s.", soft_wrap=True)
    if report.violations or keep_logs:
        console.print(f"The shop's data and logs: {directory}", soft_wrap=True)
    else:
        shutil.rmtree(directory, ignore_errors=True)
    raise typer.Exit(1 if report.violations else 0)


if __name__ == "__main__":
    typer.run(main)
