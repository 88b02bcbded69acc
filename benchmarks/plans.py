"""How Postgres really carried out what the application sent: its plans, written to its log by ``auto_explain``."""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from deploy.embedded.postgres import APP

SETTINGS = {
    "session_preload_libraries": "auto_explain",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_timing": "off",
    "auto_explain.log_buffers": "on",
    "auto_explain.log_format": "json",
    "auto_explain.log_nested_statements": "on",
    "auto_explain.log_parameter_max_length": "0",
}
"""Whatever triggers and foreign keys ask is told as well."""
TOLD = re.compile(r"LOG:  duration: ([\d.]+) ms  plan:$")
OF_A_FOREIGN_KEY = "SELECT 1 FROM ONLY "


@dataclass(frozen=True)
class Execution:
    """One time that a statement was carried out."""

    statement: str
    ms: float
    plan: Mapping[str, Any]

    @property
    def pages(self) -> int:
        return int(self.plan["Shared Hit Blocks"] + self.plan["Shared Read Blocks"])

    @cached_property
    def rows_given(self) -> float:
        """Back to whoever asked, or to the table that is written."""
        if self.plan["Node Type"] == "ModifyTable":
            return max(_given(part) for part in self.plan["Plans"])
        return _given(self.plan)

    def rows_read(self, tables: Collection[str]) -> float:
        """Also those that were thrown away at once, because they are not what was asked for."""
        return sum(
            _each_time(node, "Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck")
            for node in self._looks_into(tables)
        )

    def read_whole(self, tables: Collection[str]) -> set[str]:
        """Which of the tables were read from their beginning."""
        return {node["Relation Name"] for node in self._looks_into(tables) if node["Node Type"] == "Seq Scan"}

    def _looks_into(self, tables: Collection[str]) -> Iterator[Mapping[str, Any]]:
        for node in _nodes(self.plan):
            if node.get("Relation Name") in tables and node["Node Type"] != "ModifyTable" and node["Actual Loops"]:
                yield node


def _nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from _nodes(part)


def _given(node: Mapping[str, Any]) -> float:
    return _each_time(node, "Actual Rows")


def _each_time(node: Mapping[str, Any], *counts: str) -> float:
    """Postgres tells the mean of all times that a part of a plan was gone through."""
    return float(node["Actual Loops"] * sum(node.get(count, 0) for count in counts))


async def have_them_told(engine: AsyncEngine) -> None:
    """From now on, of all that the application sends; it has to connect anew for that."""
    async with engine.begin() as connection:
        for name, value in SETTINGS.items():
            await connection.execute(text(f"ALTER ROLE {APP} SET {name} = '{value}'"))
    async with engine.begin() as connection:
        await connection.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = :role"), {"role": APP}
        )


def told_in(log: Path, begin: int) -> Iterator[Execution]:
    """What was written to the log behind this place."""
    with log.open() as lines:
        lines.seek(begin)
        ms: str | None = None
        written: list[str] = []
        for line in lines:
            if ms is not None and line.startswith("\t"):
                written.append(line)
                continue
            if ms is not None:
                yield _execution(ms, written)
            found = TOLD.search(line.rstrip("\n"))
            ms, written = (found[1] if found else None), []


def _execution(ms: str, written: list[str]) -> Execution:
    told = json.loads("".join(written))
    return Execution(statement=" ".join(told["Query Text"].split()), ms=float(ms), plan=told["Plan"])
