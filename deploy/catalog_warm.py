"""``sutler catalog warm``: a process that has just started is asked for the catalogue before shoppers ask it."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import typer
from rich.progress import Progress
from rich.table import Table

from deploy.following import bar
from deploy.visitor import Answer, Json, NobodyAnswersError, UnwelcomeError, Visitor, terminal, visitors
from runtime.settings import Settings

PRODUCTS = "/v1/products"
PAGE = 100
"""The most products that a page has; the process reads them with one query."""
OVER_A_LIMIT, UNAVAILABLE = 429, 503
AWAY_SECONDS = 120.0
"""How long one question may be answered that the shop is unavailable. A limit is waited for as long as it takes."""
OR_NAME_IT = "Or name the processes by their own addresses: sutler catalog warm http://10.0.0.7:8080."


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What shoppers will ask for. An answer is ready for those who ask with the same words."""

    products: int | None
    """The newest so many; ``None``: all."""
    currency: str | None
    language: str | None
    at_once: int

    @property
    def query(self) -> dict[str, str]:
        return {"currency": self.currency} if self.currency else {}

    @property
    def headers(self) -> dict[str, str]:
        return {"Accept-Language": self.language} if self.language else {}


def warm(urls: Sequence[str], wish: Wish) -> int:
    """Warm one process after the other, or the shop that the settings name; the exit code is 1 if one stays cold."""
    for url in urls:
        if not url.startswith(("http://", "https://")):
            raise typer.BadParameter(f"{url} is no address of a process: it begins with http:// or https://.")
    return asyncio.run(_warmed(urls, wish))


async def _warmed(urls: Sequence[str], wish: Wish) -> int:
    console, warmings = terminal(), list[Warming]()
    async with visitors(Settings()) as shop:
        with bar(console) as progress:
            for url in urls or [shop.address]:
                warmings.append(Warming(Visitor(shop.http, url.rstrip("/")), wish, progress))
                await warmings[-1].run()
    console.print(_table(warmings))
    for warming in warmings:
        if warming.problem is not None:
            console.print(f"{warming.process.address} is not warm. {warming.problem}", soft_wrap=True)
    return 1 if any(warming.problem for warming in warmings) else 0


@dataclass
class Warming:
    """How one process is warmed: page by page, and of each page its products, several at a time."""

    process: Visitor
    wish: Wish
    progress: Progress
    pages: int = 0
    products: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    problem: str | None = None
    """Why it is not warm."""
    _not_before: float = field(default=0.0, init=False)
    """One who is told to come later is told so for all."""

    async def run(self) -> None:
        began = time.monotonic()
        task = self.progress.add_task(self.process.address, total=self.wish.products)
        try:
            async for listed in self._pages():
                async with asyncio.TaskGroup() as group:
                    for _ in range(self.wish.at_once):
                        group.create_task(self._ask_for_each(listed))
                words = f"{self.process.address}  {self.products:,} products"
                self.progress.update(task, completed=self.products, description=words)
        except* NobodyAnswersError as problems:
            self.problem = f"{problems.exceptions[0]} {OR_NAME_IT}"
        except* UnwelcomeError as problems:
            self.problem = str(problems.exceptions[0])
        self.seconds = time.monotonic() - began

    async def _pages(self) -> AsyncIterator[Iterator[Json]]:
        """What each page lists, for several to take from."""
        left = self.wish.products or sys.maxsize
        cursor: dict[str, str] = {}
        while left > 0:
            answer = await self._asked(PRODUCTS, {"limit": str(min(PAGE, left)), **cursor, **self.wish.query})
            page = _body_of(answer)
            self.pages += 1
            yield iter(page["items"])
            if page["next_cursor"] is None:
                return
            left, cursor = left - len(page["items"]), {"cursor": page["next_cursor"]}

    async def _ask_for_each(self, listed: Iterator[Json]) -> None:
        for product in listed:
            answer = await self._asked(f"{PRODUCTS}/{product['id']}", self.wish.query)
            if answer.status != 404:  # it was taken out of the shop a moment ago
                _body_of(answer)
                self.products += 1

    async def _asked(self, path: str, query: Mapping[str, str]) -> Answer:
        """The answer, after it was put off however often."""
        began = time.monotonic()
        while True:
            if (pause := self._not_before - time.monotonic()) > 0:
                await asyncio.sleep(pause)
                continue
            answer = await self.process.ask("GET", path, query=query, headers=self.wish.headers)
            is_away = answer.status == UNAVAILABLE and time.monotonic() - began < AWAY_SECONDS
            if not is_away and answer.status != OVER_A_LIMIT:
                return answer
            self._come_later(answer)

    def _come_later(self, answer: Answer) -> None:
        said, now = answer.headers.get("Retry-After", ""), time.monotonic()
        later = now + (int(said) if said.isdecimal() else 1)
        if not self.waited:
            words = f"{self.process.address} is asked again when it says. {UnwelcomeError(answer).detail}"
            self.progress.console.print(words, soft_wrap=True)
        self.waited += max(0.0, later - max(now, self._not_before))
        self._not_before = max(later, self._not_before)


def _body_of(answer: Answer) -> Json:
    if answer.status != 200 or answer.body is None:
        raise UnwelcomeError(answer)
    return answer.body


def _table(warmings: Sequence[Warming]) -> Table:
    table = Table(show_edge=False)
    table.add_column("process", overflow="fold")
    for heading in ("products", "pages", "seconds", "of these waited"):
        table.add_column(heading, justify="right")
    for it in warmings:
        numbers = (f"{it.products:,}", f"{it.pages:,}", f"{it.seconds:.1f}", f"{it.waited:.1f}")
        table.add_row(it.process.address, *numbers, style="red" if it.problem else "")
    return table
