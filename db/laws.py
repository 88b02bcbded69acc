"""The laws that the tables alone can break, each as the query that finds what breaks it.

One transaction is one moment, so what these find is wrong at that moment, however busy the shop is.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.audit import Breach, Law, Repair
from domain.money import Money

MOST = 500
"""Breaches of one law that are told of; a shop with more has one cause for all of them."""


@dataclass(frozen=True, kw_only=True)
class TableLaw:
    query: str
    """Rows with ``subject``, ``order_id`` and what the sentence names."""
    sentence: str
    repair: Repair | None = None
    amounts: tuple[str, ...] = ()
    """Columns that are minor units of the row's ``currency``."""


TABLE_LAWS: dict[Law, TableLaw] = {
    Law.SHIPPED_GOODS_HAVE_LEFT: TableLaw(
        query="""
            SELECT goods.order_id AS subject, goods.order_id, orders.number,
                   string_agg(variants.sku, ', ' ORDER BY variants.sku) AS skus,
                   sum(goods.held) AS held, sum(goods.sent) AS sent, sum(goods.moved) AS moved
            FROM (
                SELECT order_id, variant_id, sum(held) AS held, sum(sent) AS sent, sum(moved) AS moved
                FROM (
                    SELECT order_id, variant_id, location, sum(held) AS held, sum(sent) AS sent, sum(moved) AS moved
                    FROM (
                        SELECT order_id, variant_id, location, shipped AS held, 0 AS sent, 0 AS moved
                        FROM stock_holds WHERE shipped > 0
                        UNION ALL
                        SELECT fulfillments.order_id, order_lines.variant_id, NULL, 0, fulfillment_items.quantity, 0
                        FROM fulfillments
                        JOIN fulfillment_items ON fulfillment_items.fulfillment_id = fulfillments.id
                        JOIN order_lines ON order_lines.id = fulfillment_items.order_line_id
                        WHERE fulfillments.shipped_at IS NOT NULL
                        UNION ALL
                        SELECT order_id, variant_id, location, 0, 0, -on_hand_change
                        FROM stock_movements WHERE reason = 'shipped' AND order_id IS NOT NULL
                    ) AS units
                    GROUP BY order_id, variant_id, location
                ) AS places
                GROUP BY order_id, variant_id
                HAVING sum(held) <> sum(sent) OR bool_or(location IS NOT NULL AND held <> moved)
            ) AS goods
            JOIN orders ON orders.id = goods.order_id JOIN variants ON variants.id = goods.variant_id
            GROUP BY goods.order_id, orders.number
        """,
        sentence="order S-{number} has sent {sent} units of {skus} in parcels, but its holds say {held} and the stock "
        "ledger says {moved}",
        repair=Repair.WRITE_MISSING_MOVEMENT,
    ),
    Law.STOCK_IS_ITS_MOVEMENTS: TableLaw(
        query="""
            SELECT variant_id || '/' || location AS subject, NULL::uuid AS order_id, variants.sku,
                   CASE location WHEN 'main' THEN '' ELSE ' at ' || location END AS place,
                   coalesce(stock.on_hand, 0) AS on_hand, coalesce(moved.on_hand, 0) AS moved
            FROM stock FULL JOIN (
                SELECT variant_id, location, sum(on_hand_change) AS on_hand FROM stock_movements
                GROUP BY variant_id, location
            ) AS moved USING (variant_id, location) JOIN variants ON variants.id = variant_id
            WHERE coalesce(stock.on_hand, 0) <> coalesce(moved.on_hand, 0)
        """,
        sentence="{on_hand} units of {sku} are in stock{place}, but its movements add up to {moved}",
        repair=Repair.WRITE_MISSING_MOVEMENT,
    ),
    Law.ORDERS_HOLD_WHAT_THEY_WAIT_FOR: TableLaw(
        query="""
            WITH waited AS (
                SELECT orders.id AS order_id, order_lines.variant_id,
                       sum(order_lines.quantity - order_lines.cancelled - coalesce(gone.units, 0)) AS units
                FROM orders JOIN order_lines ON order_lines.order_id = orders.id LEFT JOIN (
                    SELECT fulfillment_items.order_line_id, sum(fulfillment_items.quantity) AS units
                    FROM fulfillment_items JOIN fulfillments ON fulfillments.id = fulfillment_items.fulfillment_id
                    WHERE fulfillments.status IN ('shipped', 'delivered') OR fulfillments.remedy = 'refund'
                    GROUP BY fulfillment_items.order_line_id
                ) AS gone ON gone.order_line_id = order_lines.id
                WHERE orders.status IN ('pending', 'confirmed', 'shipped')
                GROUP BY orders.id, order_lines.variant_id
            ), held AS (
                SELECT order_id, variant_id, sum(quantity - shipped - released) AS units FROM stock_holds
                WHERE shipped + released < quantity
                GROUP BY order_id, variant_id
            ), differing AS (
                SELECT order_id, variant_id, coalesce(held.units, 0) AS held, coalesce(waited.units, 0) AS waited
                FROM held FULL JOIN waited USING (order_id, variant_id)
                WHERE coalesce(held.units, 0) <> coalesce(waited.units, 0)
            )
            SELECT differing.order_id AS subject, orders.id AS order_id,
                   coalesce('order S-' || orders.number || ' is ' || orders.status,
                            differing.order_id || ' is no order') AS owner,
                   sum(differing.held) AS held, sum(differing.waited) AS waited,
                   string_agg(variants.sku, ', ' ORDER BY variants.sku) AS skus
            FROM differing LEFT JOIN orders ON orders.id = differing.order_id
            JOIN variants ON variants.id = differing.variant_id
            GROUP BY differing.order_id, orders.id
        """,
        sentence="{owner} and holds {held} units of {skus}, but waits for {waited}",
        repair=Repair.HOLD_WHAT_IS_WAITED_FOR,
    ),
    Law.RESERVED_IS_HELD: TableLaw(
        query="""
            SELECT variant_id || '/' || location AS subject, NULL::uuid AS order_id, variants.sku,
                   CASE location WHEN 'main' THEN '' ELSE ' at ' || location END AS place,
                   coalesce(stock.reserved, 0) AS reserved, coalesce(moved.reserved, 0) AS moved,
                   coalesce(held.units, 0) AS held
            FROM stock FULL JOIN (
                SELECT variant_id, location, sum(reserved_change) AS reserved FROM stock_movements
                GROUP BY variant_id, location
            ) AS moved USING (variant_id, location) FULL JOIN (
                SELECT variant_id, location, sum(quantity - shipped - released) AS units FROM stock_holds
                WHERE shipped + released < quantity
                GROUP BY variant_id, location
            ) AS held USING (variant_id, location) JOIN variants ON variants.id = variant_id
            WHERE coalesce(stock.reserved, 0) <> coalesce(held.units, 0)
               OR coalesce(stock.reserved, 0) <> coalesce(moved.reserved, 0)
        """,
        sentence="{reserved} units of {sku} are reserved{place}, but orders hold {held} and the stock ledger "
        "says {moved}",
        repair=Repair.SETTLE_RESERVATIONS,
    ),
    Law.RETURNED_GOODS_CAME_BACK: TableLaw(
        query="""
            SELECT orders.id AS subject, orders.id AS order_id, orders.number, sum(goods.moved) AS moved,
                   sum(goods.restocked) AS least, sum(goods.restocked + goods.bounced) AS most
            FROM (
                SELECT order_id, on_hand_change AS moved, 0 AS restocked, 0 AS bounced
                FROM stock_movements WHERE reason = 'returned' AND order_id IS NOT NULL
                UNION ALL
                SELECT returns.order_id, 0, return_items.restocked, 0
                FROM returns JOIN return_items ON return_items.return_id = returns.id
                UNION ALL
                SELECT fulfillments.order_id, 0, 0, fulfillment_items.quantity
                FROM fulfillments JOIN fulfillment_items ON fulfillment_items.fulfillment_id = fulfillments.id
                WHERE fulfillments.undelivered = 'returned_to_sender'
            ) AS goods JOIN orders ON orders.id = goods.order_id
            GROUP BY orders.id
            HAVING sum(goods.moved) < sum(goods.restocked) OR sum(goods.moved) > sum(goods.restocked + goods.bounced)
        """,
        sentence="{moved} units came back into the stock from order S-{number}, where its returns "
        "say {least} to {most}",
    ),
    Law.CONFIRMED_HOLDS_LAST: TableLaw(
        query="""
            SELECT orders.id AS subject, orders.id AS order_id, orders.number, orders.status,
                   min(stock_holds.expires_at) AS until
            FROM orders JOIN stock_holds ON stock_holds.order_id = orders.id
            WHERE orders.status IN ('confirmed', 'shipped') AND stock_holds.expires_at IS NOT NULL
              AND stock_holds.shipped + stock_holds.released < stock_holds.quantity
            GROUP BY orders.id
        """,
        sentence="order S-{number} is {status}, but holds its goods only until {until:%Y-%m-%d %H:%M}",
        repair=Repair.KEEP_HOLDS,
    ),
    Law.HOLDS_END_IN_TIME: TableLaw(
        query="""
            SELECT orders.id AS subject, orders.id AS order_id, orders.number, min(stock_holds.expires_at) AS until
            FROM orders JOIN stock_holds ON stock_holds.order_id = orders.id
            WHERE orders.status = 'pending' AND stock_holds.expires_at < now() - interval '15 minutes'
              AND stock_holds.shipped + stock_holds.released < stock_holds.quantity
            GROUP BY orders.id
        """,
        sentence="order S-{number} is not paid, and holds goods that it could keep until {until:%Y-%m-%d %H:%M}",
        repair=Repair.RESUME_ORDER,
    ),
    Law.PARCELS_CARRY_WHAT_WAS_ORDERED: TableLaw(
        query="""
            SELECT orders.id AS subject, orders.id AS order_id, orders.number, sum(packed.units) AS packed,
                   sum(order_lines.quantity - order_lines.cancelled) AS wanted
            FROM (
                SELECT fulfillment_items.order_line_id, sum(fulfillment_items.quantity) AS units
                FROM fulfillment_items JOIN fulfillments ON fulfillments.id = fulfillment_items.fulfillment_id
                WHERE fulfillments.status <> 'cancelled' OR fulfillments.remedy = 'refund'
                GROUP BY fulfillment_items.order_line_id
            ) AS packed
            JOIN order_lines ON order_lines.id = packed.order_line_id JOIN orders ON orders.id = order_lines.order_id
            WHERE packed.units > order_lines.quantity - order_lines.cancelled
            GROUP BY orders.id
        """,
        sentence="the parcels of order S-{number} carry {packed} units where {wanted} were ordered",
    ),
    Law.PROMOTIONS_ARE_USED_AS_COUNTED: TableLaw(
        query="""
            WITH live AS (
                SELECT promotion_uses.* FROM promotion_uses JOIN orders ON orders.id = promotion_uses.order_id
                WHERE orders.status <> 'cancelled'
            ), told AS (
                SELECT promotions.id AS promotion_id, 'all customers' AS whose, uses AS counted,
                       count(live.order_id) AS used
                FROM promotions LEFT JOIN live ON live.promotion_id = promotions.id
                WHERE usage_limit IS NOT NULL
                GROUP BY promotions.id
                UNION ALL
                SELECT promotion_codes.promotion_id, promotion_codes.code, uses, count(live.order_id)
                FROM promotion_codes LEFT JOIN live ON live.code = promotion_codes.code
                WHERE usage_limit IS NOT NULL
                GROUP BY promotion_codes.code
                UNION ALL
                SELECT promotion_customers.promotion_id, 'one customer', uses, count(live.order_id)
                FROM promotion_customers LEFT JOIN live
                  ON live.promotion_id = promotion_customers.promotion_id
                 AND live.customer_hash = promotion_customers.customer_hash
                GROUP BY promotion_customers.promotion_id, promotion_customers.customer_hash
                UNION ALL
                SELECT promotion_uses.promotion_id, 'order S-' || orders.number,
                       (given_back_at IS NULL)::int, (orders.status <> 'cancelled')::int
                FROM promotion_uses JOIN orders ON orders.id = promotion_uses.order_id
            )
            SELECT promotions.id AS subject, NULL::uuid AS order_id, promotions.name,
                   string_agg(counted || ' for ' || whose || ' (there are ' || used || ')', ', ' ORDER BY whose) AS uses
            FROM told JOIN promotions ON promotions.id = told.promotion_id
            WHERE counted <> used
            GROUP BY promotions.id
        """,
        sentence="the promotion {name} counts other uses than there are live orders with it: {uses}",
        repair=Repair.RECOUNT_USES,
    ),
    Law.CAPTURED_IS_CHARGED: TableLaw(
        query="""
            SELECT orders.id AS subject, orders.id AS order_id, orders.number, payments.captured, payments.currency,
                   coalesce(sent.charged, 0) AS charged
            FROM orders JOIN payments ON payments.order_id = orders.id LEFT JOIN (
                SELECT order_id, sum(coalesce(charge, 0)) AS charged FROM fulfillments
                WHERE shipped_at IS NOT NULL
                GROUP BY order_id
            ) AS sent ON sent.order_id = orders.id
            WHERE payments.captured <> coalesce(sent.charged, 0) AND payments.provider <> 'manual'
              AND (orders.status <> 'cancelled' OR sent.order_id IS NOT NULL)
        """,
        sentence="{captured} were taken for order S-{number}, but its parcels cost {charged}",
        amounts=("captured", "charged"),
    ),
    Law.REFUNDED_ADDS_UP: TableLaw(
        query="""
            SELECT orders.id AS subject, orders.id AS order_id, orders.number, payments.currency,
                   payments.refunded, payments.refunding, coalesce(paid.back, 0) AS back,
                   coalesce(paid.asked, 0) AS asked
            FROM orders JOIN payments ON payments.order_id = orders.id LEFT JOIN (
                SELECT order_id,
                       sum(amount - of_credit) FILTER (WHERE status = 'succeeded' AND goes_to = 'origin') AS back,
                       sum(amount - of_credit) FILTER (WHERE status = 'requested') AS asked,
                       sum(amount - of_credit) FILTER (WHERE status = 'succeeded' AND goes_to = 'store_credit')
                           AS credited
                FROM refunds GROUP BY order_id
            ) AS paid ON paid.order_id = orders.id
            WHERE payments.refunding <> coalesce(paid.asked, 0) OR payments.credited <> coalesce(paid.credited, 0)
               OR (payments.refunded <> coalesce(paid.back, 0)
                   AND (orders.status <> 'cancelled'
                        OR EXISTS (SELECT FROM fulfillments WHERE order_id = orders.id AND shipped_at IS NOT NULL)))
        """,
        sentence="order S-{number} says {refunded} refunded and {refunding} on the way, but its refunds add up to "
        "{back} and {asked}",
        amounts=("refunded", "refunding", "back", "asked"),
        repair=Repair.RECOUNT_REFUNDS,
    ),
    Law.CANCELLED_ORDERS_KEEP_NOTHING: TableLaw(
        query="""
            SELECT orders.id AS subject, orders.id AS order_id, orders.number, payments.currency,
                   payments.captured - payments.refunded - payments.refunding - payments.credited - disputed.amount
                       AS kept
            FROM orders JOIN payments ON payments.order_id = orders.id CROSS JOIN LATERAL (
                SELECT coalesce(sum(amount), 0)::bigint AS amount FROM disputes
                WHERE disputes.order_id = orders.id AND disputes.status <> 'won'
            ) AS disputed
            WHERE orders.status = 'cancelled'
              AND payments.captured
                  > payments.refunded + payments.refunding + payments.credited + disputed.amount
        """,
        sentence="order S-{number} is cancelled, and {kept} of it are kept",
        amounts=("kept",),
        repair=Repair.REFUND_THE_REST,
    ),
    Law.ORDERS_COST_WHAT_THEIR_LINES_SAY: TableLaw(
        query="""
            SELECT orders.id AS subject, orders.id AS order_id, orders.number, orders.currency, orders.total,
                   coalesce(lines.cost, 0) + orders.shipping - orders.shipping_discount + orders.shipping_tax AS sums
            FROM orders LEFT JOIN (
                SELECT order_id, sum(line_total) AS price, sum(discount) AS discount, sum(tax) AS tax,
                       sum(line_total - discount + tax) AS cost, sum(included_tax) AS included_tax
                FROM order_lines GROUP BY order_id
            ) AS lines ON lines.order_id = orders.id
            WHERE orders.total <>
                      coalesce(lines.cost, 0) + orders.shipping - orders.shipping_discount + orders.shipping_tax
               OR orders.subtotal <> coalesce(lines.price, 0)
               OR orders.discount <> coalesce(lines.discount, 0) + orders.shipping_discount
               OR orders.tax <> coalesce(lines.tax, 0) + orders.shipping_tax
               OR orders.included_tax < coalesce(lines.included_tax, 0)
        """,
        sentence="order S-{number} costs {total}, its lines and shipping come to {sums}, or other sums differ",
        amounts=("total", "sums"),
    ),
    Law.PAYMENTS_FIT_THEIR_ORDERS: TableLaw(
        query="""
            SELECT orders.id AS subject, orders.id AS order_id, orders.number, orders.status, orders.currency,
                   orders.total, orders.credit, coalesce(payments.amount, 0) AS amount,
                   coalesce(payments.authorized, 0) AS authorized
            FROM orders LEFT JOIN payments ON payments.order_id = orders.id
            WHERE payments.id IS NULL OR payments.amount <> orders.total - orders.credit
               OR payments.currency <> orders.currency
               OR (payments.status = 'authorized' AND payments.authorized < orders.total - orders.credit)
        """,
        sentence="order S-{number} is {status} and costs {total}, of which credit paid {credit}, but its payment is of "
        "{amount}, of which {authorized} were promised",
        amounts=("total", "credit", "amount", "authorized"),
    ),
    Law.CREDIT_IS_ITS_ENTRIES: TableLaw(
        query="""
            SELECT credit_accounts.id AS subject, NULL::uuid AS order_id, kind, currency, balance,
                   coalesce(moved.amount, 0) AS moved
            FROM credit_accounts LEFT JOIN (
                SELECT account_id, sum(amount)::bigint AS amount FROM credit_entries GROUP BY account_id
            ) AS moved ON moved.account_id = credit_accounts.id
            WHERE balance <> coalesce(moved.amount, 0)
        """,
        sentence="a {kind} has {balance}, but its entries add up to {moved}",
        amounts=("balance", "moved"),
        repair=Repair.RECOUNT_CREDIT,
    ),
    Law.CREDIT_PAYS_WHAT_ORDERS_SAY: TableLaw(
        query="""
            SELECT orders.id AS subject, orders.id AS order_id, orders.number, orders.currency, orders.credit,
                   coalesce(spent.amount, 0) AS spent, coalesce(spent.back, 0) AS back, coalesce(made.back, 0) AS made
            FROM orders LEFT JOIN (
                SELECT order_id, -sum(amount) FILTER (WHERE reason = 'spent') AS amount,
                       sum(amount) FILTER (WHERE reason IN ('refunded', 'converted')) AS back
                FROM credit_entries WHERE order_id IS NOT NULL GROUP BY order_id
            ) AS spent ON spent.order_id = orders.id LEFT JOIN (
                SELECT order_id, sum(CASE goes_to WHEN 'origin' THEN of_credit ELSE amount END) AS back
                FROM refunds WHERE status = 'succeeded' GROUP BY order_id
            ) AS made ON made.order_id = orders.id
            WHERE orders.credit <> coalesce(spent.amount, 0) OR coalesce(spent.back, 0) <> coalesce(made.back, 0)
        """,
        sentence="credit paid {credit} of order S-{number}, and refunds gave {made} back as credit, but the "
        "ledger says {spent} and {back}",
        amounts=("credit", "spent", "back", "made"),
    ),
    Law.CANCELLED_ORDERS_KEEP_NO_CREDIT: TableLaw(
        query="""
            SELECT orders.id AS subject, orders.id AS order_id, orders.number, orders.currency,
                   orders.credit - coalesce(given.back, 0) - coalesce(made.back, 0) AS kept
            FROM orders LEFT JOIN (
                SELECT order_id, sum(amount) AS back FROM credit_entries WHERE reason = 'given_back' GROUP BY order_id
            ) AS given ON given.order_id = orders.id LEFT JOIN (
                SELECT order_id, sum(of_credit) AS back FROM refunds WHERE status <> 'failed' GROUP BY order_id
            ) AS made ON made.order_id = orders.id
            WHERE orders.status = 'cancelled' AND orders.credit > coalesce(given.back, 0) + coalesce(made.back, 0)
        """,
        sentence="order S-{number} is cancelled, and {kept} of its credit have not gone back",
        amounts=("kept",),
        repair=Repair.GIVE_CREDIT_BACK,
    ),
    Law.ORDERS_ARE_PAID_IN_FULL: TableLaw(
        query="""
            SELECT * FROM (
                SELECT orders.id AS subject, orders.id AS order_id, orders.number, orders.currency, payments.captured,
                       orders.credit - coalesce((
                           SELECT sum(amount) FROM credit_entries
                           WHERE order_id = orders.id AND reason = 'given_back'
                       ), 0) AS credit,
                       orders.total - (
                           SELECT sum((line_total - discount + tax) * cancelled / quantity) FROM order_lines
                           WHERE order_id = orders.id
                       ) AS owed
                FROM orders JOIN payments ON payments.order_id = orders.id
                WHERE orders.status IN ('shipped', 'delivered') AND orders.credit > 0
                  AND payments.provider <> 'manual'
            ) AS paid WHERE captured + credit <> owed
        """,
        sentence="{captured} were taken and {credit} of credit spent for order S-{number}, which costs {owed}",
        amounts=("captured", "credit", "owed"),
    ),
    Law.STATUSES_AGREE: TableLaw(
        query="""
            SELECT orders.id AS subject, orders.id AS order_id, orders.number, orders.payment_status,
                   payments.status AS status
            FROM orders JOIN payments ON payments.order_id = orders.id
            WHERE orders.payment_status <> payments.status
        """,
        sentence="order S-{number} shows its payment as {payment_status}, which is {status}",
        repair=Repair.COPY_PAYMENT_STATUS,
    ),
    Law.NOTHING_IS_HELD_IN_VAIN: TableLaw(
        query="""
            SELECT orders.id AS subject, orders.id AS order_id, orders.number, orders.status
            FROM orders JOIN payments ON payments.order_id = orders.id
            WHERE orders.status IN ('shipped', 'delivered') AND payments.status = 'authorized'
              AND orders.updated_at < now() - make_interval(secs => :patience)
        """,
        sentence="order S-{number} is {status}, but its card is still held",
        repair=Repair.FREE_THE_REST,
    ),
    Law.TIMELINES_ARE_WHOLE: TableLaw(
        query="""
            SELECT orders.id AS subject, orders.id AS order_id, orders.number,
                   coalesce(told.last - told.entries, 1) AS missing
            FROM orders LEFT JOIN (
                SELECT order_id, max(sequence) AS last, count(*) AS entries FROM order_events GROUP BY order_id
            ) AS told ON told.order_id = orders.id
            WHERE told.last IS DISTINCT FROM told.entries OR told.entries IS NULL
        """,
        sentence="{missing} entries are missing in the timeline of order S-{number}",
        repair=Repair.MARK_THE_GAP,
    ),
    Law.TIMELINES_TELL_THE_STATUS: TableLaw(
        query="""
            SELECT orders.id AS subject, orders.id AS order_id, orders.number, orders.status, told.status AS told,
                   told.confirmed, told.cancelled
            FROM orders JOIN (
                SELECT order_id,
                       (array_agg(split_part(type, '.', 2) ORDER BY sequence DESC))[1] AS status,
                       count(*) FILTER (WHERE type = 'order.confirmed') AS confirmed,
                       count(*) FILTER (WHERE type = 'order.cancelled') AS cancelled
                FROM order_events
                WHERE type IN ('order.placed', 'order.confirmed', 'order.shipped', 'order.delivered', 'order.cancelled')
                GROUP BY order_id
            ) AS told ON told.order_id = orders.id
            WHERE orders.status <> CASE told.status WHEN 'placed' THEN 'pending' ELSE told.status END
               OR told.confirmed > 1 OR told.cancelled > 1
        """,
        sentence="order S-{number} is {status}, but its timeline says {told}, {confirmed} times confirmed and "
        "{cancelled} times cancelled",
    ),
    Law.CHECKOUTS_ARE_DECIDED: TableLaw(
        query="""
            SELECT checkouts.order_id AS subject, NULL::uuid AS order_id, checkouts.order_number, checkouts.cart_id,
                   checkouts.created_at
            FROM checkouts LEFT JOIN orders ON orders.id = checkouts.order_id
            WHERE NOT checkouts.is_refused AND checkouts.answer_status IS NULL AND orders.id IS NULL
              AND checkouts.created_at < now() - interval '45 minutes'
        """,
        sentence="the checkout of cart {cart_id} (S-{order_number}) was never answered, since "
        "{created_at:%Y-%m-%d %H:%M}",
        repair=Repair.CLOSE_CHECKOUT,
    ),
    Law.LETTERS_ARE_CARRIED: TableLaw(
        query="""
            SELECT 'mailbox' AS subject, NULL::uuid AS order_id, count(*) AS letters, min(asked_at) AS since
            FROM letters WHERE outcome IS NULL AND next_try_at < now() - interval '15 minutes'
            HAVING count(*) > 0
        """,
        sentence="{letters} letters wait to be carried, the oldest since {since:%Y-%m-%d %H:%M}",
        repair=Repair.CARRY_LETTERS,
    ),
    Law.EVENTS_ARE_PUBLISHED: TableLaw(
        query="""
            SELECT 'outbox' AS subject, NULL::uuid AS order_id, count(*) AS events, min(created_at) AS since
            FROM outbox
            WHERE published_at IS NULL AND created_at < now() - interval '15 minutes'
            HAVING count(*) > 0
        """,
        sentence="{events} events wait to be published, the oldest since {since:%Y-%m-%d %H:%M}",
    ),
    Law.WEBHOOKS_ARE_HANDLED: TableLaw(
        query="""
            SELECT provider || '/' || event_id AS subject, NULL::uuid AS order_id, provider, type, received_at
            FROM webhook_events
            WHERE handled_at IS NULL AND received_at < now() - interval '5 minutes'
        """,
        sentence="a webhook of {provider}, {type}, was received at {received_at:%Y-%m-%d %H:%M} and never handled",
        repair=Repair.HANDLE_WEBHOOK,
    ),
    Law.ENDPOINTS_TAKE_WHAT_THEY_ARE_SENT: TableLaw(
        query="""
            SELECT endpoint.id::text AS subject, NULL::uuid AS order_id, endpoint.url, endpoint.paused_at,
                   endpoint.pause_reason, (
                       SELECT count(*) FROM webhook_deliveries AS delivery
                       WHERE delivery.endpoint_id = endpoint.id AND delivery.status = 'waiting'
                   ) AS waiting
            FROM webhook_endpoints AS endpoint WHERE endpoint.status = 'paused'
        """,
        sentence="the webhook endpoint {url} has taken nothing since {paused_at:%Y-%m-%d %H:%M} ({pause_reason}); "
        "{waiting} events wait for it, and it is tried again by itself",
    ),
}


async def breaches_of(session: AsyncSession, law: Law, *, patience_seconds: float) -> list[Breach]:
    """All that breaks the law at this moment, at most ``MOST``."""
    told = TABLE_LAWS[law]
    wanted = {"patience": patience_seconds} if ":patience" in told.query else {}
    rows = await session.execute(text(f"{told.query} LIMIT {MOST}"), wanted)
    return [
        Breach(
            law=law,
            subject=str(row["subject"]),
            words=told.sentence.format(**_readable(row, told.amounts)),
            order_id=row["order_id"],
            repair=told.repair,
        )
        for row in rows.mappings()
    ]


def _readable(row: RowMapping, amounts: tuple[str, ...]) -> dict[str, Any]:
    return {**row, **{name: Money(int(row[name]), row["currency"]) for name in amounts}}
