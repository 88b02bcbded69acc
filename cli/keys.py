"""The keys that sign tokens: made, followed by others, and taken away."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import AsJson
from cli.refusals import told

if TYPE_CHECKING:
    from runtime.keys import SigningKey
    from runtime.settings import Auth

app = typer.Typer(no_args_is_help=True, help="The keys that sign the tokens of people who are signed in.")


@app.command("list")
def keys_list(as_json: AsJson = False) -> None:
    """Show the keys: which one signs, which one will, and which ones only check what they have signed."""
    from runtime.rotation import listed

    _show_keys(listed, for_programs=as_json)


@app.command("make")
def keys_make() -> None:
    """Make the first keys; does nothing when there are some."""
    from runtime.keys import make
    from runtime.rotation import listed
    from runtime.settings import Settings

    make(Settings().auth.signing_key_file)
    _show_keys(listed)


@app.command("rotate")
def keys_rotate(
    now: Annotated[bool, typer.Option("--now", help="Also when others may not know the next key yet.")] = False,
) -> None:
    """Let the next key sign, and make another one to follow it. Nobody is signed out."""
    from runtime.rotation import rotate

    _show_keys(lambda auth: rotate(auth, at_once=now))


# A thumbprint may begin with a dash, and is no option then.
@app.command("remove", context_settings={"ignore_unknown_options": True})
def keys_remove(kid: Annotated[str, typer.Argument(help="As `sutler keys list` shows it.")]) -> None:
    """Take a key away that others may have: all that it has signed is worth nothing from now on."""
    from runtime.rotation import remove

    _show_keys(lambda auth: remove(auth, kid))


def _show_keys(change: "Callable[[Auth], list[SigningKey]]", *, for_programs: bool = False) -> None:
    from deploy.visitor import as_json
    from runtime.keys import SigningKeyError
    from runtime.settings import Settings

    with told(SigningKeyError, OSError):
        shown = change(Settings().auth)
    if for_programs:
        rows = [{"kid": key.kid, "state": key.state, "since": key.since.isoformat()} for key in shown]
        typer.echo(as_json(rows))
        return
    for key in shown:
        typer.echo(f"{key.kid}  {key.state:<8} since {key.since:%Y-%m-%d %H:%M} UTC")
