"""What is refused is told in a sentence, and no traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer


@contextmanager
def told(*refusals: type[Exception]) -> Iterator[None]:
    """Where one of these is raised, its words are all that is written; the exit code is 1."""
    try:
        yield
    except refusals as refusal:
        typer.echo(str(refusal), err=True)
        raise typer.Exit(1) from None
