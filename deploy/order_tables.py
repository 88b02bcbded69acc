"""Orders on a terminal."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from deploy.display import command
from deploy.visitor import Json, money
from domain.money import Money
from runtime.settings import Temporal

USUAL_ADDRESS = Temporal().address
COLOURS = {
    "pending": "yellow",
    "requires_action": "yellow",
    "confirmed": "cyan",
    "authorized": "cyan",
    "shipped": "blue",
    "captured": "green",
    "delivered": "green",
    "cancelled": "red",
    "failed": "red",
}


def lines_table(order: Json) -> Table:
    """What is in a cart or an order, down to the total."""
    table = _table()
    table.add_column("what", overflow="fold")
    for column in ("each", "units", "together"):
        table.add_column(column, justify="right", no_wrap=True)
    for item in order["items"]:
        table.add_row(item["name"], money(item["unit_price"]), str(item["quantity"]), money(item["line_total"]))
    table.add_section()
    for name, amount in order["totals"].items():
        if name in ("subtotal", "shipping", "total") or amount["amount"].strip("0."):
            table.add_row(name, "", "", money(amount), style="bold" if name == "total" else "")
    return table


def timeline_table(events: Sequence[Json]) -> Table:
    """All that happened to an order, oldest first."""
    table = _table("The order's timeline")
    table.add_column("at (UTC)", no_wrap=True)
    table.add_column("what happened", no_wrap=True)
    table.add_column("by", overflow="fold")
    table.add_column("", overflow="fold")
    for event in events:
        facts = ", ".join(
            f"{value} {name}" if name == "units" else str(value)
            for name, value in event["data"].items()
            if name in SHOWN_FACTS and value
        )
        table.add_row(event["at"][11:23], event["type"], event["actor"].partition(":")[0], facts)
    return table


SHOWN_FACTS = ("number", "reason", "money", "carrier", "tracking_number", "units")


def ledger_table(rows: Sequence[Json], title: str) -> Table:
    """What the sandbox's ledger, which nobody can rewrite, says of a payment."""
    table = _table(title)
    for column in ("at (UTC)", "movement"):
        table.add_column(column, no_wrap=True)
    table.add_column("amount", justify="right", no_wrap=True)
    table.add_column("idempotency key", overflow="fold")
    for row in rows:
        amount = Money(row["amount"], row["currency"].upper())
        table.add_row(row["at"][11:23], row["kind"], str(amount), row["idempotency_key"] or "")
    return table


def orders_table(orders: Sequence[Json]) -> Table:
    table = _table()
    for column in ("number", "placed (UTC)", "order", "payment", "parcels"):
        table.add_column(column, no_wrap=True)
    table.add_column("total", justify="right", no_wrap=True)
    table.add_column("needs a person because", overflow="fold")
    for order in orders:
        paid = order["payment"]["status"] if order["payment"] else ""
        table.add_row(
            order["number"],
            order["created_at"][:19].replace("T", " "),
            _coloured(order["status"]),
            _coloured(paid),
            order["fulfillment_status"],
            money(order["totals"]["total"]) if order["totals"] else "",
            order["attention"] or "",
        )
    return table


def explanation(told: Json) -> Table:
    """What an order waits for, and what can be done about it."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row(told["number"], _coloured(told["status"]))
    table.add_row("waits for", told["waits_for"], style="yellow" if told["concerns"] else "")
    table.add_row("since", told["since"][:19].replace("T", " ") + " UTC")
    if told["deadline"]:
        table.add_row("until", told["deadline"][:19].replace("T", " ") + " UTC")
    if told["engine"] != "ok":
        table.add_row("engine", Text("cannot be reached; this is what the shop itself knows", style="red"))
    for step in told["steps"]:
        attempt = f"{step['what']}, attempt {step['attempt']}"
        failed = f"; last: {step['last_error']}" if step["last_error"] else ""
        until = f"; until {step['deadline'][11:19]} UTC" if step["deadline"] else "; until it is done"
        table.add_row("tries", attempt + failed + until)
    for concern in told["concerns"]:
        table.add_row(concern["concern"], f"{concern['detail']} (since {concern['since'][:16].replace('T', ' ')} UTC)")
    if told["decisions"]:
        table.add_row("decide", ", ".join(told["decisions"]))
    return table


def look_closer(console: Console, temporal: Temporal, order: Json) -> None:
    """Where the Web UI shows the order's workflow, and the commands that show it in a terminal."""
    workflow = f"order:{order['id']}"
    address = "" if temporal.address == USUAL_ADDRESS else f" --address {temporal.address}"
    ask = f"{command('temporal')} workflow"
    for what, how in {
        "In the Web UI": f"{temporal.ui_url}/namespaces/{temporal.namespace}/workflows/{workflow}",
        "What it does now": f"{ask} metadata{address} --workflow-id {workflow}",
        "All that it did": f"{ask} show{address} --workflow-id {workflow}",
        "The shop's own view": f"{command('sutler')} order show {order['number']}",
    }.items():
        console.print(f"{what}:\n  {how}", soft_wrap=True)


def _coloured(status: str) -> Text:
    return Text(status, style=COLOURS.get(status, ""))


def _table(title: str | None = None) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
