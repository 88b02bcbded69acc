"""Orders as the API shows them. One statement per answer; amounts are minor units until the API writes them."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncSession

from db.carriers import TRACKING_URL_OF_PARCEL

_ORDERS = f"""
    SELECT orders.*, (SELECT max(sequence) FROM order_events WHERE order_id = orders.id) AS version,
           (SELECT languages[1] FROM carts WHERE carts.id = orders.cart_id) AS language,
           payments.provider, payments.decline_code, payments.redirect_url, payments.due_at,
           coalesce(
               payments.provider_reference,
               (SELECT note FROM audit_log WHERE audit_log.id = payments.received_note_id)
           ) AS provider_reference,
           payments.authorized, payments.captured, payments.refunded,
           lines.items, coalesce(parcels.fulfillments, '[]') AS fulfillments,
           coalesce((
               SELECT jsonb_agg(jsonb_build_object(
                   'id', refunds.id, 'status', refunds.status, 'amount', refunds.amount, 'reason', refunds.reason,
                   'of_credit', refunds.of_credit, 'to', refunds.goes_to, 'refusal', refunds.refusal,
                   'reference', coalesce(
                       refunds.provider_reference,
                       (SELECT note FROM audit_log WHERE audit_log.id = refunds.paid_note_id)
                   ),
                   'created_at', refunds.created_at, 'settled_at', refunds.settled_at,
                   'items', (
                       SELECT coalesce(jsonb_agg(jsonb_build_object(
                           'order_item_id', refund_items.order_line_id, 'quantity', refund_items.quantity
                       ) ORDER BY refund_items.order_line_id), '[]')
                       FROM refund_items WHERE refund_items.refund_id = refunds.id
                   )
               ) ORDER BY refunds.id)
               FROM refunds WHERE refunds.order_id = orders.id
           ), '[]') AS refunds,
           coalesce((
               SELECT jsonb_agg(jsonb_build_object(
                   'reference', disputes.reference, 'status', disputes.status, 'amount', disputes.amount,
                   'reason', disputes.reason, 'evidence_due_at', disputes.evidence_due_at,
                   'opened_at', disputes.opened_at, 'closed_at', disputes.closed_at
               ) ORDER BY disputes.opened_at, disputes.reference)
               FROM disputes WHERE disputes.order_id = orders.id
           ), '[]') AS disputes,
           coalesce((
               SELECT jsonb_agg(jsonb_build_object(
                   'id', account_id, 'kind', credit_accounts.kind, 'last4', last4, 'amount', -spent.amount
               ) ORDER BY spent.id)
               FROM credit_entries AS spent JOIN credit_accounts ON credit_accounts.id = account_id
               WHERE spent.order_id = orders.id AND spent.reason = 'spent'
           ), '[]') AS paid_with,
           (SELECT note FROM audit_log WHERE audit_log.id = orders.cancel_note_id) AS cancel_note,
           coalesce((
               SELECT jsonb_agg(jsonb_build_object(
                   'concern', concerns.concern, 'detail', concerns.detail, 'since', concerns.since
               ) ORDER BY concerns.id)
               FROM concerns WHERE concerns.order_id = orders.id AND concerns.settled_at IS NULL
           ), '[]') AS concerns,
           coalesce((
               SELECT jsonb_agg(jsonb_build_object(
                   'id', returns.id, 'status', returns.status, 'refund_id', returns.refund_id,
                   'created_at', returns.created_at, 'updated_at', returns.updated_at,
                   'items', (
                       SELECT jsonb_agg(jsonb_build_object(
                           'order_item_id', return_items.order_line_id, 'quantity', return_items.quantity,
                           'reason', return_items.reason, 'received', return_items.received,
                           'restocked', return_items.restocked
                       ) ORDER BY return_items.order_line_id)
                       FROM return_items WHERE return_items.return_id = returns.id
                   )
               ) ORDER BY returns.id)
               FROM returns WHERE returns.order_id = orders.id
           ), '[]') AS returns
    FROM orders
    JOIN payments ON payments.order_id = orders.id
    CROSS JOIN LATERAL (
        SELECT jsonb_agg(jsonb_build_object(
                   'id', order_lines.id, 'variant_id', order_lines.variant_id, 'sku', order_lines.sku,
                   'name', order_lines.name, 'quantity', order_lines.quantity,
                   'cancelled_quantity', order_lines.cancelled,
                   'unit_price', order_lines.unit_price, 'line_total', order_lines.line_total,
                   'base_price', order_lines.base_price, 'price_list', order_lines.price_list,
                   'discount', order_lines.discount, 'tax', order_lines.tax
               ) ORDER BY order_lines.position) AS items
        FROM order_lines WHERE order_lines.order_id = orders.id
    ) AS lines
    LEFT JOIN LATERAL (
        SELECT jsonb_agg(jsonb_build_object(
                   'id', fulfillments.id, 'status', fulfillments.status, 'carrier', fulfillments.carrier,
                   'tracking_number', fulfillments.tracking_number,
                   'tracking_url', {TRACKING_URL_OF_PARCEL},
                   'tracking_status', fulfillments.tracking_status, 'tracked_at', fulfillments.tracked_at,
                   'undelivered', fulfillments.undelivered, 'remedy', fulfillments.remedy,
                   'replaces_id', fulfillments.replaces_id, 'created_at', fulfillments.created_at,
                   'shipped_at', fulfillments.shipped_at, 'delivered_at', fulfillments.delivered_at,
                   'items', (
                       SELECT jsonb_agg(jsonb_build_object(
                           'order_item_id', fulfillment_items.order_line_id, 'quantity', fulfillment_items.quantity
                       ) ORDER BY fulfillment_items.order_line_id)
                       FROM fulfillment_items WHERE fulfillment_items.fulfillment_id = fulfillments.id
                   )
               ) ORDER BY fulfillments.id) AS fulfillments
        FROM fulfillments WHERE fulfillments.order_id = orders.id
    ) AS parcels ON true
"""  # noqa: S608 (constant text)

_ONE_ORDER = text(f"{_ORDERS} WHERE orders.id = :order_id")
_THESE_ORDERS = text(f"{_ORDERS} WHERE orders.id = ANY(:ids)")


async def order(session: AsyncSession, order_id: UUID) -> RowMapping | None:
    return (await session.execute(_ONE_ORDER, {"order_id": order_id})).mappings().one_or_none()


async def orders_by_ids(session: AsyncSession, ids: Sequence[UUID]) -> Sequence[RowMapping]:
    return (await session.execute(_THESE_ORDERS, {"ids": ids})).mappings().all()


async def orders(
    session: AsyncSession, *, limit: int, before: UUID | None, filters: Mapping[str, Any]
) -> Sequence[RowMapping]:
    """Orders, newest first, below ``before``; ``filters`` are columns of :data:`FILTERS`."""
    conditions = [_condition(name, value) for name, value in filters.items()]
    if before is not None:
        conditions.append("orders.id < :before")
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    # The page is cut before the joins, so that only its rows are looked at.
    statement = text(
        f"{_ORDERS} WHERE orders.id IN (SELECT id FROM orders {where} ORDER BY id DESC LIMIT :limit) "  # noqa: S608
        "ORDER BY orders.id DESC"
    )
    found = await session.execute(statement, {**filters, "before": before, "limit": limit})
    return found.mappings().all()


FILTERS: Mapping[str, str | Mapping[Any, str]] = {
    "user_id": "orders.user_id = :user_id",
    "status": "orders.status = :status",
    "payment_status": "orders.payment_status = :payment_status",
    "needs_attention": {
        True: "orders.id IN (SELECT order_id FROM concerns WHERE settled_at IS NULL)",
        False: "orders.attention IS NULL",
    },
    "number": "orders.number = :number",
    "email": "lower(orders.email) = lower(:email)",
}
"""What lists of orders can be narrowed by. The few that need somebody are found by their concerns, not among all."""


def _condition(name: str, value: Any) -> str:
    condition = FILTERS[name]
    return condition if isinstance(condition, str) else condition[value]


async def events(session: AsyncSession, order_id: UUID, *, limit: int, after: int) -> Sequence[RowMapping]:
    """The order's timeline, oldest first, from behind the sequence number ``after``."""
    found = await session.execute(
        text(
            """
            SELECT sequence, type, actor, data, at FROM order_events
            WHERE order_id = :order_id AND sequence > :after ORDER BY sequence LIMIT :limit
            """
        ),
        {"order_id": order_id, "after": after, "limit": limit},
    )
    return found.mappings().all()


async def hold(session: AsyncSession, order_id: UUID) -> RowMapping | None:
    """Why nothing of the order may leave, since when, and who said so."""
    return (await session.execute(HOLD, {"order_id": order_id})).mappings().one_or_none()


HOLD = text(
    """
    SELECT audit_log.note AS reason, audit_log.at AS since, audit_log.actor AS by
    FROM orders JOIN audit_log ON audit_log.id = orders.hold_note_id WHERE orders.id = :order_id
    """
)


async def order_of_fulfillment(session: AsyncSession, fulfillment_id: UUID) -> UUID | None:
    found: UUID | None = await session.scalar(
        text("SELECT order_id FROM fulfillments WHERE id = :id"), {"id": fulfillment_id}
    )
    return found


async def checkout(session: AsyncSession, order_id: UUID) -> RowMapping | None:
    """A checkout whose order may not have been placed yet, with the owner of its cart."""
    found = await session.execute(
        text(
            """
            SELECT checkouts.order_id, checkouts.order_number, checkouts.cart_id, checkouts.is_refused,
                   checkouts.created_at, carts.user_id, carts.currency
            FROM checkouts JOIN carts ON carts.id = checkouts.cart_id WHERE checkouts.order_id = :order_id
            """
        ),
        {"order_id": order_id},
    )
    return found.mappings().one_or_none()
