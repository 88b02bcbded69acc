"""``sutler payments``: what orders were paid, asked over HTTP as an operator would."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from deploy.orders import NoSuchOrderError, as_operator, found_order
from deploy.visitor import Json, Visitor, as_json, money
from runtime.settings import Settings


def list_payments(query: Mapping[str, str], *, for_programs: bool, token: str | None) -> int:
    """Print the payments of the orders that the query of ``GET /v1/admin/orders`` finds; the exit code."""

    async def look(operator: Visitor, _: Settings, console: Console) -> None:
        found = await operator.get("/v1/admin/orders", **query)
        rows = [{"order": order["number"], **order["payment"]} for order in found["items"] if order["payment"]]
        if for_programs:
            console.print(as_json(rows), soft_wrap=True)
            return
        console.print(payments_table(rows))
        if found["next_cursor"]:
            console.print(f"There are more than those of these {len(found['items'])} orders.")

    return as_operator(look, token)


def show_payment(number: str, *, for_programs: bool, token: str | None) -> int:
    """Print the payment of an order, and what of it went back; the exit code."""

    async def look(operator: Visitor, _: Settings, console: Console) -> None:
        order = await found_order(operator, number)
        if order is None or order["payment"] is None:
            raise NoSuchOrderError(f"There is no order {number} with a payment.")
        told = {
            "order": order["number"],
            **order["payment"],
            "refunds": order["refunds"],
            "disputes": order["disputes"],
        }
        if for_programs:
            console.print(as_json(told), soft_wrap=True)
            return
        console.print(payments_table([told]))
        if order["refunds"]:
            console.print(back_table("refunds", order["refunds"]))
        if order["disputes"]:
            console.print(back_table("disputes", order["disputes"]))

    return as_operator(look, token)


def payments_table(payments: Sequence[Json]) -> Table:
    table = Table(show_edge=False)
    for heading in ("order", "status", "by", "reference"):
        table.add_column(heading, overflow="fold")
    for heading in ("amount", "captured", "refunded"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("declined")
    for its in payments:
        amounts = [money(its[name]) for name in ("amount", "captured", "refunded")]
        of = its["order"], its["status"], its["provider"], its["provider_reference"] or ""
        table.add_row(*of, *amounts, its["decline_code"] or "")
    return table


def back_table(title: str, items: Sequence[Json]) -> Table:
    """Refunds, or disputes: what they are called there, how they stand, how much, and why."""
    table = Table(title=title, title_justify="left", show_edge=False)
    for heading in ("reference", "status", "amount", "reason"):
        table.add_column(heading, overflow="fold")
    for its in items:
        table.add_row(its["reference"] or "", its["status"], money(its["amount"]), its["reason"])
    return table
