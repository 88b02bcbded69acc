"""All books of a shop, read once when it is quiet: tables, the engine's list, and the provider's ledger."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aiohttp
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from temporalio.client import Client, WorkflowExecutionStatus

Row = Mapping[str, Any]

QUERIES = {
    "orders": """
        SELECT orders.id::text, orders.status, orders.payment_status, orders.fulfillment_status, orders.cancel_reason,
               orders.subtotal, orders.discount, orders.shipping, orders.tax, orders.total, orders.credit,
               orders.attention IS NOT NULL AS needs_a_person, orders.closed_at IS NOT NULL AS is_closed,
               payments.status AS payment, payments.provider, payments.due_at, payments.authorized,
               payments.captured, payments.refunded, payments.refunding, payments.credited,
               checkouts.created_at AS asked_at,
               min(order_events.at) FILTER (
                   WHERE order_events.type IN ('order.payment_requires_action', 'order.transfer_awaited')
               ) AS challenged_at,
               min(order_events.at) FILTER (WHERE order_events.type IN ('order.confirmed', 'order.cancelled'))
                   AS decided_at,
               coalesce(bool_or(order_events.type = 'order.confirmed'), false) AS was_confirmed,
               count(*) FILTER (WHERE order_events.type = 'order.payment_renewed') AS renewals
        FROM orders JOIN checkouts ON checkouts.order_id = orders.id
        LEFT JOIN payments ON payments.order_id = orders.id
        LEFT JOIN order_events ON order_events.order_id = orders.id
        GROUP BY orders.id, payments.id, checkouts.order_id
    """,
    "checkouts": """
        SELECT checkouts.order_id::text, checkouts.is_refused, orders.id IS NOT NULL AS has_order
        FROM checkouts LEFT JOIN orders ON orders.id = checkouts.order_id
    """,
    "lines": """
        SELECT id::text, order_id::text, variant_id::text, quantity, cancelled, unit_price, discount, tax,
               (SELECT coalesce(sum(items.quantity), 0) FROM cancellation_items AS items
                WHERE items.order_line_id = order_lines.id) AS given_up
        FROM order_lines
    """,
    "parcels": """
        SELECT id::text, order_id::text, status, charge, shipped_at IS NOT NULL AS has_left, undelivered, remedy,
               replaces_id::text, refund_id::text
        FROM fulfillments
    """,
    "contents": """
        SELECT fulfillment_id::text AS parcel_id, order_line_id::text AS line_id, quantity FROM fulfillment_items
    """,
    "refunds": "SELECT id::text, order_id::text, status, amount, of_credit, goes_to FROM refunds",
    "refund_items": """
        SELECT refund_id::text, order_line_id::text AS line_id, quantity FROM refund_items
    """,
    "credit_accounts": "SELECT id::text, kind, balance, initial_amount FROM credit_accounts",
    "credit_entries": "SELECT account_id::text, order_id::text, reason, amount FROM credit_entries",
    "returns": "SELECT id::text, order_id::text, status, refund_id::text FROM returns",
    "return_items": """
        SELECT return_id::text, order_line_id::text AS line_id, quantity, received, restocked FROM return_items
    """,
    "concerns": """
        SELECT order_id::text, concern, settled_at IS NULL AS is_open FROM concerns
    """,
    "stock": """
        SELECT stock.variant_id::text, sum(stock.on_hand) AS on_hand, sum(stock.reserved) AS reserved,
               (SELECT coalesce(sum(on_hand_change), 0) FROM stock_movements
                WHERE stock_movements.variant_id = stock.variant_id) AS moved_on_hand,
               (SELECT coalesce(sum(reserved_change), 0) FROM stock_movements
                WHERE stock_movements.variant_id = stock.variant_id) AS moved_reserved,
               (SELECT coalesce(sum(quantity - shipped - released), 0) FROM stock_holds
                WHERE stock_holds.variant_id = stock.variant_id) AS held
        FROM stock GROUP BY stock.variant_id
    """,
    "holds": """
        SELECT order_id::text, variant_id::text, sum(quantity) AS quantity, sum(shipped) AS shipped,
               sum(released) AS released, bool_or(expires_at IS NOT NULL) AS expires
        FROM stock_holds GROUP BY order_id, variant_id
    """,
    "movements": """
        SELECT order_id::text, variant_id::text, sum(reserved_change) AS reserved,
               -coalesce(sum(on_hand_change) FILTER (WHERE reason = 'shipped'), 0) AS shipped,
               coalesce(sum(on_hand_change) FILTER (WHERE reason = 'returned'), 0) AS returned
        FROM stock_movements WHERE order_id IS NOT NULL GROUP BY order_id, variant_id
    """,
    "gaps": """
        SELECT order_id::text FROM order_events GROUP BY order_id HAVING max(sequence) <> count(*)
    """,
    "untold": """
        SELECT id::text AS order_id FROM orders
        WHERE updated_at > (SELECT max(at) FROM order_events WHERE order_id = orders.id)
    """,
    "repetitions": """
        SELECT order_id::text, type FROM order_events
        WHERE type NOT IN ('order.needs_attention', 'order.needs_no_attention')
        GROUP BY order_id, type, data HAVING count(*) > 1
    """,
    "double_carts": """
        SELECT cart_id::text FROM orders WHERE status <> 'cancelled' GROUP BY cart_id HAVING count(*) > 1
    """,
}
"""What the laws are told: rows and plain sums, never what the shop's own code makes of them."""

UNDECIDED = """
    SELECT 'order:' || id AS story FROM orders WHERE status = 'pending'
    UNION ALL SELECT 'refund:' || refunds.id FROM refunds JOIN payments USING (order_id)
    WHERE refunds.status = 'requested' AND payments.provider <> 'manual'
"""
RUNNING = "ExecutionStatus = 'Running'"
NEVER_AT_REST = ("Mailbox", "EventRelay", "Dispatch")
"""Somebody always carries letters and events, and hands out what endpoints are sent."""
QUESTIONS_AT_A_TIME = 20


@dataclass
class Money:
    """What the provider's ledger says of one order, in minor units."""

    authorize: int = 0
    capture: int = 0
    void: int = 0
    refund: int = 0
    dispute: int = 0
    dispute_reversal: int = 0
    times: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    @property
    def held(self) -> int:
        return self.authorize - self.capture - self.void

    @property
    def kept(self) -> int:
        """What was taken and not refunded; what banks take back in disputes is no doing of the shop."""
        return self.capture - self.refund


@dataclass(frozen=True)
class Books:
    tables: Mapping[str, list[Row]]
    money: Mapping[str, Money]
    """By the order's id."""
    running: frozenset[str]
    """The ids of all live workflows."""
    read_at: datetime


async def read(database_url: str, engine: Client, sandbox_url: str, http: aiohttp.ClientSession) -> Books:
    database = create_async_engine(database_url, isolation_level="REPEATABLE READ")
    async with database.connect() as connection:
        tables = {name: await _rows(connection, query) for name, query in QUERIES.items()}
    await database.dispose()
    running = [run.id async for run in engine.list_workflows(RUNNING)]
    return Books(
        tables=tables,
        money=await _ledger(sandbox_url, http),
        running=frozenset(running),
        read_at=datetime.now(UTC),
    )


async def undecided(database_url: str, engine: Client) -> set[str]:
    """What is still on its way: undecided orders and refunds, and stories that are in the middle of something."""
    database = create_async_engine(database_url)
    async with database.connect() as connection:
        found = {str(row["story"]) for row in await _rows(connection, UNDECIDED)}
    await database.dispose()
    running = [run.id async for run in engine.list_workflows(RUNNING) if run.workflow_type not in NEVER_AT_REST]
    for start in range(0, len(running), QUESTIONS_AT_A_TIME):
        some = running[start : start + QUESTIONS_AT_A_TIME]
        rests = await asyncio.gather(*(_is_at_rest(engine, story) for story in some))
        found |= {story for story, is_at_rest in zip(some, rests, strict=True) if not is_at_rest}
    return found


async def _is_at_rest(engine: Client, story: str) -> bool:
    """It has no step and no decision under way."""
    inside = await engine.get_workflow_handle(story).describe()
    if inside.status is not WorkflowExecutionStatus.RUNNING:
        return True
    told = inside.raw_description
    return not told.pending_activities and not told.HasField("pending_workflow_task")


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
