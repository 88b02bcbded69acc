"""All books of a shop, read once when it is quiet: tables, the engine's list, and the provider's ledger."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from temporalio.client import Client

Row = Mapping[str, Any]

QUERIES = {
    "orders": """
        SELECT orders.id::text, orders.status, orders.payment_status, orders.fulfillment_status, orders.total,
               payments.status AS payment, payments.authorized, payments.captured, payments.refunded,
               checkouts.created_at AS asked_at,
               min(order_events.at) FILTER (WHERE order_events.type = 'order.payment_requires_action') AS challenged_at,
               min(order_events.at) FILTER (WHERE order_events.type IN ('order.confirmed', 'order.cancelled'))
                   AS decided_at,
               coalesce(bool_or(order_events.type = 'order.confirmed'), false) AS was_confirmed
        FROM orders JOIN checkouts ON checkouts.order_id = orders.id
        LEFT JOIN payments ON payments.order_id = orders.id
        LEFT JOIN order_events ON order_events.order_id = orders.id
        GROUP BY orders.id, payments.id, checkouts.order_id
    """,
    "checkouts": """
        SELECT checkouts.order_id::text, checkouts.cart_id::text, checkouts.is_refused, checkouts.answer_status,
               orders.id IS NOT NULL AS has_order
        FROM checkouts LEFT JOIN orders ON orders.id = checkouts.order_id
    """,
    "stock": """
        SELECT stock.variant_id::text, stock.on_hand, stock.reserved,
               (SELECT coalesce(sum(on_hand_change), 0) FROM stock_movements
                WHERE stock_movements.variant_id = stock.variant_id) AS moved_on_hand,
               (SELECT coalesce(sum(reserved_change), 0) FROM stock_movements
                WHERE stock_movements.variant_id = stock.variant_id) AS moved_reserved,
               (SELECT coalesce(sum(quantity - shipped - released), 0) FROM stock_holds
                WHERE stock_holds.variant_id = stock.variant_id) AS held
        FROM stock
    """,
    "holds": """
        SELECT stock_holds.order_id::text, sum(quantity) AS quantity, sum(shipped) AS shipped,
               sum(released) AS released, bool_or(expires_at IS NOT NULL) AS expires, orders.status
        FROM stock_holds LEFT JOIN orders ON orders.id = stock_holds.order_id
        GROUP BY stock_holds.order_id, orders.status
    """,
    "parcels": """
        SELECT fulfillments.order_id::text, fulfillments.status, sum(fulfillment_items.quantity) AS units
        FROM fulfillments JOIN fulfillment_items ON fulfillment_items.fulfillment_id = fulfillments.id
        GROUP BY fulfillments.id
    """,
    "lines": "SELECT order_id::text, sum(quantity) AS units FROM order_lines GROUP BY order_id",
    "gaps": """
        SELECT order_id::text FROM order_events GROUP BY order_id
        HAVING max(sequence) <> count(*) OR count(*) FILTER (WHERE type IN ('order.confirmed')) > 1
            OR count(*) FILTER (WHERE type = 'order.cancelled') > 1
    """,
    "double_carts": """
        SELECT cart_id::text FROM orders WHERE status <> 'cancelled' GROUP BY cart_id HAVING count(*) > 1
    """,
}

UNDECIDED = "SELECT id::text FROM orders WHERE status = 'pending'"
WAITING_STORIES = (
    "ExecutionStatus = 'Running' AND "
    "(WorkflowType = 'Payment' OR WorkflowType = 'Checkout' AND OrderStatus = 'pending')"
)


@dataclass
class Money:
    """What the provider's ledger says of one order, in minor units."""

    authorize: int = 0
    capture: int = 0
    void: int = 0
    refund: int = 0
    times: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    @property
    def held(self) -> int:
        return self.authorize - self.capture - self.void

    @property
    def kept(self) -> int:
        return self.capture - self.refund


@dataclass(frozen=True)
class Books:
    tables: Mapping[str, list[Row]]
    money: Mapping[str, Money]
    """By the order's id."""
    running: frozenset[str]
    """The ids of orders that have a live workflow."""


async def read(database_url: str, engine: Client, sandbox_url: str, http: aiohttp.ClientSession) -> Books:
    database = create_async_engine(database_url)
    async with database.connect() as connection:
        tables = {name: await _rows(connection, query) for name, query in QUERIES.items()}
    await database.dispose()
    running = [run.id async for run in engine.list_workflows("ExecutionStatus = 'Running'")]
    return Books(
        tables=tables,
        money=await _ledger(sandbox_url, http),
        running=frozenset(name.removeprefix("order:") for name in running if name.startswith("order:")),
    )


async def undecided(database_url: str, engine: Client) -> list[str]:
    """What is still on its way: orders that are neither confirmed nor cancelled, and stories before that point."""
    database = create_async_engine(database_url)
    async with database.connect() as connection:
        orders = [str(row["id"]) for row in await _rows(connection, UNDECIDED)]
    await database.dispose()
    return orders + [run.id async for run in engine.list_workflows(WAITING_STORIES)]


async def _rows(connection: AsyncConnection, query: str) -> list[Row]:
    return [dict(row) for row in (await connection.execute(text(query))).mappings()]


async def _ledger(sandbox_url: str, http: aiohttp.ClientSession) -> dict[str, Money]:
    by_order: dict[str, Money] = defaultdict(Money)
    async with http.get(f"{sandbox_url}/ledger") as answer:
        rows = (await answer.json())["items"]
    owners = {row["payment_intent"]: row["metadata"]["order_id"] for row in rows if row["metadata"].get("order_id")}
    for row in rows:
        money = by_order[owners.get(row["payment_intent"], row["payment_intent"])]
        setattr(money, row["kind"], getattr(money, row["kind"]) + row["amount"])
        money.times[row["kind"]] += 1
    return dict(by_order)
