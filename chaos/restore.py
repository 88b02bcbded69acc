"""``python -m chaos.restore``: the database is lost, and the shop goes on with what a backup and its archive have.

A shop sells, is backed up, and sells on. Then somebody drops its tables. The cluster is restored to a moment before
that, the shop is started on it, and the audit says whether everything adds up. What was sold after that moment is in no
table any more, but the engine and the payment provider know of it: the audit must name these orders, and no others.
So it is with one order that was delivered after that moment.
"""

import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop
from rich.console import Console
from rich.progress import Progress
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from chaos.buyers import GOOD_CARD, Market, a_market
from chaos.tables import console_of_a_run, counting, keep, leave, tell
from chaos.wishes import Json
from deploy.audit import looked, repaired
from deploy.embedded.backups import Archive, back_up, restore
from deploy.embedded.postgres import database_url
from domain.audit import Law
from runtime.settings import Temporal
from workflows.names import order_id

NAME = "restore-report"
THE_MISTAKE = "DROP SCHEMA public CASCADE"
"""By the superuser: nobody else could, and tables that are only added to refuse even him a TRUNCATE."""
OF_STORIES = (Law.STORIES_HAVE_AN_ORDER, Law.ORDERS_HAVE_A_STORY)
"""An order that is lost has a workflow, and one that was delivered since has none; repairs end and begin them."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    orders: int
    """How many are sold before the backup, and again between the backup and the moment."""
    lost: int
    """How many are sold after the moment to which the database is restored."""


@dataclass(frozen=True, kw_only=True)
class Report:
    orders_before_the_backup: int
    orders_from_the_archive: int
    orders_lost: int
    lost_and_named: int
    seconds_to_back_up: float
    seconds_to_restore: float
    orders: int
    """In the restored tables."""
    sold_afterwards: int
    found: dict[Law, int]
    """By the first audit."""
    left_to_people: dict[Law, int]
    """By the audit after all repairs."""
    violations: list[str]

    def rows(self) -> list[tuple[str, str]]:
        return [
            ("orders before the backup", str(self.orders_before_the_backup)),
            ("orders after it, which the archive has", str(self.orders_from_the_archive)),
            ("orders in the restored tables", str(self.orders)),
            ("orders after the moment, which are lost", str(self.orders_lost)),
            ("of these, named by the audit", str(self.lost_and_named)),
            *((f"found by the audit: {law}", str(count)) for law, count in sorted(self.found.items())),
            *((f"left to people after repairs: {law}", str(n)) for law, n in sorted(self.left_to_people.items())),
            ("orders sold in the restored shop", str(self.sold_afterwards)),
            ("seconds to back up", f"{self.seconds_to_back_up:.1f}"),
            ("seconds until the restored shop was open", f"{self.seconds_to_restore:.1f}"),
            ("whatever else was wrong", str(len(self.violations))),
        ]


class Drill:
    def __init__(self, plan: Plan, directory: Path, progress: Progress) -> None:
        self._plan = plan
        self._directory = directory
        self._shop = directory / "shop"
        self._archive = Archive(directory / "archive")
        self._backup = directory / "backup"
        self._progress = progress
        self._task = progress.add_task("starting a shop of its own", total=3 * plan.orders + plan.lost)

    async def run(self) -> Report:
        took: dict[str, float] = {}
        async with a_market(self._shop) as market:
            port = market.shop.settings.postgres_port
            with self._archive.kept(port):
                kept = await self._sell(market, self._plan.orders, "before the backup")
                began = time.monotonic()
                back_up(port, self._backup)
                took["back up"] = time.monotonic() - began
                kept += await self._sell(market, self._plan.orders, "after the backup")
                await market.quiet()
                moment = await now(port)
                lost = await self._sell(market, self._plan.lost, "after the moment", is_delivered=False)
                await market.deliver(kept[0])
                await market.quiet()
                await drop_the_tables(port)
        began = time.monotonic()
        self._restore(moment)
        async with a_market(self._shop) as market:
            took["restore"] = time.monotonic() - began
            sold = await self._sell(market, self._plan.orders, "in the restored shop")
            await market.quiet()
            return await self._report(market, [*kept, *sold], lost, took)

    async def _sell(self, market: Market, how_many: int, when: str, *, is_delivered: bool = True) -> list[Json]:
        """Every second one is sent and delivered."""
        self._progress.update(self._task, description=f"selling {when}")
        orders = []
        for number in range(how_many):
            order = await market.check_out(await market.a_full_cart(), GOOD_CARD)
            if is_delivered and number % 2:
                await market.deliver(order)
            orders.append(order)
            self._progress.advance(self._task)
        return orders

    def _restore(self, moment: datetime) -> None:
        """The cluster from its backup and archive, and no cache: what that knows may never have been."""
        self._progress.update(self._task, description="restoring")
        data = self._shop / "postgres"
        data.rename(self._directory / "broken")
        restore(self._backup, self._archive, moment, data)
        shutil.rmtree(self._shop / "valkey")

    async def _report(
        self, market: Market, kept: Sequence[Json], lost: Sequence[Json], took: Mapping[str, float]
    ) -> Report:
        engine = Temporal(address=market.shop.settings.temporal_address)
        found = (await looked(engine, days=2)).breaches
        await repaired(engine, [breach for breach in found if breach.repair], Console(quiet=True))
        left = Counter(breach.law for breach in (await looked(engine, days=2)).breaches)
        in_tables = {row["id"] for row in (await market.read()).tables["orders"]}
        named = {breach.subject for breach in found if breach.law in OF_STORIES}
        return Report(
            orders_before_the_backup=self._plan.orders,
            orders_from_the_archive=self._plan.orders,
            orders=len(in_tables),
            orders_lost=len(lost),
            lost_and_named=sum(order_id(order["id"]) in named for order in lost),
            sold_afterwards=self._plan.orders,
            seconds_to_back_up=took["back up"],
            seconds_to_restore=took["restore"],
            found=dict(Counter(breach.law for breach in found)),
            left_to_people=dict(left),
            violations=[
                *market.diary.bugs,
                *(f"{order['number']} is in no table" for order in kept if order["id"] not in in_tables),
                *(f"{law} of {left[law]}, not {due}" for law, due in self._due().items() if left[law] != due),
                *(f"{breach.law}: {breach.words}" for breach in found if breach.law not in (*OF_STORIES, *self._due())),
            ],
        )

    def _due(self) -> dict[Law, int]:
        """What only people can decide: each lost order was paid, and one order was sent after the moment."""
        return {Law.MONEY_HAS_AN_ORDER: self._plan.lost, Law.AMOUNTS_AGREE: 1}


async def now(port: int) -> datetime:
    """By the clock of the server, which is what a cluster is restored by."""
    moment: datetime = await _asked(port, "SELECT clock_timestamp()")
    return moment


async def drop_the_tables(port: int) -> None:
    await _asked(port, THE_MISTAKE)


async def _asked(port: int, statement: str) -> Any:
    engine = create_async_engine(database_url(port))
    async with engine.begin() as connection:
        answer = await connection.execute(text(statement))
        told = answer.scalar_one() if answer.returns_rows else None
    await engine.dispose()
    return told


async def run(plan: Plan, directory: Path, console: Console) -> Report:
    with counting(console) as progress:
        return await Drill(plan, directory, progress).run()


def main(
    orders: Annotated[int, typer.Option(help="Orders before the backup, after it, and after the restore.")] = 50,
    lost: Annotated[int, typer.Option(help="Orders after the moment to which the database is restored.")] = 5,
    into: Annotated[Path, typer.Option(help="Where the report is written.")] = Path(),
) -> None:
    """Lose the database of a shop, restore it to a moment before, and see that everything adds up."""
    console = console_of_a_run()
    directory = Path(tempfile.mkdtemp(prefix="sutler-restore-"))
    report = uvloop.run(run(Plan(orders=orders, lost=lost), directory, console))
    tell("A database restored", report.rows(), console, breaches=report.violations)
    written = keep(NAME, "Restore report", report.rows(), vars(report), into)
    leave(written, directory, console, is_clean=not report.violations)


if __name__ == "__main__":
    typer.run(main)
