"""What the shop tells other systems, as it is told."""

from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="What the shop tells other systems.")


@app.command("follow")
def events_follow(
    begin: Annotated[
        str,
        typer.Option(
            "--from",
            help="beginning, now, or any point: the number of an entry of a Redis stream, or a time such as "
            "2026-03-04T05:06Z of a Kafka topic.",
        ),
    ] = "now",
) -> int:
    """Print every event as a line of JSON, each once, as it is told."""
    from deploy.events import follow

    return follow(begin)
