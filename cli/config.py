"""Settings: what is set and whether that is right, and what is changed while the shop runs."""

from typing import Annotated

import typer

from cli.options import AsJson, Reason, Token

app = typer.Typer(no_args_is_help=True, help="What this shop is set to, and whether that is right.")


@app.command("check")
def config_check() -> int:
    """Look at all settings that this environment gives, and name everything that is wrong; then the exit code is 1."""
    from deploy.configuration import check

    return check()


@app.command("show")
def config_show(as_json: AsJson = False) -> int:
    """Show each setting, its value and where that is from; secrets are hidden."""
    from deploy.configuration import show

    return show(for_programs=as_json)


@app.command("docs")
def config_docs() -> None:
    """Print docs/configuration.md: all settings with what they mean."""
    from deploy.configuration import document

    typer.echo(document(), nl=False)


Name = Annotated[str, typer.Argument(help="As `sutler config changed` has it, such as log-level or limits.address.")]


@app.command("changed")
def config_changed(as_json: AsJson = False, token: Token = None) -> int:
    """Show what can be changed while the shop runs, and what was."""
    from deploy.changes import list_changes

    return list_changes(for_programs=as_json, token=token)


@app.command("set")
def config_set(
    name: Name,
    value: Annotated[str, typer.Argument(help="Such as DEBUG, 100/min, or on.")],
    reason: Reason,
    token: Token = None,
) -> int:
    """Change something in all processes of the running shop, within a second, until it is changed again."""
    from deploy.changes import change

    return change(name, value, reason, token)


@app.command("unset")
def config_unset(name: Name, reason: Reason, token: Token = None) -> int:
    """Have it again as the settings say, in all processes of the running shop."""
    from deploy.changes import change

    return change(name, None, reason, token)
