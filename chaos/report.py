"""What a chaos run did and found: on the terminal, and as artefacts."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from chaos.injector import Damage
from chaos.schedule import PARTS, steps_of_orders

NAME = "chaos-report"


@dataclass(frozen=True, kw_only=True)
class Report:
    seed: int
    seconds: float
    """How long the shop was under load and under fire."""
    pause: float
    shoppers: int
    seconds_until_quiet: float
    damage: Damage
    orders: dict[str, int]
    """By the state in which they ended."""
    paid_with: dict[str, int]
    """Orders by what of them credit paid."""
    credit: dict[str, int]
    """How often gift cards and store credit moved, by the reason."""
    answers: dict[str, int]
    """Decided answers of checkouts."""
    fates: dict[str, int]
    """What was done to confirmed orders."""
    statuses: dict[int, int]
    silences: int
    longest_undecided: float
    violations: list[str]

    @property
    def replay(self) -> str:
        return replay_of(self.seed, self.seconds, self.pause, self.shoppers)

    def as_json(self) -> dict[str, Any]:
        return {**vars(self), "replay": self.replay, "faults": self.damage.total, "damage": self.damage.as_json()}


def replay_of(seed: int, seconds: float, pause: float, shoppers: int) -> str:
    """What one types to have the same customers in the same shop, and the same faults."""
    return f"make chaos SEED={seed} MINUTES={seconds / 60:g} PAUSE={pause:g} SHOPPERS={shoppers}"


def keep(report: Report, directory: Path) -> Path:
    """Write both artefacts; the path of the readable one."""
    (directory / f"{NAME}.json").write_text(json.dumps(report.as_json(), indent=2, sort_keys=True) + "\n")
    readable = directory / f"{NAME}.md"
    readable.write_text(_markdown(report))
    return readable


def tell(report: Report, console: Console) -> None:
    """The report as tables, the violations last."""
    for title, columns, rows in _tables(report):
        table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
        for number, column in enumerate(columns):
            table.add_column(column, justify="right" if number else "left")
        for row in rows:
            table.add_row(*row)
        console.print(table)
    for line in _sentences(report):
        console.print(line, soft_wrap=True, markup=False, highlight=False)


def _tables(report: Report) -> list[tuple[str, list[str], list[list[str]]]]:
    damage = report.damage
    kills = [
        [f"kill {part}", str(damage.at_random[f"kill {part}"]), str(damage.at_a_step[f"kill {part}"])] for part in PARTS
    ]
    others = [[kind, str(count), ""] for kind, count in sorted(damage.outside.items())]
    together = str(damage.at_random.total() + damage.outside.total())
    return [
        (
            "Faults",
            ["what was done", "at random", "at a step boundary"],
            [*kills, *others, ["together", together, str(damage.at_a_step.total())]],
        ),
        ("Orders", ["ended as", "orders"], _counted(report.orders)),
        ("Paid", ["were paid", "orders"], _counted(report.paid_with)),
        ("Gift cards and store credit", ["moved", "times"], _counted(report.credit)),
        ("Checkouts", ["were answered", "checkouts"], _counted(report.answers)),
        ("Afterwards", ["what was done to confirmed orders", "orders"], _counted(report.fates)),
    ]


def _counted(counts: dict[str, int]) -> list[list[str]]:
    return [[what, str(count)] for what, count in Counter(counts).most_common()]


def _sentences(report: Report) -> list[str]:
    boundaries = 2 * len(steps_of_orders())
    return [
        f"{report.damage.total} faults in {report.seconds:.0f} s, {len(report.damage.boundaries)} of {boundaries} step "
        f"boundaries hit; {sum(report.orders.values())} orders; quiet after {report.seconds_until_quiet:.0f} s.",
        f"The longest that an order stayed undecided: {report.longest_undecided:.1f} s.",
        f"{len(report.violations)} violations.",
        *(f"  {violation}" for violation in report.violations),
        f"Again: {report.replay}",
    ]


def _markdown(report: Report) -> str:
    lines = ["# Chaos report", ""]
    for sentence in _sentences(report):
        lines += [f"- {sentence.strip()}"]
    for title, columns, rows in _tables(report):
        lines += ["", f"## {title}", "", f"| {' | '.join(columns)} |", "|" + " --- |" * len(columns)]
        lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines) + "\n"
