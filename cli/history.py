"""What the engine has kept of orders, saved for tests."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import Number

app = typer.Typer(no_args_is_help=True, help="What the engine has kept of orders.")


@app.command("save")
def history_save(
    order: Number,
    into: Annotated[Path, typer.Option(file_okay=False, help="Where to put the histories.")] = Path(
        "tests/replay/histories"
    ),
) -> int:
    """Replay all that the engine knows of an order, and keep it for the tests, without anybody in it."""
    from workers.saving import save

    return save(order, into)
