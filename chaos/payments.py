"""``python -m chaos.payments [--count 10000]``: whole orders while the provider's answers get lost and its news double.

Each payment is a real order over HTTP: cart, checkout, parcel, capture, delivery. In the end the provider's own ledger,
which the shop cannot write to, says whether anybody was charged twice and whether any money that was due was not taken.
"""

import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from rich.console import Console
from rich.progress import Progress

from chaos import laws, tally
from chaos.books import Books, Money
from chaos.buyers import CHALLENGED_CARD, GOOD_CARD, Market, a_market, crowd
from chaos.client import NobodyAnsweredError
from chaos.tables import console_of_a_run, counting, keep, leave, tell

NAME = "payments-report"
CHALLENGED_EVERY = 20
"""Every so many payments the bank wants to see its customer, so that webhooks have something to say."""
GIFT_CARDS = {3: 500, 7: 100_000}
"""Of eight payments, one is made in part with a gift card and one as a whole; what those are worth in minor units."""
NOTHING = Money()


@dataclass(frozen=True, kw_only=True)
class Plan:
    count: int
    at_a_time: int
    dropped: float
    doubled: float


@dataclass(frozen=True, kw_only=True)
class Report:
    payments: int
    seconds: float
    answers_dropped: int
    webhooks_doubled: int
    orders: dict[str, int]
    paid_with: dict[str, int]
    answers: dict[str, int]
    charged_twice: list[str]
    captures_lost: list[str]
    violations: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not (self.charged_twice or self.captures_lost or self.violations)

    def rows(self) -> list[tuple[str, str]]:
        return [
            ("payments", str(self.payments)),
            ("answers of the provider that were dropped after the work", str(self.answers_dropped)),
            ("webhooks that came twice", str(self.webhooks_doubled)),
            *((f"orders that ended as {state}", str(count)) for state, count in sorted(self.orders.items())),
            *((f"orders that were paid {way}", str(count)) for way, count in sorted(self.paid_with.items())),
            ("charged twice", str(len(self.charged_twice))),
            ("captures lost", str(len(self.captures_lost))),
            ("other breaches of the books", str(len(self.violations))),
            ("seconds", f"{self.seconds:.0f}"),
        ]


async def run(plan: Plan, directory: Path, console: Console) -> Report:
    console.print("Starting a shop of its own.")
    async with a_market(directory) as market:
        begun = time.monotonic()
        rates = {"drop_response_rate": plan.dropped, "duplicate_webhook_rate": plan.doubled}
        await market.misbehave({"payments": rates})
        with counting(console) as progress:
            await _pay(plan, market, progress)
            await market.behave()
            waiting = progress.add_task("waiting for quiet", total=None)
            await market.quiet()
            progress.remove_task(waiting)
        seconds = time.monotonic() - begun
        return _report(market, await market.read(), await market.inflicted(), seconds)


async def _pay(plan: Plan, market: Market, progress: Progress) -> None:
    task = progress.add_task("payments", total=plan.count)
    numbers = iter(range(plan.count))

    async def visit() -> bool:
        number = next(numbers, None)
        if number is None:
            return False
        card = CHALLENGED_CARD if number % CHALLENGED_EVERY == 0 else GOOD_CARD
        try:
            cart = await market.a_full_cart(gift_card=GIFT_CARDS.get(number % 8, 0))
            order = await market.check_out(cart, card)
            if order is not None:
                await market.deliver(order)
        except NobodyAnsweredError:  # it is in the diary
            pass
        progress.advance(task)
        return True

    await crowd(plan.at_a_time, visit)


def _report(market: Market, books: Books, inflicted: dict[str, int], seconds: float) -> Report:
    orders = books.tables["orders"]
    return Report(
        payments=len(orders),
        seconds=seconds,
        answers_dropped=inflicted.get("drop_response", 0),
        webhooks_doubled=inflicted.get("duplicate_webhook", 0),
        orders=dict(Counter(f"{order['status']}, {order['payment_status']}" for order in orders)),
        paid_with=dict(Counter(tally.way_of_paying(order) for order in orders)),
        answers=dict(market.diary.told),
        charged_twice=list(charged_twice(books)),
        captures_lost=list(captures_lost(books)),
        violations=laws.violations(books, market.diary),
    )


def charged_twice(books: Books) -> Iterator[str]:
    """Orders for which the provider held or took money more than once, or more than was due."""
    for order in books.tables["orders"]:
        money = books.money.get(order["id"], NOTHING)
        too_often = max(money.times.get("authorize", 0), money.times.get("capture", 0)) > 1
        if too_often or max(money.authorize, money.capture) > order["total"] - order["credit"]:
            yield str(order["id"])


def captures_lost(books: Books) -> Iterator[str]:
    """Orders that left without their money, and money that the books and the ledger do not agree on."""
    for order in books.tables["orders"]:
        money = books.money.get(order["id"], NOTHING)
        due = order["total"] - order["credit"] if order["status"] in ("shipped", "delivered") else 0
        if money.capture < due or money.capture != order["captured"]:
            yield str(order["id"])


def main(
    count: Annotated[int, typer.Option(help="How many orders are paid.")] = 10_000,
    dropped: Annotated[float, typer.Option(help="Which part of the provider's answers is lost after the work.")] = 0.2,
    doubled: Annotated[float, typer.Option(help="Which part of its webhooks comes twice.")] = 0.1,
    at_a_time: Annotated[int, typer.Option(help="Customers at a time.")] = 24,
    into: Annotated[Path, typer.Option(help="Where the report is written.")] = Path(),
) -> None:
    """Pay many orders while the provider's answers get lost, and compare its ledger with the shop's books."""
    console = console_of_a_run()
    directory = Path(tempfile.mkdtemp(prefix="sutler-payments-"))
    plan = Plan(count=count, at_a_time=at_a_time, dropped=dropped, doubled=doubled)
    report = uvloop.run(run(plan, directory / "shop", console))
    tell(
        "Payments", report.rows(), console, breaches=[*report.charged_twice, *report.captures_lost, *report.violations]
    )
    written = keep(NAME, "Payments report", report.rows(), vars(report), into)
    leave(written, directory, console, is_clean=report.is_clean)


if __name__ == "__main__":
    typer.run(main)
