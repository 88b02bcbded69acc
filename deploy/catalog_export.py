"""``sutler catalog export --to``: the running shop writes its catalogue into a file, which is then fetched."""

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from deploy.following import Step, ended, interruptible
from deploy.visitor import Json, Visitor
from runtime.settings import Settings

EXPORTS = "/v1/admin/catalog/exports"


@dataclass
class Exporting:
    """What Ctrl-C leaves running."""

    file: Path
    export_id: str | None = None

    def farewell(self) -> str:
        if self.export_id is None:
            return "The shop has not answered yet."
        return f"The export goes on. Have its file: sutler catalog export --to {self.file} --id {self.export_id}"


def export(file: Path, *, currency: str | None, export_id: str | None, token: str | None) -> int:
    """Ask for an export, or follow one that was asked for before, and fetch its file; the exit code."""
    exporting = Exporting(file, export_id)

    async def look(operator: Visitor, _: Settings, console: Console) -> int:
        if exporting.export_id is None:
            made = await operator.done("POST", EXPORTS, _wish(file, currency))
            exporting.export_id = made["id"]
            console.print(f"Export {made['id']} has begun.", soft_wrap=True)
        else:
            made = await operator.get(f"{EXPORTS}/{exporting.export_id}")
        return await _fetched(operator, console, file, await ended(operator, console, EXPORTS, made, _step))

    return interruptible(look, token, exporting.farewell)


def _wish(file: Path, currency: str | None) -> Json:
    wish = {"format": "csv" if file.suffix.lower() == ".csv" else "jsonl"}
    return {**wish, "currency": currency} if currency else wish


def _step(made: Json) -> Step:
    words = f"Exporting  {made['products']:,} products"
    return Step(made["products"] + made["left_out"], made["expected"], words)


async def _fetched(operator: Visitor, console: Console, file: Path, made: Json) -> int:
    if made["status"] != "completed":
        console.print(f"Export {made['id']} is {made['status']}.", soft_wrap=True)
        return 1
    unfinished = file.with_name(f"{file.name}.unfinished")
    await operator.save_file(f"{EXPORTS}/{made['id']}/file", unfinished)
    unfinished.rename(file)
    console.print(f"{made['products']:,} products written to {file}", soft_wrap=True)
    for left_out in made["left_out_examples"]:
        console.print(f"left out: {left_out['slug']}: {left_out['reason']}", soft_wrap=True)
    if more := made["left_out"] - len(made["left_out_examples"]):
        console.print(f"and {more:,} more were left out")
    return 1 if made["left_out"] else 0
