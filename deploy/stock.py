"""``sutler stock``: how much there is of what, asked over HTTP as an operator would."""

from collections.abc import Mapping, Sequence

from rich.table import Table

from deploy.orders import list_found
from deploy.visitor import Json


def list_stock(query: Mapping[str, str], *, for_programs: bool, token: str | None) -> int:
    """Print the variants that the query of ``GET /v1/admin/stock`` finds; the exit code."""
    return list_found("/v1/admin/stock", query, stock_table, for_programs=for_programs, token=token)


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
