"""How Postgres really carried out what the application sent: its plans, written to its log by ``auto_explain``."""

import json
import re
from collections import defaultdict
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
TOLD = re.compile(r"\[(\d+)\] LOG:  duration: ([\d.]+) ms  plan:$")
OF_A_FOREIGN_KEY = "SELECT 1 FROM ONLY "


@dataclass(frozen=True)
class Execution:
    """One time that a statement was carried out."""

    statement: str
    ms: float
    plan: Mapping[str, Any]
    process: int
    """Of Postgres, which serves one connection."""

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

    @property
    def indexes_read(self) -> set[str]:
        return {node["Index Name"] for node in _nodes(self.plan) if "Index Name" in node and node["Actual Loops"]}

    @property
    def tables_written(self) -> set[str]:
        return {node["Relation Name"] for node in _nodes(self.plan) if node["Node Type"] == "ModifyTable"}

    @property
    def arbiters(self) -> Mapping[str, Collection[str]]:
        """The indexes of ``ON CONFLICT``, by table; none where all that are unique are."""
        return {
            node["Relation Name"]: node.get("Conflict Arbiter Indexes", ())
            for node in _nodes(self.plan)
            if "Conflict Resolution" in node
        }

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


@dataclass(frozen=True)
class Levels:
    """How deep the indexes of each table are."""

    indexes: Mapping[str, Mapping[str, int]]

    def since(self, before: "Levels") -> "Levels":
        """By how many levels each is deeper than it was."""
        return Levels(
            {
                table: {index: level - before.indexes[table][index] for index, level in indexes.items()}
                for table, indexes in self.indexes.items()
            }
        )

    def of(self, execution: Execution) -> int:
        """Of all indexes of the tables that are written, and of those that are read of others.

        Those by which ``ON CONFLICT`` finds whether there is such a row already are gone through twice.
        """
        levels = 0
        for table, indexes in self.indexes.items():
            looks_first = execution.arbiters[table] or indexes if table in execution.arbiters else ()
            for index, level in indexes.items():
                is_used = table in execution.tables_written or index in execution.indexes_read
                levels += level * (is_used + (index in looks_first))
        return levels


async def levels_of_indexes(engine: AsyncEngine) -> Levels:
    found: dict[str, dict[str, int]] = defaultdict(dict)
    async with engine.begin() as connection:
        await connection.execute(text("CREATE EXTENSION IF NOT EXISTS pageinspect"))
        for row in await connection.execute(LEVELS):
            found[row.table_name][row.index_name] = row.level
    return Levels(found)


LEVELS = text("""
    SELECT tables.relname AS table_name, indexes.relname AS index_name,
           (bt_metap(indexes.relname::text)).level::int AS level
    FROM pg_index
    JOIN pg_class AS indexes ON indexes.oid = indexrelid JOIN pg_class AS tables ON tables.oid = indrelid
    JOIN pg_am ON pg_am.oid = indexes.relam AND amname = 'btree'
    WHERE tables.relnamespace = 'public'::regnamespace
""")


def told_in(log: Path, begin: int) -> Iterator[Execution]:
    """What was written to the log behind this place."""
    with log.open() as lines:
        lines.seek(begin)
        found: re.Match[str] | None = None
        written: list[str] = []
        for line in lines:
            if found is not None and line.startswith("\t"):
                written.append(line)
                continue
            if found is not None:
                yield _execution(found, written)
            found, written = TOLD.search(line.rstrip("\n")), []


def _execution(found: re.Match[str], written: list[str]) -> Execution:
    told = json.loads("".join(written))
    statement = " ".join(told["Query Text"].split())
    return Execution(statement=statement, ms=float(found[2]), plan=told["Plan"], process=int(found[1]))
