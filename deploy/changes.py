"""``sutler config set``: what can be changed while the shop runs, asked over HTTP as an admin would."""

from collections.abc import Sequence
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from deploy.orders import as_operator
from deploy.visitor import Json, Visitor, as_json
from runtime.settings import Settings

LOG_LEVEL, MAINTENANCE, LIMIT = "log-level", "maintenance", "limits."
NAMES = f"{LOG_LEVEL}, {MAINTENANCE}, or {LIMIT}<name> with a name of `sutler config changed`"


def change(name: str, value: str | None, reason: str, token: str | None) -> int:
    """Change it, or have it again as the settings say; the exit code."""
    path, wish = wish_of(name, value)

    async def put(admin: Visitor, _: Settings, console: Console) -> None:
        await admin.done("PUT", path, {**wish, "reason": reason})
        console.print(f"{name}: {value if value is not None else 'as the settings say'}, in all processes.")

    return as_operator(put, token)


def wish_of(name: str, value: str | None) -> tuple[str, dict[str, Any]]:
    """Where to ask, and for what."""
    if name == LOG_LEVEL:
        return "/v1/admin/log-level", {"level": value}
    if name == MAINTENANCE:
        return "/v1/admin/maintenance", _maintenance(value)
    if name.startswith(LIMIT):
        return f"/v1/admin/limits/{name.removeprefix(LIMIT)}", {"quota": value}
    raise typer.BadParameter(f"{name} cannot be changed while the shop runs; this can: {NAMES}.")


def _maintenance(value: str | None) -> dict[str, Any]:
    if value in (None, "off"):
        return {"is_on": False}
    if value == "on":
        return {"is_on": True}
    if not value.isdecimal():
        raise typer.BadParameter("maintenance is `on`, `off`, or the seconds after which customers are to come again")
    return {"is_on": True, "retry_after_seconds": int(value)}


def list_changes(*, for_programs: bool, token: str | None) -> int:
    """Print what can be changed, and what was; the exit code."""

    async def look(admin: Visitor, _: Settings, console: Console) -> None:
        level = await admin.get("/v1/admin/log-level")
        maintenance = await admin.get("/v1/admin/maintenance")
        limits = await admin.get("/v1/admin/limits")
        rows = [_row(LOG_LEVEL, level["level"], level["setting"], level["changed_at"]), _of(maintenance)]
        rows += [
            _row(f"{LIMIT}{its['name']}", its["quota"], its["setting"], its["changed_at"]) for its in limits["items"]
        ]
        console.print(as_json(rows) if for_programs else changes_table(rows), soft_wrap=for_programs)

    return as_operator(look, token)


def _of(maintenance: Json) -> dict[str, Json]:
    value = f"{maintenance['retry_after_seconds']} s" if maintenance["is_on"] else "off"
    return _row(MAINTENANCE, value, "off", maintenance["begun_at"])


def _row(name: str, value: str, setting: str | None, changed_at: str | None) -> dict[str, Json]:
    return {"name": name, "value": value, "setting": setting, "changed_at": changed_at}


def changes_table(rows: Sequence[Json]) -> Table:
    table = Table(show_edge=False)
    for heading in ("what", "value", "by the settings", "changed (UTC)"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(row["name"], row["value"], row["setting"] or "", (row["changed_at"] or "")[:16].replace("T", " "))
    return table
