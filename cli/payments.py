"""What orders were paid, and what of it went back."""

from typing import Annotated

import typer

from cli.options import AsJson, Most, Number, Token, queried
from domain.payments import PaymentStatus

app = typer.Typer(no_args_is_help=True, help="What orders were paid, and what of it went back.")


@app.command("list")
def payments_list(
    status: Annotated[PaymentStatus | None, typer.Option(help="Only those that are so.")] = None,
    limit: Most = 20,
    as_json: AsJson = False,
    token: Token = None,
) -> int:
    """List payments, those of the newest orders first."""
    from deploy.payments import list_payments

    return list_payments(queried(payment_status=status, limit=limit), for_programs=as_json, token=token)


@app.command("show")
def payments_show(number: Number, as_json: AsJson = False, token: Token = None) -> int:
    """Show how an order was paid, its refunds and its disputes."""
    from deploy.payments import show_payment

    return show_payment(number, for_programs=as_json, token=token)
