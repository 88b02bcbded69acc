"""The first people who can sign in, whom nobody else could let in."""

from typing import Annotated

import typer

from cli.refusals import told

app = typer.Typer(no_args_is_help=True, help="People who can sign in.")


@app.command("demo")
def accounts_demo() -> None:
    """Make the two verified demo accounts; refused in production."""
    import asyncio

    from runtime.accounts import NotInProductionError, make_demo_accounts
    from runtime.settings import Settings

    with told(NotInProductionError):
        made = asyncio.run(make_demo_accounts(Settings()))
    for email, is_new in made.items():
        typer.echo(f"{email}: {'made' if is_new else 'was there already'}")


@app.command("invite")
def accounts_invite(
    email: Annotated[str, typer.Argument(help="Where the link to choose a password is mailed.")],
    role: Annotated[str, typer.Option(help="admin, operator, or another one of the staff.")] = "admin",
) -> None:
    """Invite somebody to the staff: the first admin of a shop, whom nobody else could invite."""
    import asyncio

    from api.invitations import invite_from_here
    from domain.customers import Role
    from domain.errors import Refusal
    from runtime.settings import Settings

    with told(Refusal, ValueError):
        asyncio.run(invite_from_here(Settings(), email, Role(role)))
    typer.echo(f"{email} is invited.")
