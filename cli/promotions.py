"""Promotions to try a shop with."""

from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Promotions.")


@app.command("demo")
def promotions_demo(
    coupons: Annotated[int, typer.Option(min=1, max=300, help="How many of those redeemed most often.")] = 50,
) -> int:
    """Make promotions of real coupons for the groceries of `sutler catalog demo`; `1234-18` is a code of one."""
    from runtime.promotions import run_demo

    return run_demo(coupons)
