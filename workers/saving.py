"""``sutler history save``: what the engine knows of an order, for the tests."""

import asyncio
from pathlib import Path
from typing import Any

import typer
from temporalio.service import RPCError
from temporalio.workflow import NondeterminismError

from runtime import temporal
from runtime.settings import Settings
from workers.histories import histories_of, keep


def save(order: str, into: Path) -> int:
    """The exit code is 1 when there is nothing to save, or when today's stories cannot go on with the order."""
    try:
        histories = asyncio.run(_found(order))
    except ValueError as unclear:
        raise typer.BadParameter(str(unclear)) from None
    except EngineAwayError as away:
        typer.echo(str(away), err=True)
        return 2
    except NondeterminismError as broken:
        typer.echo(f"The stories of today cannot go on with {order}; nothing was saved. {broken}", err=True)
        return 1
    if not histories:
        typer.echo(f"The engine knows nothing of {order}: there is no such order, or it has forgotten it.", err=True)
        return 1
    into.mkdir(parents=True, exist_ok=True)
    for name, plain in histories.items():
        path = into / f"{name}.json"
        is_new = keep(plain, path)
        typer.echo(f"{path}: {'replays, saved' if is_new else 'replays, was there already and is left as it is'}")
    return 0


class EngineAwayError(Exception):
    """Nothing can be asked."""


async def _found(order: str) -> dict[str, dict[str, Any]]:
    settings = Settings().temporal
    try:
        return await histories_of(await temporal.connect(settings, is_lazy=False), order)
    except (RPCError, RuntimeError) as error:
        raise EngineAwayError(f"The workflow engine does not answer at {settings.address}.") from error
