"""What heals breaches in the tables. Each reads again under its locks what is wrong, and is content when nothing is."""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from db import credit, inventory, orders, refunds
from db.base import new_id
from db.credit import LOCK_ACCOUNTS
from db.orders import record
from db.refunds import Refund, RefundWish
from domain.errors import Refusal
from domain.orders import CancelOrder, CancelReason, OrderStatus


async def write_missing_movement(session: AsyncSession, variant_id: UUID, location: str, *, actor: str) -> None:
    """The ledger catches up with what is on hand."""
    await _have_a_row(session, variant_id, location)
    await session.execute(
        WRITE_MISSING_MOVEMENT, {"variant_id": variant_id, "location": location, "actor": actor, "reason": "audit"}
    )


WRITE_MISSING_MOVEMENT = text(
    """
    WITH locked AS (
        SELECT variant_id, location, on_hand FROM stock
        WHERE variant_id = :variant_id AND location = :location FOR UPDATE
    ), missing AS (
        SELECT locked.*, locked.on_hand - coalesce((
            SELECT sum(on_hand_change) FROM stock_movements
            WHERE stock_movements.variant_id = locked.variant_id AND stock_movements.location = locked.location
        ), 0)::int AS units
        FROM locked
    )
    INSERT INTO stock_movements (variant_id, location, on_hand_change, reserved_change, reason, actor)
    SELECT variant_id, location, units, 0, :reason, :actor FROM missing WHERE units <> 0
    """
)


async def write_missing_shipments(session: AsyncSession, order_id: UUID, *, actor: str) -> str | None:
    """The ledger catches up with what has left; why not, when holds and parcels differ among themselves."""
    await orders.locked(session, order_id)
    if await session.scalar(SENT_OTHERWISE, {"order_id": order_id}):
        return "holds and parcels differ; look which of them is right"
    await session.execute(WRITE_SHIPMENTS, {"order_id": order_id, "actor": actor})
    return None


SENT_OTHERWISE = text(
    """
    SELECT count(*) FROM (
        SELECT variant_id FROM (
            SELECT variant_id, shipped AS held, 0 AS sent FROM stock_holds WHERE order_id = :order_id
            UNION ALL
            SELECT order_lines.variant_id, 0, fulfillment_items.quantity
            FROM fulfillments JOIN fulfillment_items ON fulfillment_items.fulfillment_id = fulfillments.id
            JOIN order_lines ON order_lines.id = fulfillment_items.order_line_id
            WHERE fulfillments.order_id = :order_id AND fulfillments.shipped_at IS NOT NULL
        ) AS units GROUP BY variant_id HAVING sum(held) <> sum(sent)
    ) AS differing
    """
)
WRITE_SHIPMENTS = text(
    """
    INSERT INTO stock_movements (variant_id, location, on_hand_change, reserved_change, reason, order_id, actor)
    SELECT variant_id, location, sum(moved - held)::int, sum(moved - held)::int, 'shipped', :order_id, :actor FROM (
        SELECT variant_id, location, shipped AS held, 0 AS moved FROM stock_holds WHERE order_id = :order_id
        UNION ALL
        SELECT variant_id, location, 0, -on_hand_change FROM stock_movements
        WHERE order_id = :order_id AND reason = 'shipped'
    ) AS units GROUP BY variant_id, location HAVING sum(held) <> sum(moved) ORDER BY variant_id, location
    """
)


async def settle_reservations(session: AsyncSession, variant_id: UUID, location: str, *, actor: str) -> str | None:
    """What is reserved is what orders hold; why not, when they hold more than there is."""
    await _have_a_row(session, variant_id, location)
    found = await session.execute(LOCK_STOCK, {"variant_id": variant_id, "location": location})
    stock = found.one()
    held = await session.scalar(HELD, {"variant_id": variant_id, "location": location})
    if held > stock.on_hand:
        return f"orders hold {held} units of which {stock.on_hand} are there; count the goods"
    await session.execute(
        SETTLE_RESERVATIONS, {"variant_id": variant_id, "location": location, "held": held, "actor": actor}
    )
    return None


LOCK_STOCK = text("SELECT on_hand FROM stock WHERE variant_id = :variant_id AND location = :location FOR UPDATE")
HELD = text(
    """
    SELECT coalesce(sum(quantity - shipped - released), 0)::int FROM stock_holds
    WHERE variant_id = :variant_id AND location = :location AND shipped + released < quantity
    """
)
SETTLE_RESERVATIONS = text(
    """
    WITH settled AS (
        UPDATE stock SET reserved = :held WHERE variant_id = :variant_id AND location = :location
    ), missing AS (
        SELECT CAST(:held AS int) - coalesce(sum(reserved_change), 0)::int AS units FROM stock_movements
        WHERE variant_id = :variant_id AND location = :location
    )
    INSERT INTO stock_movements (variant_id, location, on_hand_change, reserved_change, reason, actor)
    SELECT :variant_id, :location, 0, units, 'audit', :actor FROM missing WHERE units <> 0
    """
)


async def _have_a_row(session: AsyncSession, variant_id: UUID, location: str) -> None:
    """Of units that are held or moved somewhere, the stock there can be told, if only as none."""
    await session.execute(
        text("INSERT INTO stock (variant_id, location) VALUES (:variant_id, :location) ON CONFLICT DO NOTHING"),
        {"variant_id": variant_id, "location": location},
    )


async def hold_what_is_waited_for(session: AsyncSession, order_id: UUID, *, actor: str) -> str | None:
    """Give back what nobody waits for, and reserve what the order lacks; why not, when that is sold out."""
    order = await orders.locked(session, order_id)
    if order is None:
        await inventory.release(session, order_id, reason="audit")
        return None
    goods = (await session.execute(WAITED_AND_HELD, {"order_id": order_id})).all()
    too_many = {row.variant_id: row.held - row.waited for row in goods if row.held > row.waited}
    lacking = [
        inventory.Demand(row.variant_id, row.sku, row.waited - row.held) for row in goods if row.held < row.waited
    ]
    if too_many:
        await inventory.release_units(session, order_id, too_many, actor=actor)
    try:
        async with session.begin_nested():
            if lacking:
                await inventory.hold_again(session, order_id, lacking, actor=actor)
    except Refusal as refusal:
        return refusal.detail
    return None


WAITED_AND_HELD = text(
    """
    SELECT units.variant_id, variants.sku, sum(units.waited)::int AS waited, sum(units.held)::int AS held FROM (
        SELECT order_lines.variant_id,
               CASE WHEN orders.status IN ('pending', 'confirmed', 'shipped')
                   THEN order_lines.quantity - order_lines.cancelled - coalesce((
                       SELECT sum(fulfillment_items.quantity)
                       FROM fulfillment_items JOIN fulfillments ON fulfillments.id = fulfillment_items.fulfillment_id
                       WHERE fulfillment_items.order_line_id = order_lines.id
                         AND (fulfillments.status IN ('shipped', 'delivered') OR fulfillments.remedy = 'refund')
                   ), 0)
                   ELSE 0 END AS waited,
               0 AS held
        FROM orders JOIN order_lines ON order_lines.order_id = orders.id WHERE orders.id = :order_id
        UNION ALL
        SELECT variant_id, 0, quantity - shipped - released FROM stock_holds WHERE order_id = :order_id
    ) AS units JOIN variants ON variants.id = units.variant_id
    GROUP BY units.variant_id, variants.sku ORDER BY units.variant_id
    """
)


async def keep_holds(session: AsyncSession, order_id: UUID) -> None:
    await orders.locked(session, order_id)
    await session.execute(
        text(
            """
            UPDATE stock_holds SET expires_at = NULL FROM orders
            WHERE orders.id = stock_holds.order_id AND orders.status IN ('confirmed', 'shipped')
              AND stock_holds.order_id = :order_id
            """
        ),
        {"order_id": order_id},
    )


async def recount_uses(session: AsyncSession, promotion_id: UUID) -> str | None:
    """What is counted is what live orders have; why not, when they have more than is allowed."""
    wanted = {"promotion_id": promotion_id}
    for locks in LOCK_USES:
        await session.execute(text(locks), wanted)
    await session.execute(SETTLE_USES, wanted)
    for counts in RECOUNT_USES:
        try:
            async with session.begin_nested():
                await session.execute(text(counts), wanted)
        except IntegrityError:
            return "more orders have it than its limits allow; raise them, or cancel orders"
    return None


LOCK_USES = (
    "SELECT FROM promotions WHERE id = :promotion_id FOR UPDATE",
    "SELECT FROM promotion_codes WHERE promotion_id = :promotion_id ORDER BY code FOR UPDATE",
    "SELECT FROM promotion_customers WHERE promotion_id = :promotion_id ORDER BY customer_hash FOR UPDATE",
)
SETTLE_USES = text(
    """
    UPDATE promotion_uses SET given_back_at = CASE WHEN orders.status = 'cancelled' THEN now() END
    FROM orders
    WHERE orders.id = promotion_uses.order_id AND promotion_uses.promotion_id = :promotion_id
      AND (given_back_at IS NULL) = (orders.status = 'cancelled')
    """
)
LIVE_USES = "SELECT count(*) FROM promotion_uses AS live WHERE live.given_back_at IS NULL"
RECOUNT_USES = (
    f"UPDATE promotions SET uses = ({LIVE_USES} AND live.promotion_id = promotions.id) "  # noqa: S608 (constant text)
    "WHERE id = :promotion_id AND usage_limit IS NOT NULL",
    f"UPDATE promotion_codes SET uses = ({LIVE_USES} AND live.code = promotion_codes.code) "  # noqa: S608
    "WHERE promotion_id = :promotion_id AND usage_limit IS NOT NULL",
    f"UPDATE promotion_customers SET uses = ({LIVE_USES} AND live.promotion_id = promotion_customers.promotion_id "  # noqa: S608
    "AND live.customer_hash = promotion_customers.customer_hash) WHERE promotion_id = :promotion_id",
)


async def recount_refunds(session: AsyncSession, order_id: UUID) -> None:
    """What is refunded, and what is on its way, is what the order's refunds say."""
    await orders.locked(session, order_id)
    await session.execute(RECOUNT_REFUNDS, {"order_id": order_id})


RECOUNT_REFUNDS = text(
    """
    UPDATE payments SET refunded = coalesce(made.back, 0), refunding = coalesce(made.asked, 0),
           credited = coalesce(made.credited, 0), updated_at = now()
    FROM (
        SELECT sum(amount - of_credit) FILTER (WHERE status = 'succeeded' AND goes_to = 'origin') AS back,
               sum(amount - of_credit) FILTER (WHERE status = 'requested') AS asked,
               sum(amount - of_credit) FILTER (WHERE status = 'succeeded' AND goes_to = 'store_credit') AS credited
        FROM refunds WHERE order_id = :order_id
    ) AS made
    WHERE payments.order_id = :order_id
    """
)


async def refund_the_rest(session: AsyncSession, order_id: UUID, *, actor: str) -> Refund | None:
    """Set aside what is kept of a cancelled order's money."""
    try:
        async with session.begin_nested():
            refund = await refunds.request(
                session, RefundWish(refund_id=new_id(), order_id=order_id, reason="audit", actor=actor)
            )
            return refund if refund.asks_somebody else None
    except Refusal:  # nothing is left
        return None


async def recount_credit(session: AsyncSession, account_id: UUID) -> str | None:
    """A balance is what its entries add up to; why not, when that cannot be."""
    try:
        async with session.begin_nested():
            await session.execute(LOCK_ACCOUNTS, {"accounts": [account_id]})
            await session.execute(RECOUNT_CREDIT, {"id": account_id})
    except IntegrityError:
        return "its entries add up to less than nothing, or to more than the card was worth; look who wrote them"
    return None


RECOUNT_CREDIT = text(
    """
    UPDATE credit_accounts SET balance = coalesce((
        SELECT sum(amount) FROM credit_entries WHERE account_id = credit_accounts.id
    ), 0) WHERE id = :id
    """
)


async def give_credit_back(session: AsyncSession, order_id: UUID, *, actor: str) -> None:
    order = await orders.locked(session, order_id)
    if order is not None and order.status == OrderStatus.CANCELLED:
        await credit.give_back(session, order_id, why=f"order/{order_id}/audit", actor=actor)


async def copy_payment_status(session: AsyncSession, order_id: UUID) -> None:
    await orders.locked(session, order_id)
    await session.execute(
        text(
            """
            UPDATE orders SET payment_status = payments.status, updated_at = now() FROM payments
            WHERE payments.order_id = orders.id AND orders.id = :order_id AND orders.payment_status <> payments.status
            """
        ),
        {"order_id": order_id},
    )


async def mark_the_gap(session: AsyncSession, order_id: UUID, *, actor: str) -> None:
    """An entry of its own stands where one was lost: nobody takes the timeline for whole."""
    await orders.locked(session, order_id)
    await session.execute(MARK_THE_GAP, {"order_id": order_id, "actor": actor})


MARK_THE_GAP = text(
    """
    INSERT INTO order_events (order_id, sequence, type, actor)
    SELECT :order_id, sequence, 'order.entry_lost', :actor
    FROM generate_series(1, (
        SELECT coalesce(max(sequence), 1) FROM order_events WHERE order_id = :order_id
    )) AS sequence
    WHERE NOT EXISTS (
        SELECT FROM order_events WHERE order_id = :order_id AND order_events.sequence = sequence.sequence
    )
    """
)


async def close_checkout(session: AsyncSession, order_id: UUID) -> None:
    await orders.cancel(session, CancelOrder(order_id=order_id, reason=CancelReason.NOT_STARTED))


async def note_repair(session: AsyncSession, order_id: UUID, law: str, repair: str, *, actor: str) -> None:
    """The order's timeline tells of what was repaired."""
    if await orders.locked(session, order_id) is not None:
        await record(session, order_id, "order.repaired", actor=actor, data={"law": law, "repair": repair})
