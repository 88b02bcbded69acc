"""``python -m chaos.charges [--count 10000]``: payments alone, without a shop around them, and therefore many of them.

The shop's own payment step and its provider's adapter hold and take money, as often as it takes to hear an answer,
while the provider loses answers after the work and tells its news twice. Its ledger then says what really happened.
"""

import asyncio
import os
import shutil
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar
from uuid import UUID, uuid4

import aiohttp
import typer
import uvloop
from aiohttp import web
from rich.console import Console
from rich.progress import Progress
from temporalio.testing import ActivityEnvironment

from activities.payments import PaymentActivities
from chaos.books import Money as Movements
from chaos.tables import console_of_a_run, counting, keep, tell
from deploy.private import on_free_ports
from domain.money import Money
from domain.payments import Answer, AuthorizePayment, CapturePayment
from providers.payments import OutcomeUnknown, PaymentProvider, open_provider

NAME = "charges-report"
AMOUNT = Money(1499, "USD")
PATIENCE_WITH_NEWS = 120.0
Result = TypeVar("Result")


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
    calls_repeated: int
    webhooks_doubled: int
    webhooks_heard: int
    events_counted: int
    """Webhooks that came twice count once."""
    charged_twice: list[str]
    captures_lost: list[str]

    @property
    def is_clean(self) -> bool:
        return not (self.charged_twice or self.captures_lost)

    def rows(self) -> list[tuple[str, str]]:
        return [
            ("payments", str(self.payments)),
            ("answers that the provider dropped after the work", str(self.answers_dropped)),
            ("calls that were repeated", str(self.calls_repeated)),
            ("webhooks that came twice", str(self.webhooks_doubled)),
            ("webhooks heard", str(self.webhooks_heard)),
            ("different events among them", str(self.events_counted)),
            ("charged twice", str(len(self.charged_twice))),
            ("captures lost", str(len(self.captures_lost))),
            ("seconds", f"{self.seconds:.0f}"),
        ]


class Cashier:
    """Holds and takes the money of one payment after the other."""

    def __init__(self, provider: PaymentProvider) -> None:
        sessions: Any = None  # holding money asks no database
        self._steps = PaymentActivities({"stripe": provider}, sessions, cards="stripe")
        self._provider = provider
        self.paid: set[str] = set()
        """The payments that were told as captured."""
        self.calls_repeated = 0
        self.heard: Counter[str] = Counter()

    async def pay(self) -> None:
        payment, order = uuid4(), uuid4()
        wish = AuthorizePayment(
            payment_id=payment,
            order_id=order,
            order_number="S-1",
            method="pm_card_visa",
            total=AMOUNT,
            key=f"order/{order}/authorize/1",
        )
        held = await self._until_answered(lambda attempt: self._authorized(wish, attempt))
        if held.answer is not Answer.AUTHORIZED or held.reference is None:
            raise AssertionError(f"payment {payment} was answered {held}")
        taking = CapturePayment(payment_id=payment, amount=AMOUNT, is_final=True, key=f"order/{order}/capture/1")
        reference = held.reference
        taken = await self._until_answered(lambda _: self._provider.capture(taking, reference))
        if taken.is_captured:
            self.paid.add(str(payment))

    async def _authorized(self, wish: AuthorizePayment, attempt: int) -> Any:
        """As the engine performs the step: it knows how often it has tried."""
        environment = ActivityEnvironment()
        environment.info = replace(environment.info, attempt=attempt)
        return await environment.run(self._steps.authorize, wish)

    async def _until_answered(self, call: Callable[[int], Awaitable[Result]]) -> Result:
        attempt = 1
        while True:
            try:
                return await call(attempt)
            except OutcomeUnknown:
                self.calls_repeated += 1
                attempt += 1

    async def hear(self, request: web.Request) -> web.Response:
        event = self._provider.read_webhook(await request.read(), request.headers)
        self.heard[event.event_id] += 1
        return web.Response()


async def run(plan: Plan, directory: Path, console: Console) -> Report:
    settings = on_free_ports(directory)
    environment = {**settings.environment(), "APP_ENV": "test", "APP_LOG_LEVEL": "WARNING"}
    provider = open_provider(
        "stripe",
        api_base=settings.sandbox_url,
        api_key="sk_test_sutler",
        webhook_secret="whsec_sutler",  # noqa: S106 (the sandbox's own)
        return_url=settings.api_url,
        timeout_seconds=30,
    )
    url = settings.sandbox_url
    async with (
        a_sandbox(url, environment, directory),
        provider as opened,
        aiohttp.ClientSession() as http,
    ):
        cashier = Cashier(opened)
        async with listening(settings.api_port, cashier):
            rates = {"drop_response_rate": plan.dropped, "duplicate_webhook_rate": plan.doubled}
            async with http.put(f"{url}/faults", json={"payments": rates}) as answer:
                answer.raise_for_status()
            begun = time.monotonic()
            with counting(console) as progress:
                await _pay(plan, cashier, progress)
            seconds = time.monotonic() - begun
            return await _report(plan, cashier, url, http, seconds)


async def _pay(plan: Plan, cashier: Cashier, progress: Progress) -> None:
    task, left = progress.add_task("payments", total=plan.count), iter(range(plan.count))

    async def till() -> None:
        for _ in left:
            await cashier.pay()
            progress.advance(task)

    await asyncio.gather(*(till() for _ in range(plan.at_a_time)))


async def _report(
    plan: Plan, cashier: Cashier, sandbox_url: str, http: aiohttp.ClientSession, seconds: float
) -> Report:
    async with http.get(f"{sandbox_url}/faults/inflicted") as answer:
        inflicted = await answer.json()
    news_due = 2 * plan.count  # that the money is held, and that it is taken
    deadline = time.monotonic() + PATIENCE_WITH_NEWS
    while len(cashier.heard) < news_due and time.monotonic() < deadline:  # noqa: ASYNC110 (the provider tells when it likes)
        await asyncio.sleep(0.2)
    ledger = await _ledger(sandbox_url, http)
    return Report(
        payments=plan.count,
        seconds=seconds,
        answers_dropped=inflicted.get("drop_response", 0),
        calls_repeated=cashier.calls_repeated,
        webhooks_doubled=inflicted.get("duplicate_webhook", 0),
        webhooks_heard=cashier.heard.total(),
        events_counted=len(cashier.heard),
        charged_twice=charged_twice(ledger),
        captures_lost=captures_lost(ledger, cashier.paid),
    )


def charged_twice(ledger: dict[str, Movements]) -> list[str]:
    return [
        payment
        for payment, money in ledger.items()
        if max(money.times.values()) > 1 or max(money.authorize, money.capture) > AMOUNT.minor
    ]


def captures_lost(ledger: dict[str, Movements], paid: set[str]) -> list[str]:
    """Told as captured and not captured, or captured and never told."""
    captured = {payment for payment, money in ledger.items() if money.capture == AMOUNT.minor}
    return sorted(captured ^ paid | (ledger.keys() - captured))


async def _ledger(sandbox_url: str, http: aiohttp.ClientSession) -> dict[str, Movements]:
    by_payment: dict[str, Movements] = defaultdict(Movements)
    async with http.get(f"{sandbox_url}/ledger") as answer:
        rows = (await answer.json())["items"]
    for row in rows:
        money = by_payment[str(UUID(row["metadata"]["payment_id"]))]
        setattr(money, row["kind"], getattr(money, row["kind"]) + row["amount"])
        money.times[row["kind"]] += 1
    return dict(by_payment)


@asynccontextmanager
async def a_sandbox(url: str, environment: dict[str, str], directory: Path) -> AsyncIterator[None]:
    """The outside world as a process of its own, ready when entered."""
    with (directory / "sandbox.log").open("wb") as log:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "sandbox", env={**os.environ, **environment}, stdout=log, stderr=log
        )
    try:
        async with aiohttp.ClientSession() as http, asyncio.timeout(60):
            while not await _answers(http, f"{url}/health"):  # noqa: ASYNC110 (it starts in another process)
                await asyncio.sleep(0.05)
        yield
    finally:
        child.terminate()
        await child.wait()


async def _answers(http: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with http.get(url) as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


@asynccontextmanager
async def listening(port: int, cashier: Cashier) -> AsyncIterator[None]:
    """Where the provider sends its news."""
    app = web.Application()
    app.router.add_post("/v1/webhooks/stripe", cashier.hear)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield
    finally:
        await runner.cleanup()


def main(
    count: Annotated[int, typer.Option(help="How many payments are made.")] = 10_000,
    dropped: Annotated[float, typer.Option(help="Which part of the provider's answers is lost after the work.")] = 0.2,
    doubled: Annotated[float, typer.Option(help="Which part of its webhooks comes twice.")] = 0.1,
    at_a_time: Annotated[int, typer.Option(help="Payments at a time.")] = 32,
    into: Annotated[Path, typer.Option(help="Where the report is written.")] = Path(),
) -> None:
    """Hold and take money while the provider's answers get lost, and compare its ledger with what was told."""
    console = console_of_a_run()
    directory = Path(tempfile.mkdtemp(prefix="sutler-charges-"))
    plan = Plan(count=count, at_a_time=at_a_time, dropped=dropped, doubled=doubled)
    report = uvloop.run(run(plan, directory, console))
    tell("Payments", report.rows(), console, breaches=[*report.charged_twice, *report.captures_lost])
    written = keep(NAME, "Charges report", report.rows(), vars(report), into)
    console.print(f"Written to {written}.", soft_wrap=True)
    shutil.rmtree(directory, ignore_errors=True)
    raise typer.Exit(0 if report.is_clean else 1)


if __name__ == "__main__":
    typer.run(main)
