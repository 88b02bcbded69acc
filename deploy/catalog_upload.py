"""``sutler catalog upload`` and ``follow``: a file is sent to the running shop, which imports it in the background."""

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from deploy.following import Step, ended, interruptible
from deploy.visitor import Json, Visitor
from runtime.catalog import format_of
from runtime.settings import Settings

IMPORTS = "/v1/admin/catalog/imports"
MEDIA_TYPES = {"csv": "text/csv", "jsonl": "application/x-ndjson"}
SHOWN_ERRORS = 20


@dataclass
class Following:
    """What Ctrl-C leaves running."""

    import_id: str | None = None

    def farewell(self) -> str:
        if self.import_id is None:
            return "The shop has not answered yet. What it has as a whole it imports: sutler catalog follow"
        return f"The import goes on. Look at it again: sutler catalog follow {self.import_id}"


def upload(file: Path, *, currency: str | None, failed_rows: Path | None, token: str | None) -> int:
    """Send the file and follow its import to the end; the exit code."""
    following = Following()

    async def look(operator: Visitor, _: Settings, console: Console) -> int:
        media_type = MEDIA_TYPES[format_of(file)]
        made = await operator.send_file(IMPORTS, file, media_type, query={"currency": currency} if currency else {})
        following.import_id = made["id"]
        console.print(f"Import {made['id']} has begun.", soft_wrap=True)
        return await _follow(operator, console, made, failed_rows)

    return interruptible(look, token, following.farewell)


def follow(import_id: str | None, *, failed_rows: Path | None, token: str | None) -> int:
    """Follow an import that was begun before, the newest when none is named; the exit code."""
    following = Following(import_id)

    async def look(operator: Visitor, _: Settings, console: Console) -> int:
        if following.import_id is None:
            newest = (await operator.get(IMPORTS, limit="1"))["items"]
            if not newest:
                console.print("There is no import yet.")
                return 1
            following.import_id = newest[0]["id"]
        made = await operator.get(f"{IMPORTS}/{following.import_id}")
        return await _follow(operator, console, made, failed_rows)

    return interruptible(look, token, following.farewell)


async def _follow(operator: Visitor, console: Console, made: Json, failed_rows: Path | None) -> int:
    made = await ended(operator, console, IMPORTS, made, _step)
    words = f"Import {made['id']} is {made['status']}: {made['rows']:,} rows read, {made['failed']:,} failed"
    console.print(words, soft_wrap=True)
    console.print(_summary(made))
    if made["failed"]:
        errors = await operator.get(f"{IMPORTS}/{made['id']}/errors", limit=str(SHOWN_ERRORS))
        console.print(_errors_table(made, errors))
    if failed_rows is not None:
        await operator.save_file(f"{IMPORTS}/{made['id']}/failed-rows", failed_rows)
        console.print(f"The rows that failed are in {failed_rows}.", soft_wrap=True)
    return 0 if made["status"] == "completed" and not made["failed"] else 1


def _step(made: Json) -> Step:
    words = f"Importing  {made['rows']:,} rows, {made['failed']:,} failed"
    return Step(made["bytes_read"], made["bytes"], words)


def _summary(made: Json) -> Table:
    table = Table(show_edge=False)
    for heading in ("", "created", "updated", "unchanged"):
        table.add_column(heading, justify="left" if not heading else "right")
    for what in ("products", "variants"):
        table.add_row(what, *(f"{made[what][how]:,}" for how in ("created", "updated", "unchanged")))
    return table


def _errors_table(made: Json, errors: Json) -> Table:
    table = Table(show_edge=False, title="Rows that were not imported", title_justify="left")
    table.add_column("line", justify="right")
    table.add_column("field", overflow="fold")
    table.add_column("why", overflow="fold")
    for error in errors["items"]:
        table.add_row(str(error["line"]), Text(error["field"]), Text(error["message"]))
    if errors["next_cursor"]:
        table.caption = f"and more; sutler catalog follow {made['id']} --failed-rows FILE has all of these rows"
    return table
