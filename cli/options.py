"""What several commands take, said once."""

from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]
Most = Annotated[int, typer.Option(min=1, max=100, help="How many at most.")]
Number = Annotated[str, typer.Argument(help="Its number, such as S-1001, or its id.")]
Reason = Annotated[str, typer.Option(help="It is kept in the audit log.")]
Token = Annotated[
    str | None,
    typer.Option(envvar="SUTLER_TOKEN", help="An operator's access token; without one, the demo operator signs in."),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def queried(**wanted: object) -> dict[str, str]:
    """A query of what was said."""
    return {name: str(value) for name, value in wanted.items() if value is not None}
