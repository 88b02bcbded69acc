"""How the runs that count tell what they found: one table on the terminal, and the same as artefacts."""

import json
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

Rows = Sequence[tuple[str, str]]


def tell(title: str, rows: Rows, console: Console, *, breaches: Iterable[str] = ()) -> None:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("what")
    table.add_column("how many", justify="right")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    for breach in breaches:
        console.print(f"  {breach}", soft_wrap=True, markup=False, highlight=False)


def keep(name: str, title: str, rows: Rows, facts: Mapping[str, Any], directory: Path) -> Path:
    """Write both artefacts; the path of the readable one."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{name}.json").write_text(json.dumps(dict(facts), indent=2, sort_keys=True) + "\n")
    lines = [f"# {title}", "", "| what | how many |", "| --- | ---: |"]
    lines += [f"| {what} | {count} |" for what, count in rows]
    readable = directory / f"{name}.md"
    readable.write_text("\n".join(lines) + "\n")
    return readable


def console_of_a_run() -> Console:
    return Console(width=None if sys.stdout.isatty() else 120)


def leave(written: Path, shop: Path, console: Console, *, is_clean: bool) -> NoReturn:
    """Say where the report is, keep the shop where something was wrong in it, and end with 1 then."""
    console.print(f"Written to {written}.", soft_wrap=True)
    if is_clean:
        shutil.rmtree(shop, ignore_errors=True)
    else:
        console.print(f"The shop's data and logs: {shop}", soft_wrap=True)
    raise typer.Exit(0 if is_clean else 1)


def counting(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console, transient=True)
