"""Orders of the running shop: seen one by one, moved several at once."""

from collections.abc import Callable
from inspect import Signature, signature
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import AsJson, Most, Number, Reason, Token, Yes, queried
from domain.attention import Decision
from domain.orders import OrderStatus

if TYPE_CHECKING:
    from deploy.order_batches import Errand

app = typer.Typer(no_args_is_help=True, help="Orders of the running shop, as its operators see them.")


@app.command("list")
def order_list(
    status: Annotated[OrderStatus | None, typer.Option(help="Only those that are so.")] = None,
    needs_attention: Annotated[bool, typer.Option("--needs-attention", help="Only those that need a person.")] = False,
    customer: Annotated[str | None, typer.Option(help="The e-mail address of an order.")] = None,
    limit: Most = 20,
    as_json: AsJson = False,
    token: Token = None,
) -> int:
    """List orders, newest first."""
    from deploy.orders import list_orders

    query = queried(status=status, q=customer, needs_attention="true" if needs_attention else None, limit=limit)
    return list_orders(query, for_programs=as_json, token=token)


@app.command("show")
def order_show(number: Number, as_json: AsJson = False, token: Token = None) -> int:
    """Show one order: its lines, its timeline, and where to look closer."""
    from deploy.orders import show_order

    return show_order(number, for_programs=as_json, token=token)


@app.command("explain")
def order_explain(number: Number, as_json: AsJson = False, token: Token = None) -> int:
    """Say what an order waits for, since when, what is being tried, and what a person can decide."""
    from deploy.orders import explain_order

    return explain_order(number, for_programs=as_json, token=token)


Numbers = Annotated[
    list[str], typer.Argument(help="Numbers or ids of orders; - reads them from a pipe, and asks nobody.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done with each, and do nothing.")]


def with_each(errand: "Callable[..., Errand]") -> "Callable[..., int]":
    """A command that does the errand with several orders; what it asks for comes after their numbers."""

    def command(
        numbers: Numbers,
        dry_run: DryRun = False,
        yes: Yes = False,
        as_json: AsJson = False,
        token: Token = None,
        **asked: object,
    ) -> int:
        from deploy.order_batches import run

        return run(errand(**asked), numbers, dry_run=dry_run, yes=yes, for_programs=as_json, token=token)

    first, *others, _ = signature(command).parameters.values()
    command.__doc__ = errand.__doc__
    command.__signature__ = Signature([first, *signature(errand).parameters.values(), *others])  # type: ignore[attr-defined]
    return command


@app.command("cancel")
@with_each
def order_cancel(reason: Reason) -> "Errand":
    """Cancel orders: money and goods go back; the exit code is 1 when one of them refuses."""
    from deploy.order_batches import cancel

    return cancel(reason)


@app.command("resolve")
@with_each
def order_resolve(
    decision: Annotated[Decision, typer.Option(help="As `sutler order explain` names it.")],
    note: Annotated[str, typer.Option(help="Why; it is kept in the audit log.")],
) -> "Errand":
    """Answer orders that wait for a person; the exit code is 1 when one of them refuses."""
    from deploy.order_batches import resolve

    return resolve(decision, note)


@app.command("hold")
@with_each
def order_hold(reason: Reason) -> "Errand":
    """Let nothing of these orders leave until they are released."""
    from deploy.order_batches import hold

    return hold(reason)


@app.command("release")
@with_each
def order_release() -> "Errand":
    """Let orders that are held go on."""
    from deploy.order_batches import release

    return release()


@app.command("resume")
@with_each
def order_resume() -> "Errand":
    """Begin the workflows of orders again that have lost them; content where they run."""
    from deploy.order_batches import resume

    return resume()
