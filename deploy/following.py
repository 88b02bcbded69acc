"""What goes on in the shop also when nobody watches: how a terminal follows it, and what Ctrl-C leaves running."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from deploy.orders import Look, as_operator
from deploy.visitor import Json, Visitor

PAUSE_SECONDS = 0.3
INTERRUPTED = 130
"""What shells call the exit of a program that was stopped with Ctrl-C."""


@dataclass(frozen=True)
class Step:
    """How far something is, for a bar and in words."""

    done: int
    of: int
    words: str


def interruptible(look: Look, token: str | None, farewell: Callable[[], str]) -> int:
    """Do something in an operator's name; the exit code. Ctrl-C ends with a word on what goes on."""
    try:
        return as_operator(look, token)
    except KeyboardInterrupt:
        Console(highlight=False).print(farewell(), soft_wrap=True)
        return INTERRUPTED


def bar(console: Console) -> Progress:
    """How far something is, on a terminal only, and gone when it is over."""
    columns = [TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn()]
    return Progress(*columns, console=console, disable=not console.is_terminal, transient=True)


async def ended(operator: Visitor, console: Console, path: str, made: Json, step_of: Callable[[Json], Step]) -> Json:
    """Watch it until it is over."""
    with bar(console) as progress:
        task = progress.add_task("Waiting", total=None)
        while made["status"] in ("waiting", "running"):
            step = step_of(made)
            progress.update(task, completed=step.done, total=max(step.of, 1), description=step.words)
            await asyncio.sleep(PAUSE_SECONDS)
            made = await operator.get(f"{path}/{made['id']}")
    return made
