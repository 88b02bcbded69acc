"""What statements cost when a million orders lie behind them: ``python -m benchmarks.growth [ORDERS [DIRECTORY]]``.

Customers and staff do the same in a young shop and in an old one. Postgres tells how it carried out each statement that
the application sent (``auto_explain``): which tables it looked into and how, how many rows it read there, and how many
pages, which is the same on every machine. None may read a table that grows from its beginning, nor more rows than fits
what it gives back, nor more pages than before but for indexes that became deeper. Ends with 1 otherwise.

Beside that it says how long the audit takes for each of its laws, which read everything and must find nothing, and what
an order leaves behind: rows and bytes by table. The shop is gone afterwards, unless a
directory is named for it.
"""

import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from uuid import uuid4

import uvloop
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from benchmarks.grown import TABLES, Left, grow, left_behind
from benchmarks.plans import OF_A_FOREIGN_KEY, Execution, Levels, have_them_told, levels_of_indexes, told_in
from benchmarks.report import keep_text
from chaos.buyers import GOOD_CARD, PASSWORD, Market, a_market
from chaos.client import Client
from db.engine import sessions_of
from db.laws import TABLE_LAWS, breaches_of
from deploy.embedded.postgres import database_url
from domain.audit import Law

ORDERS = 1_000_000
PRODUCTS = 2000
CUSTOMERS = 12
HOTTEST = 20
WORDS = 240
"""So many characters of a statement are told where it is a problem; what tells two apart often comes last."""
LISTS = (
    *("orders?limit=20", "orders?status=confirmed", "orders?status=delivered", "orders?payment_status=requires_action"),
    *("orders?needs_attention=true", "orders?q=nobody@example.com", "audit?actor=nobody", "carrier-messages"),
)
ROWS_READ = 50
"""So many rows a statement may read for each that it gives back: an order has lines, a payment, parcels with items."""
PAGES_READ = 300
"""So many pages for each, likewise."""
DEEPER = 8
"""Pages that a statement may read more in the old shop: each index it uses may have become a level or two deeper. What
writes many indexes may read a page more for each level that they have really become deeper."""
USUAL = 5
"""What was asked less often is not compared."""
TIMES = 1.5
"""So many times as many it may be as well: what is read beside an index lies in more places."""


@dataclass(frozen=True)
class Asked:
    """A statement, and all times that it was carried out."""

    statement: str
    times: Sequence[Execution]

    @property
    def pages(self) -> float:
        return fmean(execution.pages for execution in self.times)

    @property
    def ms(self) -> float:
        return fmean(execution.ms for execution in self.times)

    @property
    def rows_given(self) -> float:
        return fmean(execution.rows_given for execution in self.times)

    @property
    def rows_read(self) -> float:
        return fmean(execution.rows_read(TABLES) for execution in self.times)

    @property
    def by_who_knows(self) -> "Asked":
        """Without the first time of each connection, which looks up then what the tables are."""
        first = {each.process: each for each in reversed(self.times)}
        return Asked(self.statement, [each for each in self.times if each is not first[each.process]])

    def problems(self, before: "Asked | None", gained: Levels) -> list[str]:
        found = [f"reads all of {table}" for table in sorted(set().union(*(e.read_whole(TABLES) for e in self.times)))]
        worst = max(self.times, key=lambda execution: execution.rows_read(TABLES) / max(execution.rows_given, 1))
        if worst.rows_read(TABLES) > ROWS_READ * max(worst.rows_given, 1):
            found.append(f"reads {worst.rows_read(TABLES):.0f} rows and gives back {worst.rows_given:.0f}")
        most = max(self.times, key=lambda execution: execution.pages / max(execution.rows_given, 1))
        if most.pages > PAGES_READ * max(most.rows_given, 1):
            found.append(f"reads {most.pages} pages and gives back {most.rows_given:.0f} rows")
        if before is not None and before.rows_given >= 1:
            found += self.by_who_knows.compared(before.by_who_knows, gained)
        return found

    def compared(self, before: "Asked", gained: Levels) -> list[str]:
        if min(len(self.times), len(before.times)) < USUAL:
            return []
        deeper = max(DEEPER, gained.of(self.times[0]))
        if self.pages_a_row <= before.pages_a_row * TIMES + deeper:
            return []
        return [f"reads {self.pages_a_row:.0f} pages a row, {before.pages_a_row:.0f} in the young shop"]

    @property
    def pages_a_row(self) -> float:
        """Of those that are given back; what gives none reads as much as for one."""
        return fmean(execution.pages / max(execution.rows_given, 1) for execution in self.times)


async def a_day(market: Market, customers: int) -> None:
    """Customers buy, look and give up; staff send, pay back and look for orders."""
    shopper = Client(market.http, market.shop.settings.api_url, market.diary, ("shopper@example.com", PASSWORD))
    staff = market.operator
    for number in range(customers):
        cart = await market.a_full_cart()
        order = await market.check_out(cart, GOOD_CARD)
        of_guest, of_staff = f"/v1/orders/{order['id']}", f"/v1/admin/orders/{order['id']}"
        await market.guest.insist("GET", f"{of_guest}?cart={cart}")
        await market.guest.insist("GET", f"{of_guest}/events?cart={cart}")
        if number % 3 == 1:
            why = {"reason": "changed_mind"}
            await market.guest.insist("POST", f"{of_guest}/cancel?cart={cart}", why, key=str(uuid4()))
        else:
            await market.deliver(order)
        if number % 3 == 2:
            wish = {"amount": {"amount": "1.00", "currency": "USD"}, "reason": "late"}
            await staff.insist("POST", f"{of_staff}/refunds", wish, key=str(uuid4()))
        for asked in (*LISTS, f"orders?q={order['number']}"):
            await staff.insist("GET", f"/v1/admin/{asked}")
        await staff.insist("GET", f"{of_staff}/explain")
        await shopper.insist("GET", "/v1/orders?limit=20")
    await market.quiet()


async def watched(market: Market) -> dict[str, Asked]:
    """What a day asks of Postgres."""
    await a_day(market, 1)  # so that nothing is asked for the first time
    log = market.shop.settings.directory / "logs" / "postgres.log"
    begin = log.stat().st_size
    await a_day(market, CUSTOMERS)
    return by_statement(told_in(log, begin))


def by_statement(executions: Iterable[Execution]) -> dict[str, Asked]:
    times: dict[str, list[Execution]] = defaultdict(list)
    for execution in executions:
        times[execution.statement].append(execution)
    return {statement: Asked(statement, found) for statement, found in times.items()}


@dataclass(frozen=True)
class Audited:
    law: Law
    seconds: float
    breaches: Sequence[str]


async def audited(engine: AsyncEngine) -> list[Audited]:
    """The longest first."""
    found = []
    for law in TABLE_LAWS:
        began = time.perf_counter()
        async with sessions_of(engine)() as session:
            breaches = await breaches_of(session, law, patience_seconds=60)
        found.append(Audited(law, time.perf_counter() - began, [breach.words for breach in breaches]))
    return sorted(found, key=lambda each: each.seconds, reverse=True)


async def main(orders: int, directory: Path) -> int:
    console = Console(width=150)
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("starting a shop", total=len(TABLES) + 5)

        def tell(what: str) -> None:
            progress.update(task, advance=1, description=what)

        settings = {"APP_OPERATIONS__IS_SCHEDULED": "false"}
        async with a_market(directory / "shop", products=PRODUCTS, settings=settings) as market:
            port = market.shop.settings.postgres_port
            engine = create_async_engine(database_url(port))
            await have_them_told(engine)
            tell("a day in the young shop")
            young, levels = await watched(market), await levels_of_indexes(engine)
            await grow(port, orders, tell)
            left = await left_behind(port, orders)
            tell("an audit")
            audit = await audited(engine)
            tell("a day in the old shop")
            old, gained = await watched(market), (await levels_of_indexes(engine)).since(levels)
            await engine.dispose()
    tables = (statements(orders, old, young), audits(orders, audit), leavings(orders, left))
    for table in tables:
        console.print(table)
    problems = [*problems_of(old, young, gained), *(words for each in audit for words in each.breaches[:3])]
    for problem in problems:
        console.print(problem, soft_wrap=True, markup=False)
    console.print(f"{len(old)} statements, {len(problems)} problems. Written to {keep_text(tables, 'growth')}")
    return 1 if problems else 0


def problems_of(old: Mapping[str, Asked], young: Mapping[str, Asked], gained: Levels) -> list[str]:
    return [
        f"{problem}: {statement if len(statement) <= WORDS else f'{statement[: WORDS // 3]} … {statement[-WORDS:]}'}"
        for statement, asked in old.items()
        for problem in asked.problems(young.get(statement), gained)
    ]


def statements(orders: int, old: Mapping[str, Asked], young: Mapping[str, Asked]) -> Table:
    sent = [asked for asked in old.values() if not asked.statement.startswith(OF_A_FOREIGN_KEY)]
    hottest = sorted(sent, key=lambda asked: len(asked.times), reverse=True)[:HOTTEST]
    table = Table(title=f"The {HOTTEST} statements that are sent most often, of {len(sent)}, behind {orders:,} orders")
    for column in ("statement", "calls", "rows read", "given", "pages", "in a young shop", "ms", "young"):
        table.add_column(column, justify="left" if column == "statement" else "right", no_wrap=True)
    for asked in hottest:
        before = young.get(asked.statement)
        table.add_row(
            asked.statement[:70],
            str(len(asked.times)),
            f"{asked.rows_read:.1f}",
            f"{asked.rows_given:.1f}",
            f"{asked.pages:.1f}",
            f"{before.pages:.1f}" if before else "",
            f"{asked.ms:.2f}",
            f"{before.ms:.2f}" if before else "",
        )
    return table


def audits(orders: int, audit: Sequence[Audited]) -> Table:
    table = Table(title=f"The laws of the tables that an audit takes longest for, behind {orders:,} orders")
    table.add_column("law")
    table.add_column("seconds", justify="right")
    for each in audit[:10]:
        table.add_row(each.law, f"{each.seconds:.2f}")
    table.add_row(f"all {len(audit)}", f"{sum(each.seconds for each in audit):.2f}")
    return table


def leavings(orders: int, left: Sequence[Left]) -> Table:
    table = Table(title=f"What an order leaves behind, from {orders:,} of them")
    for column in ("table", "kept", "rows an order", "bytes a row", "of it indexes", "bytes an order"):
        table.add_column(column, justify="left" if column in ("table", "kept") else "right")
    for each in left:
        table.add_row(
            each.table,
            f"{each.days} days" if each.days else "for ever",
            f"{each.rows_an_order:.1f}",
            f"{each.bytes_a_row:.0f}",
            f"{each.bytes_of_indexes:.0f}",
            f"{each.bytes_an_order:,.0f}",
        )
    for title, is_kept in (("for ever", True), ("for a while", False)):
        together = sum(each.bytes_an_order for each in left if (each.days is None) is is_kept)
        table.add_row(f"together, {title}", "", "", "", "", f"{together:,.0f}")
    return table


if __name__ == "__main__":
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else ORDERS
    with tempfile.TemporaryDirectory(prefix="sutler-growth-") as passing:
        sys.exit(uvloop.run(main(wanted, Path(sys.argv[2] if len(sys.argv) > 2 else passing))))
