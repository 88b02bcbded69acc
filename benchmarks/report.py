"""Figures as a table of ratios, on the screen and as a file."""

import json
import platform
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.load import Series

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Row:
    """One subject beside its floor, both measured in turns in the same run; the middle round of each counts."""

    name: str
    load: str
    ours: list[Series]
    floor: list[Series]
    notes: dict[str, str] = field(default_factory=dict)

    @property
    def middle(self) -> tuple[Series, Series]:
        return middle(self.ours), middle(self.floor)


def middle(rounds: list[Series]) -> Series:
    return sorted(rounds, key=lambda series: series.per_second)[len(rounds) // 2]


def tell(rows: list[Row], console: Console) -> None:
    table = Table(title="Sutler against its floors, same machine, same run")
    for column in ("what", "load", "per second", "floor", "of the floor", "p50 ms", "floor p50", "times", "p99 ms"):
        table.add_column(column, justify="left" if column in ("what", "load") else "right")
    for row in rows:
        ours, floor = row.middle
        table.add_row(
            row.name,
            row.load,
            f"{ours.per_second:,.1f}",
            f"{floor.per_second:,.1f}",
            f"{ours.per_second / floor.per_second:.2f}",
            f"{ours.p50_ms:.1f}",
            f"{floor.p50_ms:.1f}",
            f"{ours.p50_ms / floor.p50_ms:.1f}",
            f"{ours.p99_ms:.1f}",
        )
    console.print(table)
    for row in rows:
        for name, note in row.notes.items():
            console.print(f"{row.name}, {row.load}: {name}: {note}")


def keep(rows: list[Row], name: str) -> Path:
    """Write the table and all rounds to ``benchmarks/results``."""
    keep_text(rows, name)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({"machine": machine(), "rows": [asdict(row) for row in rows]}, indent=1) + "\n")
    return path


def keep_text(told: list[Row] | Table | tuple[Table, ...], name: str) -> Path:
    """Write the table, or several, to ``benchmarks/results``, with when and where it was measured."""
    RESULTS.mkdir(exist_ok=True)
    console = Console(record=True, width=150, file=Path("/dev/null").open("w"))  # noqa: SIM115 (lives as long as we)
    if isinstance(told, list):
        tell(told, console)
    else:
        for table in (told,) if isinstance(told, Table) else told:
            console.print(table)
    path = RESULTS / f"{name}.txt"
    path.write_text(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC · {machine()}\n\n{console.export_text()}")
    return path


def machine() -> str:
    return f"{platform.machine()}, {psutil.cpu_count()} cores, Python {platform.python_version()}"
