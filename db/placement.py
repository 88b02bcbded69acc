"""Placing an order: price it, reserve its goods, write it down. One transaction, all of it or nothing."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

from db import baskets, carts, checkouts, credit, inventory, promotions
from db.base import new_id
from db.baskets import TAX_UNAVAILABLE, PricedCart
from db.engine import Sessions
from db.orders import Order, record
from domain.credit import Tender, tender
from domain.errors import Refusal
from domain.events import amount_of
from domain.money import Money
from domain.orders import PlacedOrder, Placement, PlaceOrder, Refused, sequence_of
from domain.payments import MANUAL, NOTHING
from domain.pricing import Priced, PricedLine
from domain.promotions import Applied, Reason


async def place(session: AsyncSession, request: PlaceOrder, *, provider: str) -> PlacedOrder:
    """Write the cart as a pending order whose goods are reserved; the same order again when it was placed before.

    ``provider`` has the payments by card.

    Refuses, with nothing written: ``checkout_cancelled``, ``cart_incomplete``, ``cart_completed``,
    ``cart_in_checkout``, ``cart_merged``, ``not_sold_in_currency``, ``tax_unknown``, ``tax_unavailable``,
    ``price_changed``, ``promotion_used_up``, ``gift_card_not_usable``, ``out_of_stock``. Locks are taken in one
    order by all who place and cancel orders: stock, credit, promotions.
    """
    cart = await _cart_of(session, request)
    if cart.order_id == request.order_id:
        return await _placed_before(session, request.order_id)
    _check_may_become_an_order(cart)
    found = await _priced(session, request)
    demand = found.demand
    _check_is_expected(request, found.priced)
    await inventory.reserve(session, request.order_id, demand, hold_seconds=request.hold_seconds)
    if cart.is_refused:  # a late try: the checkout has come to nothing meanwhile, and its workflow is over
        raise Refusal("checkout_cancelled", "The checkout was cancelled; nothing was charged.")
    paid = await _paid_with(session, request, found, expected_due=cart.expected_due)
    await _write(session, request, found.priced, paid, provider=_payee(request, paid.due, provider))
    await _take_promotions(session, request.order_id, found.priced)
    await credit.spend(session, request.order_id, paid)
    return PlacedOrder(order_id=request.order_id, total=paid.due, units=sum(goods.quantity for goods in demand))


async def _paid_with(
    session: AsyncSession, request: PlaceOrder, found: PricedCart, *, expected_due: int | None
) -> Tender:
    """What pays for the order, as it is now that nobody else can spend it."""
    paid = found.tender
    if paid.shares:
        accounts = [share.purse.account_id for share in paid.shares]
        paid = tender(paid.total, await credit.locked_purses(session, request.cart_id, accounts))
    carts.check_can_pay(paid)
    if expected_due is not None and expected_due != paid.due.minor:
        raise due_changed(paid.due)
    return paid


def due_changed(due: Money) -> Refusal:
    return Refusal(
        "price_changed",
        f"There are {due} left to pay now; nothing was charged.",
        amount_due={"amount": due.amount, "currency": due.currency},
    )


def _payee(request: PlaceOrder, due: Money, cards: str) -> str:
    """Who is asked for the money."""
    if due.minor == 0:
        return NOTHING
    return MANUAL if request.is_manual else cards


async def place_or_refuse(sessions: Sessions, request: PlaceOrder, *, provider: str) -> Placement:
    """Place the order, or note that its checkout has come to nothing, so that the cart is free for another one.

    A tax provider that must be asked first is not asked here, where the cart is locked.
    """
    try:
        async with sessions.begin() as session:
            return Placement(order=await place(session, request, provider=provider))
    except Refusal as refusal:
        if refusal.code == TAX_UNAVAILABLE and not request.is_tax_provider_silent:
            return Placement(asks_for_taxes=True)
        async with sessions.begin() as session:
            await checkouts.refuse(session, request.order_id)
        return Placement(refused=Refused.because(refusal))


def no_such_cart() -> Refusal:
    return Refusal("not_found", "There is no such cart.")


def _check_is_expected(request: PlaceOrder, priced: Priced) -> None:
    """Refuses a total that the customer has not seen, and to charge in full whoever counts on a code in silence."""
    total = priced.totals.total
    if request.expected_total_minor == total.minor:
        return
    for no in priced.not_applied:
        if no.code is not None and no.reason in (Reason.USED_UP, Reason.USED_UP_BY_YOU):
            raise promotion_used_up(no.code, no.reason)
    if request.expected_total_minor is not None:
        raise price_changed(total)


async def _take_promotions(session: AsyncSession, order_id: UUID, priced: Priced) -> None:
    """Somebody else may have used them up since the cart was priced: then nothing is placed."""
    if not priced.applied:
        return
    for missed in await promotions.take(session, order_id, priced.applied):
        [applied] = [each for each in priced.applied if each.promotion.id == missed.promotion_id]
        reason = Reason.USED_UP_BY_YOU if missed.is_used_up_by_customer else Reason.USED_UP
        raise promotion_used_up(applied.code or applied.promotion.name, reason)


def promotion_used_up(what: str, reason: Reason) -> Refusal:
    return Refusal(
        "promotion_used_up", f"{what} has been used as often as it can be; nothing was charged.", reason=reason
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
        raise no_such_cart()
    return cart


LOCK_CART = text(
    """
    SELECT carts.order_id, carts.completed_at, carts.merged_into, checkouts.is_refused, checkouts.expected_due
    FROM carts JOIN checkouts ON checkouts.cart_id = carts.id
    WHERE carts.id = :cart_id AND checkouts.order_id = :order_id
    FOR UPDATE OF carts FOR SHARE OF checkouts
    """
)


async def _placed_before(session: AsyncSession, order_id: UUID) -> PlacedOrder:
    order = await session.get_one(Order, order_id)
    units = await session.scalar(text("SELECT sum(quantity) FROM order_lines WHERE order_id = :id"), {"id": order_id})
    return PlacedOrder(order_id=order.id, total=order.due, units=int(units or 0))


def _check_may_become_an_order(cart: Row[Any]) -> None:
    if cart.merged_into is not None:
        raise carts.merged(cart.merged_into)
    if cart.completed_at is not None:
        raise Refusal("cart_completed", "This cart has become an order.", order_id=str(cart.order_id))
    if cart.order_id is not None:
        raise Refusal("cart_in_checkout", "This cart is being checked out.", order_id=str(cart.order_id))


async def _priced(session: AsyncSession, request: PlaceOrder) -> PricedCart:
    """What the cart costs now that it is locked, if all of it can be ordered."""
    found = await baskets.priced(session, request.cart_id, is_tax_provider_silent=request.is_tax_provider_silent)
    if found is None:
        raise no_such_cart()
    found.check_can_be_ordered()
    return found


async def _write(session: AsyncSession, request: PlaceOrder, priced: Priced, paid: Tender, *, provider: str) -> None:
    totals, total = priced.totals, priced.totals.total
    lines = {line.line.id: _order_line(line) for line in priced.lines}
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
            "credit": paid.credit,
            "shipping_discount": priced.shipping.discount.minor,
            "shipping_tax": priced.shipping.tax.minor,
            "included_tax": priced.included_tax.minor,
            "pricing": json.dumps(_pricing(priced, lines)),
            "payment_id": request.payment_id,
            "provider": provider,
            "lines": json.dumps(list(lines.values())),
        },
    )
    await record(
        session,
        request.order_id,
        "order.placed",
        data={
            "number": request.order_number,
            "total": total.minor,
            "currency": total.currency,
            "tax_source": priced.taxes.source,
        },
        also_told=_told(priced, paid, lines),
    )


def _told(priced: Priced, paid: Tender, lines: Mapping[UUID, dict[str, Any]]) -> dict[str, Any]:
    """What other systems learn of a new order and its timeline need not repeat."""
    totals = priced.totals
    items = [
        {
            "order_item_id": lines[each.line.id]["id"],
            "variant_id": each.line.variant_id,
            "sku": each.line.sku,
            "quantity": each.line.quantity,
            "unit_price": amount_of(each.line.unit_price),
        }
        for each in priced.lines
    ]
    amounts = {name: getattr(totals, name).minor for name in ("subtotal", "discount", "shipping", "tax")}
    return {"items": items, "credit": paid.credit, **amounts}


WRITE_ORDER = text(
    """
    WITH cart AS (
        UPDATE carts SET order_id = :order_id, version = version + 1, updated_at = now() WHERE id = :cart_id
        RETURNING *
    ), placed AS (
        INSERT INTO orders (id, number, cart_id, user_id, email, currency, subtotal, discount, shipping, tax, total,
                            credit, shipping_discount, shipping_tax, included_tax, pricing, shipping_method,
                            shipping_address)
        SELECT :order_id, :number, id, user_id, email, currency, :subtotal, :discount, :shipping, :tax, :total, :credit,
               :shipping_discount, :shipping_tax, :included_tax, CAST(:pricing AS jsonb), shipping_method,
               shipping_address
        FROM cart
        RETURNING id, currency, total - credit AS due
    ), payment AS (
        INSERT INTO payments (id, order_id, provider, currency, amount)
        SELECT :payment_id, id, :provider, currency, due FROM placed
    )
    INSERT INTO order_lines (id, order_id, position, variant_id, sku, name, quantity, unit_price, line_total,
                             base_price, price_list, discount, tax, included_tax)
    SELECT lines.id, placed.id, row_number() OVER (), variant_id, sku, name, quantity, unit_price,
           unit_price * quantity, base_price, price_list, discount, tax, included_tax
    FROM placed, jsonb_to_recordset(CAST(:lines AS jsonb))
         AS lines (id uuid, variant_id uuid, sku text, name text, quantity int, unit_price bigint,
                   base_price bigint, price_list text, discount bigint, tax bigint, included_tax bigint)
    """
)


def _pricing(priced: Priced, lines: Mapping[UUID, dict[str, Any]]) -> dict[str, Any]:
    """How the amounts came about, for ever."""
    taxes = [{**asdict(tax), "percent": f"{tax.percent.normalize():f}"} for tax in priced.taxes.taxes]
    promotions_then = [_frozen(each, lines) for each in priced.applied]
    return {
        "promotions": promotions_then,
        "taxes": taxes,
        "is_tax_exempt": priced.taxes.is_exempt,
        "tax_source": priced.taxes.source,
        "tax_reference": priced.taxes.reference,
    }


def _order_line(priced: PricedLine) -> dict[str, Any]:
    return {
        "id": str(new_id()),
        "variant_id": str(priced.line.variant_id),
        "sku": priced.line.sku,
        "name": priced.line.name,
        "quantity": priced.line.quantity,
        "unit_price": priced.line.unit_price.minor,
        "base_price": priced.line.base_price.minor if priced.line.base_price else None,
        "price_list": priced.line.price_list,
        "discount": priced.discount.minor,
        "tax": priced.tax.minor,
        "included_tax": priced.included_tax.minor,
    }


def _frozen(applied: Applied, lines: Mapping[UUID, dict[str, Any]]) -> dict[str, Any]:
    """A promotion as the order keeps it for ever, whatever becomes of it; amounts are minor units."""
    return {
        "id": str(applied.promotion.id),
        "name": applied.promotion.name,
        "code": applied.code,
        "amount": applied.amount.minor,
        "shipping": applied.shipping.minor,
        "lines": [
            {"order_item_id": lines[line]["id"], "amount": amount.minor} for line, amount in applied.lines.items()
        ],
    }
