"""``python -m chaos.outage [--part temporal] [--seconds 60]``: a part of the shop is away while customers keep coming.

Customers arrive at a steady rate before, during and after each outage, and repeat what is not answered. In the end
every accepted request must have become one order or one clean refusal.
"""

import asyncio
import os
import signal
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from chaos import laws
from chaos.buyers import GOOD_CARD, Market, a_market
from chaos.client import NobodyAnsweredError
from chaos.schedule import SERVERS
from chaos.tables import console_of_a_run, keep, leave, tell
from deploy.processes import kill_session
from deploy.supervisor import Patience, Supervisor

NAME = "outage-report"
ALWAYS_AT_ONCE = Patience(quick_deaths=10**9)
EVERYTHING_THERE = "nothing"
BEFORE_AND_AFTER = 5.0
LOOK_EVERY = 2.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    parts: Sequence[str]
    """What is away, one after the other."""
    seconds: float
    """How long each is away."""
    per_second: float
    """How many customers arrive."""


@dataclass(frozen=True, kw_only=True)
class Report:
    seconds_away: dict[str, float]
    customers: int
    answered: dict[str, dict[str, int]]
    """What customers were told at first, by what was away when they asked."""
    decided: dict[str, int]
    orders: dict[str, int]
    seconds_until_quiet: float
    longest_undecided: float
    violations: list[str]

    def rows(self) -> list[tuple[str, str]]:
        return [
            *((f"seconds without {part}", f"{seconds:.0f}") for part, seconds in self.seconds_away.items()),
            ("customers who checked out", str(self.customers)),
            *(
                (f"told {what} while {part} was away", str(n))
                for part, told in self.answered.items()
                for what, n in sorted(told.items())
            ),
            *((f"decided in the end: {what}", str(n)) for what, n in sorted(self.decided.items())),
            *((f"orders: {state}", str(n)) for state, n in sorted(self.orders.items())),
            ("seconds from the last customer until all was decided", f"{self.seconds_until_quiet:.0f}"),
            ("longest that an order was undecided, in seconds", f"{self.longest_undecided:.0f}"),
            ("requests that became neither one order nor one refusal", str(len(self.violations))),
        ]


class Outage:
    def __init__(self, plan: Plan, market: Market) -> None:
        self._plan = plan
        self._market = market
        self._away = EVERYTHING_THERE
        self._answered: defaultdict[str, Counter[str]] = defaultdict(Counter)

    async def run(self, progress: Progress) -> Report:
        self._market.look_every = LOOK_EVERY
        is_over = asyncio.Event()
        customers = asyncio.create_task(self._customers_until(is_over))
        task = progress.add_task("everything is there", total=None)
        seconds_away: dict[str, float] = {}
        for part in self._plan.parts:
            await asyncio.sleep(BEFORE_AND_AFTER)
            progress.update(task, description=f"{part} is away")
            self._away, begun = part, time.monotonic()
            await kept_away(self._market.shop.supervisor, part, self._plan.seconds)
            self._away = EVERYTHING_THERE
            seconds_away[part] = time.monotonic() - begun
            progress.update(task, description=f"{part} is back")
        await asyncio.sleep(BEFORE_AND_AFTER)
        is_over.set()
        begun = time.monotonic()
        await customers
        await self._market.quiet()
        return await self._report(seconds_away, time.monotonic() - begun)

    async def _customers_until(self, is_over: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            while not is_over.is_set():
                group.create_task(self._customer())
                await asyncio.sleep(1 / self._plan.per_second)

    async def _customer(self) -> None:
        with suppress(NobodyAnsweredError):  # it is in the diary
            cart = await self._market.a_full_cart()
            await self._market.check_out(cart, GOOD_CARD, answered=self._answered[self._away])

    async def _report(self, away: dict[str, float], until_quiet: float) -> Report:
        books, diary = await self._market.read(), self._market.diary
        return Report(
            seconds_away=away,
            customers=len(diary.wishes),
            answered={part: dict(told) for part, told in self._answered.items()},
            decided=dict(diary.told),
            orders=dict(Counter(f"{row['status']}, {row['payment_status']}" for row in books.tables["orders"])),
            seconds_until_quiet=until_quiet,
            longest_undecided=laws.longest_undecided(books, diary),
            violations=laws.violations(books, diary),
        )


async def kept_away(supervisor: Supervisor, part: str, seconds: float) -> None:
    """Kill the part, and hold each that is started in its place before it can listen, until the time is over."""
    deadline = time.monotonic() + seconds
    killed = supervisor.pids()[part]
    kill_session(killed)
    held: set[int] = set()
    while time.monotonic() < deadline:
        pid = supervisor.pids().get(part)
        if pid is not None and pid != killed and pid not in held:
            _signal(pid, signal.SIGSTOP)
            held.add(pid)
        await asyncio.sleep(0.02)
    for pid in held:
        _signal(pid, signal.SIGCONT)


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pid, number)


async def run(plan: Plan, directory: Path, console: Console) -> Report:
    console.print("Starting a shop of its own.")
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    async with a_market(directory, patience=ALWAYS_AT_ONCE) as market:
        with Progress(*columns, console=console, transient=True) as progress:
            return await Outage(plan, market).run(progress)


def main(
    part: Annotated[list[str] | None, typer.Option(help="What is away, one after the other; temporal if none.")] = None,
    seconds: Annotated[float, typer.Option(help="How long each is away.")] = 60.0,
    per_second: Annotated[float, typer.Option(help="Customers who arrive in a second.")] = 2.0,
    into: Annotated[Path, typer.Option(help="Where the report is written.")] = Path(),
) -> None:
    """Take parts of the shop away under load, and see that no request is lost."""
    unknown = set(part or ()) - set(SERVERS)
    if unknown:
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}: choose from {', '.join(SERVERS)}")
    plan = Plan(parts=part or ["temporal"], seconds=seconds, per_second=per_second)
    console = console_of_a_run()
    directory = Path(tempfile.mkdtemp(prefix="sutler-outage-"))
    report = uvloop.run(run(plan, directory / "shop", console))
    tell("Outages", report.rows(), console, breaches=report.violations)
    written = keep(NAME, "Outage report", report.rows(), vars(report), into)
    leave(written, directory, console, is_clean=not report.violations)


if __name__ == "__main__":
    typer.run(main)
