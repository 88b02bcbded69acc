"""The one command, ``sutler``: all its groups, in the order in which they are shown."""

import sys

import typer

from cli import (
    accounts,
    api_keys,
    catalog,
    config,
    events,
    history,
    keys,
    mail,
    orders,
    payments,
    promotions,
    queues,
    schedules,
    serving,
    stock,
    trial,
    webhooks,
)


def leave(exit_code: int | None) -> None:
    """What a command returns is its exit code."""
    raise typer.Exit(exit_code or 0)


app = typer.Typer(no_args_is_help=True, help="Run, fill and look after a Sutler shop.", result_callback=leave)
app.add_typer(serving.app)
app.add_typer(trial.app)
app.add_typer(mail.app, name="mail")
app.add_typer(orders.app, name="order")
app.add_typer(orders.app, name="orders", hidden=True)
app.add_typer(payments.app, name="payments")
app.add_typer(stock.app, name="stock")
app.add_typer(queues.app, name="queues")
app.add_typer(schedules.app, name="schedules")
app.add_typer(config.app, name="config")
app.add_typer(api_keys.app, name="api-keys")
app.add_typer(events.app, name="events")
app.add_typer(webhooks.app, name="webhooks")
app.add_typer(history.app, name="history")
app.add_typer(keys.app, name="keys")
app.add_typer(accounts.app, name="accounts")
app.add_typer(catalog.app, name="catalog")
app.add_typer(promotions.app, name="promotions")


def main() -> None:
    """Wrong settings are refused in a sentence each, which quotes no value: that may be a secret."""
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    try:
        app()
    except ValidationError as wrong:
        if wrong.title != "Settings":
            raise
        for error in wrong.errors(include_url=False, include_context=False, include_input=False):
            variable = "__".join(str(place) for place in error["loc"]).upper()
            words = error["msg"].removeprefix("Value error, ")
            typer.echo(words if words.startswith("APP_") else f"APP_{variable}: {words}", err=True)
        sys.exit(2)
    except SettingsError as wrong:
        typer.echo(str(wrong), err=True)
        sys.exit(2)
