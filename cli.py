"""The one command: ``sutler``."""

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Run, fill and look after a Sutler shop.")


@app.command()
def migrate() -> None:
    """Bring the database to the newest schema."""
    from db import migrations
    from runtime.settings import Settings

    database = Settings().database
    migrations.upgrade(database.url.get_secret_value(), shop_schema=database.shop_schema)


@app.command()
def api() -> None:
    """Serve the HTTP API."""
    from granian import Granian
    from granian.constants import Interfaces, Loops

    from runtime.settings import Settings

    listen = Settings().api
    Granian(
        "api.app:application",
        factory=True,
        address=listen.host,
        port=listen.port,
        interface=Interfaces.ASGI,
        loop=Loops.uvloop,
        log_access=False,
    ).serve()


@app.command()
def worker(queues: list[str]) -> None:
    """Serve task queues in one process: registration, checkout, payments, fulfillment, or all."""
    from runtime.settings import Settings
    from workers.main import run
    from workflows.names import Queue

    run(Settings(), list(Queue) if queues == ["all"] else [Queue(name) for name in queues])


accounts = typer.Typer(no_args_is_help=True, help="People who can sign in.")
app.add_typer(accounts, name="accounts")


@accounts.command()
def demo() -> None:
    """Make the two verified demo accounts; refused in production."""
    import asyncio

    from runtime.accounts import NotInProductionError, make_demo_accounts
    from runtime.settings import Settings

    try:
        made = asyncio.run(make_demo_accounts(Settings()))
    except NotInProductionError as refusal:
        typer.echo(str(refusal), err=True)
        raise typer.Exit(1) from None
    for email, is_new in made.items():
        typer.echo(f"{email}: {'made' if is_new else 'was there already'}")


def main() -> None:
    app()


if __name__ == "__main__":
    main()
