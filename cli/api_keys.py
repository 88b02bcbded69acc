"""API keys: listed, made and revoked."""

from typing import Annotated

import typer

from cli.options import AsJson, Token

app = typer.Typer(no_args_is_help=True, help="API keys, by which machines may do what they were made for.")


@app.command("list")
def api_keys_list(as_json: AsJson = False, token: Token = None) -> int:
    """List the newest API keys, what they are for, and when they were last used."""
    from deploy.api_keys import list_keys

    return list_keys(for_programs=as_json, token=token)


@app.command("make")
def api_keys_make(
    name: Annotated[str, typer.Argument(help="Which machine it is for.")],
    permissions: Annotated[list[str], typer.Argument(help="Such as stock.read; docs/security.md has them all.")],
    days: Annotated[int, typer.Option(min=1, max=366, help="How long it is good.")] = 90,
    token: Token = None,
) -> int:
    """Make an API key and print it, this once: only its hash is kept."""
    from deploy.api_keys import make_key

    return make_key(name, permissions, days, token)


@app.command("revoke")
def api_keys_revoke(
    key_id: Annotated[str, typer.Argument(help="Its id, as `sutler api-keys list` has it.")], token: Token = None
) -> int:
    """Make an API key good for nothing, at once."""
    from deploy.api_keys import revoke_key

    return revoke_key(key_id, token)
