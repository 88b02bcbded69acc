"""``sutler stock``: how much there is of what, asked over HTTP as an operator would."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from deploy.orders import as_operator
from deploy.visitor import Json, Visitor, as_json
from runtime.settings import Settings


def list_stock(query: Mapping[str, str], *, for_programs: bool, token: str | None) -> int:
    """Print the variants that the query of ``GET /v1/admin/stock`` finds; the exit code."""

    async def look(operator: Visitor, _: Settings, console: Console) -> None:
        found = await operator.get("/v1/admin/stock", **query)
        if for_programs:
            console.print(as_json(found["items"]), soft_wrap=True)
            return
        console.print(stock_table(found["items"]))
        if found["next_cursor"]:
            console.print(f"There are more than these {len(found['items'])}.")

    return as_operator(look, token)


def stock_table(variants: Sequence[Json]) -> Table:
    table = Table(show_edge=False)
    for heading in ("sku", "name", "state"):
        table.add_column(heading, overflow="fold")
    for heading in ("on hand", "reserved", "available"):
        table.add_column(heading, justify="right")
    table.add_column("where", overflow="fold")
    for its in variants:
        numbers = [str(its[name]) for name in ("on_hand", "reserved", "available")]
        where = ", ".join(f"{place['location']}: {place['available']}" for place in its["locations"])
        table.add_row(its["sku"], its["name"], its["state"], *numbers, where)
    return table
