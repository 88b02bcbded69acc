"""Writing the catalogue into a file: what ``sutler catalog export`` does."""

import asyncio
import os
from pathlib import Path

from rich.console import Console

from db.catalog_export import exported
from domain.catalog_written import TooMuch, writer_of
from domain.imports import FileFormat
from domain.money import minor_digits
from runtime.catalog import connected
from runtime.settings import Settings


def run_export(file: Path, *, currency: str | None) -> int:
    """The exit code of ``sutler catalog export``."""
    settings, console = Settings(), Console(stderr=True)
    wanted = currency or settings.shop.currency
    try:
        minor_digits(wanted)
    except ValueError as error:
        console.print(f"--currency: {error}")
        return 2
    written, left_out = asyncio.run(export_file(settings, file, wanted))
    console.print(f"{written:,} products written to {file}", highlight=False)
    for slug, reason in left_out.items():
        console.print(f"left out: {slug}: {reason}", markup=False, highlight=False)
    return 1 if left_out else 0


async def export_file(settings: Settings, file: Path, currency: str) -> tuple[int, dict[str, str]]:
    """Write all products but the archived: how many, and which could not be written and why.

    The file appears when it is complete. What it does not hold of a product is never left out in silence.
    """
    file_format = FileFormat.CSV if file.suffix.lower() == ".csv" else FileFormat.JSONL
    written, left_out = 0, dict[str, str]()
    unfinished = file.with_name(f"{file.name}.unfinished")
    with unfinished.open("w", newline="", encoding="utf-8") as sink:
        write = writer_of(file_format, sink, currency)
        async with connected(settings) as engine:
            async for product in exported(engine, currency):
                try:
                    write(dict(product))
                    written += 1
                except TooMuch as reason:
                    left_out[product["slug"]] = str(reason)
        sink.flush()
        os.fsync(sink.fileno())
    unfinished.rename(file)
    return written, left_out
