"""Placing an order: price it, reserve its goods, write it down. One transaction, all of it or nothing."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

from db import carts, checkouts, inventory
from db.base import new_id
from db.catalog import IS_IN_THE_SHOP, SOLD_NAME
from db.engine import Sessions
from db.inventory import Demand
from db.orders import Order, record
from domain.errors import Refusal
from domain.money import Money
from domain.orders import PlacedOrder, Placement, PlaceOrder, Refused, sequence_of
from domain.payments import MANUAL
from domain.pricing import Totals, totals_of


@dataclass(frozen=True, slots=True)
class PricedLine:
    """A cart line as the catalogue prices it at this moment; what the order will keep for ever."""

    variant_id: UUID
    sku: str
    name: str
    quantity: int
    unit_price: int | None
    """``None`` when the variant is not sold in the cart's currency."""
    is_sold: bool


async def place(session: AsyncSession, request: PlaceOrder, *, provider: str) -> PlacedOrder:
    """Write the cart as a pending order whose goods are reserved; the same order again when it was placed before.

    ``provider`` has the payments by card.

    Refuses, with nothing written: ``checkout_cancelled``, ``cart_incomplete``, ``cart_completed``,
    ``cart_in_checkout``, ``cart_merged``, ``not_sold_in_currency``, ``price_changed``, ``out_of_stock``.
    """
    cart = await _cart_of(session, request)
    if cart.order_id == request.order_id:
        return await _placed_before(session, request.order_id)
    _check_may_become_an_order(cart)
    lines = await priced_lines(session, cart.id, cart.currency)
    totals = _totals(cart, lines)
    if request.expected_total_minor is not None and request.expected_total_minor != totals.total.minor:
        raise price_changed(totals.total)
    await inventory.reserve(session, request.order_id, _demand(lines), hold_seconds=request.hold_seconds)
    if cart.is_refused:  # a late try: the checkout has come to nothing meanwhile, and its workflow is over
        raise Refusal("checkout_cancelled", "The checkout was cancelled; nothing was charged.")
    await _write(session, request, lines, totals, provider=MANUAL if request.is_manual else provider)
    return PlacedOrder(order_id=request.order_id, total=totals.total, units=sum(line.quantity for line in lines))


async def place_or_refuse(sessions: Sessions, request: PlaceOrder, *, provider: str) -> Placement:
    """Place the order, or note that its checkout has come to nothing, so that the cart is free for another one."""
    try:
        async with sessions.begin() as session:
            return Placement(order=await place(session, request, provider=provider))
    except Refusal as refusal:
        async with sessions.begin() as session:
            await checkouts.refuse(session, request.order_id)
        return Placement(refused=Refused.because(refusal))


def _demand(lines: Sequence[PricedLine]) -> list[Demand]:
    demand = Counter[tuple[UUID, str]]()
    for line in lines:
        demand[line.variant_id, line.sku] += line.quantity
    return [Demand(variant, sku, quantity) for (variant, sku), quantity in sorted(demand.items())]


async def priced_lines(session: AsyncSession, cart_id: UUID, currency: str) -> list[PricedLine]:
    rows = await session.execute(PRICED_LINES, {"cart_id": cart_id, "currency": currency})
    return [PricedLine(*row) for row in rows]


PRICED_LINES = text(
    f"""
    SELECT variants.id, variants.sku,
           {SOLD_NAME},
           cart_items.quantity, prices.amount, {IS_IN_THE_SHOP}
    FROM cart_items
    JOIN variants ON variants.id = cart_items.variant_id
    JOIN products ON products.id = variants.product_id
    LEFT JOIN prices ON prices.variant_id = variants.id AND prices.currency = :currency
    WHERE cart_items.cart_id = :cart_id
    ORDER BY cart_items.id
    """  # noqa: S608 (constant text)
)


def price_changed(total: Money) -> Refusal:
    return Refusal(
        "price_changed",
        f"The total is now {total}; nothing was charged.",
        total={"amount": total.amount, "currency": total.currency},
    )


async def _cart_of(session: AsyncSession, request: PlaceOrder) -> Row[Any]:
    wanted = {"cart_id": request.cart_id, "order_id": request.order_id}
    cart = (await session.execute(LOCK_CART, wanted)).one_or_none()
    if cart is None:
        raise Refusal("not_found", "There is no such cart.")
    return cart


LOCK_CART = text(
    """
    SELECT carts.id, carts.currency, carts.email, carts.order_id, carts.completed_at, carts.merged_into,
           carts.shipping_address, carts.shipping_method, checkouts.is_refused, (
               SELECT amount FROM shipping_rates JOIN shipping_methods USING (code)
               WHERE code = carts.shipping_method AND currency = carts.currency AND is_active
           ) AS shipping
    FROM carts JOIN checkouts ON checkouts.cart_id = carts.id
    WHERE carts.id = :cart_id AND checkouts.order_id = :order_id
    FOR UPDATE OF carts FOR SHARE OF checkouts
    """
)


async def _placed_before(session: AsyncSession, order_id: UUID) -> PlacedOrder:
    order = await session.get_one(Order, order_id)
    units = await session.scalar(text("SELECT sum(quantity) FROM order_lines WHERE order_id = :id"), {"id": order_id})
    return PlacedOrder(order_id=order.id, total=Money(order.total, order.currency), units=int(units or 0))


def _check_may_become_an_order(cart: Row[Any]) -> None:
    if cart.merged_into is not None:
        raise carts.merged(cart.merged_into)
    if cart.completed_at is not None:
        raise Refusal("cart_completed", "This cart has become an order.", order_id=str(cart.order_id))
    if cart.order_id is not None:
        raise Refusal("cart_in_checkout", "This cart is being checked out.", order_id=str(cart.order_id))
    missing = [
        {"pointer": f"/{name}", "detail": "is needed before the cart can be ordered"}
        for name in ("email", "shipping_address", "shipping_method")
        if getattr(cart, name) is None
    ]
    if missing:
        raise Refusal("cart_incomplete", "The cart lacks something that an order needs.", errors=missing)


def _totals(cart: Row[Any], lines: Sequence[PricedLine]) -> Totals:
    if not lines:
        empty = {"pointer": "/items", "detail": "the cart is empty"}
        raise Refusal("cart_incomplete", "The cart is empty.", errors=[empty])
    unsold = [line for line in lines if line.unit_price is None or not line.is_sold]
    if unsold:
        raise Refusal(
            "not_sold_in_currency",
            "Some items are not sold any more, or not in this currency.",
            items=[{"variant_id": str(line.variant_id), "sku": line.sku} for line in unsold],
        )
    if cart.shipping is None:
        gone = {"pointer": "/shipping_method", "detail": "is not offered any more"}
        raise Refusal("cart_incomplete", "The chosen shipping method is not offered any more.", errors=[gone])
    return totals_of(
        [(Money(line.unit_price or 0, cart.currency), line.quantity) for line in lines],
        shipping=Money(cart.shipping, cart.currency),
    )


async def _write(
    session: AsyncSession, request: PlaceOrder, lines: Sequence[PricedLine], totals: Totals, *, provider: str
) -> None:
    total = totals.total
    await session.execute(
        WRITE_ORDER,
        {
            "order_id": request.order_id,
            "number": sequence_of(request.order_number),
            "cart_id": request.cart_id,
            "subtotal": totals.subtotal.minor,
            "discount": totals.discount.minor,
            "shipping": totals.shipping.minor,
            "tax": totals.tax.minor,
            "total": total.minor,
            "payment_id": request.payment_id,
            "provider": provider,
            "lines": json.dumps([_order_line(line) for line in lines]),
        },
    )
    await record(
        session,
        request.order_id,
        "order.placed",
        data={"number": request.order_number, "total": total.minor, "currency": total.currency},
    )


WRITE_ORDER = text(
    """
    WITH cart AS (
        UPDATE carts SET order_id = :order_id, version = version + 1, updated_at = now() WHERE id = :cart_id
        RETURNING *
    ), placed AS (
        INSERT INTO orders (id, number, cart_id, user_id, email, currency, subtotal, discount, shipping, tax, total,
                            shipping_method, shipping_address)
        SELECT :order_id, :number, id, user_id, email, currency, :subtotal, :discount, :shipping, :tax, :total,
               shipping_method, shipping_address
        FROM cart
        RETURNING id, currency, total
    ), payment AS (
        INSERT INTO payments (id, order_id, provider, currency, amount)
        SELECT :payment_id, id, :provider, currency, total FROM placed
    )
    INSERT INTO order_lines (id, order_id, position, variant_id, sku, name, quantity, unit_price, line_total)
    SELECT lines.id, placed.id, row_number() OVER (), variant_id, sku, name, quantity, unit_price,
           unit_price * quantity
    FROM placed, jsonb_to_recordset(CAST(:lines AS jsonb))
         AS lines (id uuid, variant_id uuid, sku text, name text, quantity int, unit_price bigint)
    """
)


def _order_line(line: PricedLine) -> dict[str, Any]:
    return {
        "id": str(new_id()),
        "variant_id": str(line.variant_id),
        "sku": line.sku,
        "name": line.name,
        "quantity": line.quantity,
        "unit_price": line.unit_price,
    }
