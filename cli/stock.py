"""How much there is of what."""

from typing import Annotated

import typer

from cli.options import AsJson, Most, Token, queried
from domain.inventory import StockState

app = typer.Typer(no_args_is_help=True, help="How much there is of what.")


@app.command("list")
def stock_list(
    state: Annotated[StockState | None, typer.Option(help="Only that of which there is so much.")] = None,
    limit: Most = 20,
    as_json: AsJson = False,
    token: Token = None,
) -> int:
    """List variants with their units, the newest first."""
    from deploy.stock import list_stock

    return list_stock(queried(state=state, limit=limit), for_programs=as_json, token=token)
