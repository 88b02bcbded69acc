"""How the runs that count tell what they found: one table on the terminal, and the same as artefacts."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

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


def counting(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console, transient=True)
