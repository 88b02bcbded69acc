"""``sutler webhooks``: where the running shop sends events, asked over HTTP as an operator would."""

import asyncio
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from deploy.orders import as_operator
from deploy.visitor import Json, Visitor, as_json
from runtime.settings import Settings

ENDPOINTS = "/v1/admin/webhook-endpoints"
DELIVERIES = "/v1/admin/webhook-deliveries"
PATIENCE_SECONDS = 30.0


def list_endpoints(*, for_programs: bool, token: str | None) -> int:
    """Print the newest endpoints; the exit code."""

    async def look(operator: Visitor, _: Settings, console: Console) -> None:
        found = await operator.get(ENDPOINTS, limit="100")
        items = found["items"]
        console.print(as_json(items) if for_programs else endpoints_table(items), soft_wrap=for_programs)

    return as_operator(look, token)


def show_endpoint(endpoint_id: str, status: str | None, limit: int, *, for_programs: bool, token: str | None) -> int:
    """Print an endpoint and what it was sent; the exit code."""

    async def look(operator: Visitor, _: Settings, console: Console) -> None:
        endpoint = await operator.get(f"{ENDPOINTS}/{endpoint_id}")
        wanted = {"limit": str(limit), **({"status": status} if status else {})}
        sent = await operator.get(f"{ENDPOINTS}/{endpoint_id}/deliveries", **wanted)
        if for_programs:
            console.print(as_json({**endpoint, "deliveries": sent["items"]}), soft_wrap=True)
            return
        console.print(endpoints_table([endpoint]))
        console.print(deliveries_table(sent["items"]))
        if sent["next_cursor"]:
            console.print(f"There are more than these {len(sent['items'])}.")

    return as_operator(look, token)


def ping(endpoint_id: str, token: str | None) -> int:
    """Send a ping and wait for what comes of it; the exit code is 1 when it was not taken."""

    async def send(operator: Visitor, _: Settings, console: Console) -> int:
        asked = await operator.done("POST", f"{ENDPOINTS}/{endpoint_id}/ping")
        delivery = await _ended(operator, asked["delivery_id"])
        console.print(outcome(delivery), soft_wrap=True)
        return 0 if delivery["status"] == "delivered" else 1

    return as_operator(send, token)


def redeliver(delivery_id: str, token: str | None) -> int:
    """Have a delivery sent again; the exit code."""

    async def send(operator: Visitor, _: Settings, console: Console) -> None:
        await operator.done("POST", f"{DELIVERIES}/{delivery_id}/redeliver")
        console.print("It is sent again, with the same id and body.")

    return as_operator(send, token)


def replay(endpoint_id: str, begin: str, end: str, token: str | None) -> int:
    """Have all of a time sent again; the exit code."""

    async def send(operator: Visitor, _: Settings, console: Console) -> None:
        wish = {"begin": begin, "end": end}
        asked = await operator.done("POST", f"{ENDPOINTS}/{endpoint_id}/replay", wish)
        console.print(f"{asked['events']} events are sent again, with the same ids and bodies.")

    return as_operator(send, token)


async def _ended(operator: Visitor, delivery_id: str) -> Json:
    """The delivery once it has ended, or as it is when that takes too long."""
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + PATIENCE_SECONDS
    while True:
        delivery = await operator.get(f"{DELIVERIES}/{delivery_id}")
        if delivery["status"] != "waiting" or loop.time() > ends_at:
            return delivery
        await asyncio.sleep(0.2)


def outcome(delivery: Json) -> str:
    match delivery["status"]:
        case "delivered":
            return f"Taken: {delivery['status_code']} in {delivery['milliseconds']} ms."
        case "waiting":
            return "Not sent yet: does a worker serve the queue webhooks?"
    if delivery["problem"]:
        return f"Not taken. {delivery['problem']}"
    return f"Not taken: {delivery['status_code']} in {delivery['milliseconds']} ms. {delivery['log'][-1]['said']}"


def endpoints_table(endpoints: Sequence[Json]) -> Table:
    table = Table(show_edge=False)
    for heading in ("id", "url", "status", "failing since", "events"):
        table.add_column(heading, overflow="fold")
    for endpoint in endpoints:
        status = (
            f"{endpoint['status']} ({endpoint['pause_reason']})" if endpoint["pause_reason"] else endpoint["status"]
        )
        events = ", ".join(endpoint["event_types"]) or "all"
        table.add_row(endpoint["id"], endpoint["url"], status, (endpoint["failing_since"] or "")[:16], events)
    return table


def deliveries_table(deliveries: Sequence[Json]) -> Table:
    table = Table(show_edge=False)
    for heading in ("id", "event", "of", "status", "tries", "answer", "next"):
        table.add_column(heading, overflow="fold")
    for delivery in deliveries:
        answer = delivery["problem"] or (f"{delivery['status_code']}" if delivery["status_code"] else "")
        next_at = (delivery["next_attempt_at"] or "")[:16]
        of, tries = delivery["event_at"][:19], str(delivery["attempts"])
        table.add_row(delivery["id"], delivery["type"], of, delivery["status"], tries, answer, next_at)
    return table
