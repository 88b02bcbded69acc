"""One chaos run from its first customer to its report."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from sqlalchemy.exc import SQLAlchemyError
from temporalio.client import Client as Engine
from temporalio.service import RPCError

from chaos import books, laws, tally
from chaos.client import Client, NobodyAnsweredError
from chaos.desk import Desk
from chaos.fates import Fates
from chaos.injector import Injector
from chaos.purses import Purses
from chaos.report import Report
from chaos.schedule import PARTS, schedule
from chaos.shoppers import Shelf, Shopper
from chaos.wishes import Diary, Json
from deploy.private import PrivateShop, private_shop
from deploy.supervisor import Patience
from deploy.visitor import OPERATOR
from domain.audit import AuditReport, LookAtBooks
from providers.complete_journey import baskets
from runtime import temporal
from runtime.settings import Temporal
from workflows.audit import Audit
from workflows.names import Queue

ALWAYS_AT_ONCE = Patience(quick_deaths=10**9)
PASSWORD = "sutler-demo-1"  # noqa: S105 (of the demo accounts)
CUSTOMER = "shopper@example.com"
KINDS_OF_BASKETS = 2000
SCARCE_KINDS = 4
UNITS_OF_SCARCE_GOODS = 3
PATIENCE_FOR_QUIET = 300.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    seed: int
    seconds: float
    pause: float
    """Seconds between two faults, on average."""
    shoppers: int
    products: int
    directory: Path


async def run(plan: Plan, console: Console) -> Report:
    """Load, faults, quiet, books."""
    breakpoints = plan.directory / "breakpoints"
    breakpoints.mkdir()
    overrides = {
        "APP_ENV": "test",
        "APP_LOG_LEVEL": "WARNING",
        "APP_WORKERS__BREAKPOINTS": str(breakpoints),
        "APP_DEMO__PASSWORD": PASSWORD,
    }
    console.print("Starting a shop of its own.")
    connector = aiohttp.TCPConnector(limit=200)
    async with (
        private_shop(plan.directory / "shop", overrides, patience=ALWAYS_AT_ONCE, products=plan.products) as shop,
        aiohttp.ClientSession(connector=connector) as http,
    ):
        return await Run(plan, shop, http, breakpoints, console).to_its_end()


class Run:
    def __init__(
        self, plan: Plan, shop: PrivateShop, http: aiohttp.ClientSession, breakpoints: Path, console: Console
    ) -> None:
        self._plan = plan
        self._shop = shop
        self._http = http
        self._console = console
        self._diary = Diary()
        self._operator = self._client((OPERATOR, PASSWORD))
        self._desk = Desk(self._operator, self._diary, http, shop.settings.sandbox_url)
        self._fates = Fates(self._desk)
        self._purses = Purses(self._operator, self._diary)
        self._injector = Injector(shop.supervisor, breakpoints, shop.settings.sandbox_url, http)

    def _client(self, credentials: tuple[str, str] | None = None) -> Client:
        return Client(self._http, self._shop.settings.api_url, self._diary, credentials)

    async def to_its_end(self) -> Report:
        shelf = await self._stocked()
        begun = time.monotonic()
        with self._progress() as progress:
            await self._under_fire(shelf, progress)
            under_fire = time.monotonic() - begun
            is_quiet_after = await self._quiet(progress)
        return await self._report(under_fire, is_quiet_after)

    async def _stocked(self) -> Shelf:
        """The real catalogue with its own stock, and a few of its goods nearly sold out."""
        variants = {variant["sku"]: variant async for variant in self._variants()}
        trips = await asyncio.to_thread(baskets, variants.keys(), KINDS_OF_BASKETS, self._plan.seed)
        bought = Counter(sku for trip in trips for sku in trip)
        scarce = [variants[sku] for sku, _ in bought.most_common()[-SCARCE_KINDS:]]
        for variant in scarce:
            change = {"quantity_change": UNITS_OF_SCARCE_GOODS - variant["stock_quantity"], "reason": "a chaos run"}
            await self._operator.insist("POST", f"/v1/variants/{variant['id']}/stock-adjustments", change)
        return Shelf(
            baskets=[{variants[sku]["id"]: quantity for sku, quantity in trip.items()} for trip in trips],
            scarce=[variant["id"] for variant in scarce],
        )

    async def _variants(self) -> AsyncIterator[Json]:
        cursor = ""
        while True:
            page = (await self._operator.insist("GET", f"/v1/products?in_stock=true&limit=100{cursor}")).body
            for product in page["items"]:
                for variant in product["variants"]:
                    yield variant
            if page["next_cursor"] is None:
                return
            cursor = f"&cursor={page['next_cursor']}"

    async def _under_fire(self, shelf: Shelf, progress: Progress) -> None:
        plan, is_over = self._plan, asyncio.Event()
        visitors = [self._client(), self._client((CUSTOMER, PASSWORD))]
        crowd = [
            Shopper(
                visitors=visitors,
                desk=self._desk,
                fates=self._fates,
                purses=self._purses,
                bank=self._http,
                shelf=shelf,
                diary=self._diary,
                seed=f"{plan.seed}/{number}",
            )
            for number in range(plan.shoppers)
        ]
        showing = asyncio.create_task(self._show(progress))
        shopping = [asyncio.create_task(self._visit_until(shopper, is_over)) for shopper in crowd]
        await self._injector.run(schedule(plan.seed, pause=plan.pause), plan.seconds)
        is_over.set()
        await asyncio.gather(*shopping)
        showing.cancel()

    async def _visit_until(self, shopper: Shopper, is_over: asyncio.Event) -> None:
        with suppress(NobodyAnsweredError):  # it is in the diary
            await shopper.shop_until(is_over)

    async def _quiet(self, progress: Progress) -> float:
        """Seconds until everything runs again and nothing is undecided; ends at last when that never comes."""
        begun = time.monotonic()
        task = progress.add_task("waiting for quiet", total=None)
        while time.monotonic() < begun + PATIENCE_FOR_QUIET:
            with suppress(SQLAlchemyError, RPCError, OSError):
                found = await books.undecided(self._shop.environment["APP_DATABASE__URL"], await self._engine())
                open_ends = found - {f"order:{order}" for order in self._diary.left_at_the_bank}
                progress.update(task, description=f"waiting for quiet, {len(open_ends)} undecided")
                if not open_ends and self._shop.supervisor.pids().keys() >= set(PARTS):
                    return time.monotonic() - begun
            await asyncio.sleep(0.5)
        return time.monotonic() - begun

    async def _engine(self) -> Engine:
        return await temporal.connect(Temporal(address=self._shop.settings.temporal_address))

    async def _report(self, under_fire: float, quiet_after: float) -> Report:
        diary = self._diary
        found = await books.read(
            self._shop.environment["APP_DATABASE__URL"],
            await self._engine(),
            self._shop.settings.sandbox_url,
            self._http,
        )
        orders = found.tables["orders"]
        return Report(
            seed=self._plan.seed,
            seconds=self._plan.seconds,
            pause=self._plan.pause,
            shoppers=self._plan.shoppers,
            seconds_until_quiet=quiet_after,
            damage=self._injector.damage,
            orders=dict(Counter(f"{order['status']}, {order['payment_status']}" for order in orders)),
            paid_with=dict(Counter(tally.way_of_paying(order) for order in orders)),
            credit=dict(Counter(entry["reason"] for entry in found.tables["credit_entries"])),
            answers=dict(diary.told),
            fates=dict(self._fates.done),
            statuses=dict(diary.statuses),
            silences=diary.silences,
            longest_undecided=laws.longest_undecided(found, diary),
            violations=[*laws.violations(found, diary), *await self._audit()],
        )

    async def _audit(self) -> list[str]:
        """What the shop itself finds wrong; its laws and ours were written apart, and each watches the other."""
        engine, look = await self._engine(), LookAtBooks(patience_seconds=0, pause_seconds=5)
        report: AuditReport = await engine.execute_workflow(
            Audit.run, look, id="audit-after-the-fire", task_queue=Queue.OPERATIONS
        )
        return [f"the audit says of {breach.law}: {breach.words}" for breach in report.breaches]

    def _progress(self) -> Progress:
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        return Progress(*columns, console=self._console, transient=True)

    async def _show(self, progress: Progress) -> None:
        begun, diary = time.monotonic(), self._diary
        task = progress.add_task("under fire", total=self._plan.seconds)
        while True:
            told = (
                f"{self._injector.damage.total} faults, {len(diary.wishes)} checkouts, "
                f"{diary.told.total()} decided, {diary.silences} silences, {len(diary.bugs)} bugs"
            )
            progress.update(task, completed=time.monotonic() - begun, description=told)
            await asyncio.sleep(0.5)
