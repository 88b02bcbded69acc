"""``sutler order``: orders of the running shop, asked over HTTP as an operator would."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from uuid import UUID

from rich.console import Console
from rich.table import Table

from deploy.order_tables import explanation, lines_table, look_closer, orders_table, timeline_table
from deploy.visitor import OPERATOR, Json, NobodyAnswersError, UnwelcomeError, Visitor, as_json, terminal, visitors
from runtime.settings import Settings

Look = Callable[[Visitor, Settings, Console], Awaitable[int | None]]


def list_orders(query: Mapping[str, str], *, for_programs: bool, token: str | None) -> int:
    """Print the orders that the query of ``GET /v1/admin/orders`` finds; the exit code."""
    return list_found("/v1/admin/orders", query, orders_table, for_programs=for_programs, token=token)


def show_order(number: str, *, for_programs: bool, token: str | None) -> int:
    """Print the order with this number or id; the exit code."""

    async def look(operator: Visitor, settings: Settings, console: Console) -> None:
        order = await found_order(operator, number)
        if order is None:
            raise NoSuchOrderError(f"There is no order {number}.")
        events = await operator.get(f"/v1/orders/{order['id']}/events", limit="100")
        if for_programs:
            console.print(as_json({**order, "events": events["items"]}), soft_wrap=True)
            return
        console.print(orders_table([order]))
        if order["totals"]:
            console.print(lines_table(order))
        console.print(timeline_table(events["items"]))
        look_closer(console, settings.temporal, order)

    return as_operator(look, token)


def explain_order(number: str, *, for_programs: bool, token: str | None) -> int:
    """Print what the order waits for, what is being tried, and what can be decided; the exit code."""

    async def look(operator: Visitor, _: Settings, console: Console) -> None:
        order = await found_order(operator, number)
        if order is None:
            raise NoSuchOrderError(f"There is no order {number}.")
        told = await operator.get(f"/v1/admin/orders/{order['id']}/explain")
        console.print(as_json(told) if for_programs else explanation(told), soft_wrap=for_programs)

    return as_operator(look, token)


def list_found(
    path: str,
    query: Mapping[str, str],
    table: Callable[[Sequence[Json]], Table],
    *,
    for_programs: bool,
    token: str | None,
) -> int:
    """Print a page of what the query finds there; the exit code."""

    async def look(operator: Visitor, _: Settings, console: Console) -> None:
        found = await operator.get(path, **query)
        if for_programs:
            console.print(as_json(found["items"]), soft_wrap=True)
            return
        console.print(table(found["items"]))
        if found["next_cursor"]:
            console.print(f"There are more than these {len(found['items'])}.")

    return as_operator(look, token)


class NoSuchOrderError(Exception):
    """No order has this number or id."""


async def found_order(operator: Visitor, number: str) -> Json:
    """The order with this number or id, or ``None``."""
    try:
        answer = await operator.ask("GET", f"/v1/orders/{UUID(number)}")
    except ValueError:
        found = await operator.get("/v1/admin/orders", q=number, limit="1")
        return found["items"][0] if found["items"] else None
    if answer.status == 404:
        return None
    if answer.status != 200:
        raise UnwelcomeError(answer)
    return answer.body


def as_operator(look: Look, token: str | None) -> int:
    """Do something in an operator's name; the exit code, 0 when it says none."""
    settings, console = Settings(), terminal()

    async def visit() -> int:
        async with visitors(settings) as operator:
            operator.token = token
            if token is None:
                await operator.sign_in(OPERATOR, settings.demo.password.get_secret_value())
            return await look(operator, settings, console) or 0

    try:
        return asyncio.run(visit())
    except (NobodyAnswersError, NoSuchOrderError, UnwelcomeError) as problem:
        console.print(str(problem), soft_wrap=True)
        return 1
