"""Filling the catalogue: what ``sutler catalog`` does."""

import asyncio
import csv
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text
from sqlalchemy.ext.asyncio import AsyncEngine

from db.catalog_import import Imported, Tally, import_records, is_empty
from db.engine import connect
from domain import catalog_jsonl, shopify_csv
from domain.catalog import ProductRecord, RowError
from domain.catalog_files import Reading
from domain.imports import LONGEST_LINE, FileFormat
from domain.money import minor_digits
from providers.complete_journey import all_goods, best_sellers
from runtime.settings import Settings

SHOWN_ERRORS = 20

Records = Iterable[ProductRecord | RowError]


@dataclass(slots=True)
class Report:
    """What became of an import."""

    imported: Imported = field(default_factory=Imported)
    reading: Reading = field(default_factory=Reading)
    failed_lines: set[int] = field(default_factory=set)
    error_count: int = 0
    seconds: float = 0.0

    @property
    def is_clean(self) -> bool:
        return not self.error_count


def run_import(file: Path, *, currency: str | None, errors: Path | None) -> int:
    """The exit code of ``sutler catalog import``."""
    settings, console = Settings(), Console()
    try:
        minor_digits(currency or settings.shop.currency)
    except ValueError as error:
        Console(stderr=True).print(f"--currency: {error}")
        return 2
    return _told(asyncio.run(import_file(settings, file, currency=currency, errors=errors, console=console)), console)


def run_demo(count: int | None, *, if_empty: bool) -> int:
    """The exit code of ``sutler catalog demo``."""
    console = Console()
    report = asyncio.run(import_demo(Settings(), count, if_empty=if_empty, console=console))
    if report is None:
        console.print("There are products already; nothing was imported.")
        return 0
    return _told(report, console)


def _told(report: Report, console: Console) -> int:
    if report.imported.errors:
        console.print(errors_table(report))
    console.print(summary(report))
    console.print(speed(report), highlight=False)
    return 0 if report.is_clean else 1


async def import_file(
    settings: Settings, file: Path, *, currency: str | None, errors: Path | None, console: Console
) -> Report:
    """Import a Shopify CSV or a JSONL file; rows that cannot be are reported and do not stop the others."""
    report = Report()
    with file.open("rb") as source, _errors_file(errors) as sink:
        records = parser_of(file, source)(lines_of(source), report.reading, currency or settings.shop.currency)
        with progress_of(console, os.fstat(source.fileno()).st_size, report) as tell:
            async with connected(settings) as engine:
                await _import(engine, records, report, tell, sink)
    return report


def _errors_file(path: Path | None) -> AbstractContextManager[TextIO | None]:
    return path.open("w", newline="", encoding="utf-8") if path else nullcontext()


async def import_demo(settings: Settings, count: int | None, *, if_empty: bool, console: Console) -> Report | None:
    """Import so many real groceries, or all of them; ``None`` when only an empty shop was to be filled."""
    report = Report()
    async with connected(settings) as engine:
        if if_empty and not await is_empty(engine):
            return None
        started = time.perf_counter()
        currency = settings.shop.currency
        products = all_goods(currency) if count is None else best_sellers(count, currency)
        with progress_of(console, len(products), report) as tell:
            await _import(engine, _counted(products, report.reading), report, tell, None)
    report.seconds = time.perf_counter() - started
    return report


def _counted(products: list[ProductRecord], reading: Reading) -> Iterator[ProductRecord]:
    for product in products:
        reading.rows += 1
        reading.bytes += 1
        yield product


async def _import(
    engine: AsyncEngine, records: Records, report: Report, tell: Callable[[], None], sink: TextIO | None
) -> None:
    writer = csv.writer(sink) if sink else None
    if writer:
        writer.writerow(["line", "column", "reason"])
    started = time.perf_counter()
    async for imported in import_records(engine, records):
        if writer:
            writer.writerows([error.line, error.column, error.reason] for error in imported.errors)
        report.failed_lines.update(error.line for error in imported.errors)
        report.error_count += len(imported.errors)
        imported.errors = imported.errors[: SHOWN_ERRORS - len(report.imported.errors)]
        report.imported += imported
        report.seconds = time.perf_counter() - started
        tell()


def connected(settings: Settings) -> AbstractAsyncContextManager[AsyncEngine]:
    database = settings.database
    return connect(
        database.url.get_secret_value(),
        shop_schema=database.shop_schema,
        pool_size=1,
        pool_wait_seconds=5,
        stock=settings.shop.stock_rules,
        taxes=settings.tax.policy,
    )


def parser_of(
    file: Path, source: BinaryIO
) -> Callable[[Iterable[bytes], Reading, str], Iterator[ProductRecord | RowError]]:
    """How the file is read."""
    return catalog_jsonl.read if _format_of(file, source) is FileFormat.JSONL else shopify_csv.read


def format_of(file: Path) -> FileFormat:
    with file.open("rb") as source:
        return _format_of(file, source)


def _format_of(file: Path, source: BinaryIO) -> FileFormat:
    """By the name of the file; for another name by its first character."""
    suffix = file.suffix.lower()
    first = source.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    source.seek(0)
    is_json = suffix in (".jsonl", ".ndjson", ".json") or (suffix != ".csv" and first == b"{")
    return FileFormat.JSONL if is_json else FileFormat.CSV


def lines_of(source: BinaryIO) -> Iterator[bytes]:
    """Lines of bounded length, so that no file can fill the memory."""
    return iter(lambda: source.readline(LONGEST_LINE), b"")


class RowsColumn(ProgressColumn):
    """Rows, and rows a second."""

    def render(self, task: Task) -> Text:
        rows, seconds = task.fields["rows"], task.elapsed or 0.0
        return Text(f"{rows:,} rows  {rows / seconds if seconds else 0:,.0f} rows/s")


@contextmanager
def progress_of(console: Console, total: int, report: Report) -> Iterator[Callable[[], None]]:
    """A bar that moves when it is told to; nothing where nobody watches."""
    columns = [TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), RowsColumn(), TimeRemainingColumn()]
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("Importing", total=total or None, rows=0)
        yield lambda: progress.update(task, completed=report.reading.bytes, rows=report.reading.rows)


def summary(report: Report) -> Table:
    """What was created, updated and left alone."""
    table = Table(show_edge=False)
    for heading in ("", "created", "updated", "unchanged"):
        table.add_column(heading, justify="left" if not heading else "right")
    tallies: dict[str, Tally] = {"products": report.imported.products, "variants": report.imported.variants}
    for name, tally in tallies.items():
        table.add_row(name, f"{tally.created:,}", f"{tally.updated:,}", f"{tally.unchanged:,}")
    return table


def speed(report: Report) -> str:
    rows, seconds = report.reading.rows, report.seconds
    return (
        f"{rows:,} rows in {seconds:.1f} s, {rows / seconds if seconds else 0:,.0f} rows/s "
        f"({report.imported.copy_seconds:.1f} s of it COPY); {len(report.failed_lines):,} failed"
    )


def errors_table(report: Report) -> Table:
    """The first of the rows that failed, and why."""
    table = Table(show_edge=False, title="Rows that were not imported", title_justify="left")
    table.add_column("line", justify="right")
    table.add_column("column", overflow="fold")
    table.add_column("reason", overflow="fold")
    for error in report.imported.errors:
        table.add_row(str(error.line), Text(error.column), Text(error.reason))
    if more := report.error_count - len(report.imported.errors):
        table.caption = f"and {more:,} more; --errors FILE keeps them all"
    return table
