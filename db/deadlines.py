"""What an order waits for, since when: read from its parcels and its timeline.

Of an order that is held nobody has to pack or ship anything; its card holds the money no longer for that.
"""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.deadlines import Wait, Waiting


async def waits(session: AsyncSession, order_id: UUID) -> list[Wait]:
    """All that somebody still has to do for the order, what is due first on top; nothing for one that is over."""
    found = [
        Wait(what=Waiting(row.what), since=row.since, units=row.units, fulfillment_id=row.fulfillment_id)
        for row in await session.execute(WAITS, {"order_id": order_id})
    ]
    return sorted(found, key=lambda wait: wait.deadline)


WAITS = text(
    """
    WITH parcels AS (
        SELECT fulfillments.id, fulfillments.status, fulfillments.remedy, fulfillments.replaces_id,
               coalesce(fulfillments.shipped_at, fulfillments.created_at) AS since,
               sum(fulfillment_items.quantity)::int AS units
        FROM fulfillments JOIN fulfillment_items ON fulfillment_items.fulfillment_id = fulfillments.id
        WHERE fulfillments.order_id = :order_id GROUP BY fulfillments.id
    ), unpacked AS (
        SELECT (SELECT sum(quantity - cancelled) FROM order_lines WHERE order_id = :order_id)::int
                   - coalesce(sum(units) FILTER (WHERE status <> 'cancelled' OR remedy = 'refund'), 0)::int AS units
        FROM parcels
    ), uncaptured AS (
        SELECT unpacked.units + coalesce((
            SELECT sum(units) FROM parcels WHERE status = 'pending' AND replaces_id IS NULL
        ), 0)::int AS units
        FROM unpacked
    ), happened AS (
        SELECT max(at) FILTER (WHERE type = 'order.payment_requires_action') AS approval_asked,
               -- Units that were unpacked begin to wait anew.
               max(at) FILTER (WHERE type IN ('order.confirmed', 'fulfillment.cancelled', 'order.released')) AS to_pack,
               max(at) FILTER (WHERE type = 'order.released') AS released,
               max(at) FILTER (WHERE type = 'order.payment_renewed') AS renewed
        FROM order_events WHERE order_id = :order_id
    )
    SELECT 'to_be_approved' AS what, approval_asked AS since, unpacked.units, CAST(NULL AS uuid) AS fulfillment_id
    FROM happened, unpacked, orders WHERE orders.id = :order_id AND orders.payment_status = 'requires_action'
    UNION ALL
    SELECT 'to_be_packed', happened.to_pack, unpacked.units, NULL
    FROM happened, unpacked, orders
    WHERE orders.id = :order_id AND orders.status IN ('confirmed', 'shipped') AND unpacked.units > 0
      AND orders.hold_note_id IS NULL
    UNION ALL
    SELECT 'to_be_shipped', greatest(since, happened.released), parcels.units, parcels.id
    FROM happened, parcels, orders
    WHERE orders.id = :order_id AND orders.hold_note_id IS NULL AND parcels.status = 'pending'
    UNION ALL
    SELECT 'to_be_delivered', since, units, id FROM parcels WHERE status = 'shipped'
    UNION ALL
    SELECT 'to_be_captured', greatest(payments.created_at, happened.renewed), uncaptured.units, NULL
    FROM happened, uncaptured, orders JOIN payments ON payments.order_id = orders.id
    WHERE orders.id = :order_id AND orders.status IN ('confirmed', 'shipped') AND uncaptured.units > 0
      AND payments.status = 'authorized' AND payments.captured < payments.authorized
      AND payments.provider <> 'manual'
    """
)
