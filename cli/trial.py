"""Whether a running shop is well: something is bought in it, and its books are checked."""

from typing import Annotated

import typer

from cli.options import AsJson, Yes

app = typer.Typer()


@app.command()
def demo(
    guest: Annotated[bool, typer.Option("--guest", help="Buy without an account.")] = False,
    declined: Annotated[bool, typer.Option("--declined", help="Pay with a card that is declined.")] = False,
    three_d_secure: Annotated[
        bool, typer.Option("--three-d-secure", help="Pay with a card whose bank wants to see its customer.")
    ] = False,
    bank_transfer: Annotated[
        bool, typer.Option("--bank-transfer", help="Pay by bank transfer; an operator notes the money.")
    ] = False,
) -> int:
    """Buy something from the running shop over HTTP, ship it, and tell the story as it happens."""
    from deploy.demo import Card
    from deploy.demo import demo as tell

    if declined + three_d_secure + bank_transfer > 1:
        raise typer.BadParameter("choose one of --declined, --three-d-secure and --bank-transfer")
    card = Card.DECLINED if declined else Card.THREE_D_SECURE if three_d_secure else Card.GOOD
    return tell(card=None if bank_transfer else card, as_guest=guest)


@app.command()
def audit(
    as_json: AsJson = False,
    repair: Annotated[bool, typer.Option("--repair", help="Heal what can be healed, after asking.")] = False,
    yes: Yes = False,
    days: Annotated[int, typer.Option(min=1, help="How far back the provider's payments are compared.")] = 2,
) -> int:
    """Check that goods, money and workflows add up; the exit code is 1 when they do not."""
    from deploy.audit import audit as look

    return look(days=days, as_json=as_json, repair=repair, yes=yes)
