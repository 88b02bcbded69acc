"""A guest's cart becomes that of the customer who signs in."""

import json
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from db import carts
from db.base import new_id
from db.carts import Cart
from domain.carts import CartCaps, MergeStrategy, merge
from domain.credit import MOST_CARDS
from domain.errors import Refusal
from domain.promotions import MOST_CODES


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """Units of the guest's that found no room; they stay where they were."""

    variant_id: UUID
    sku: str
    quantity: int


@dataclass(frozen=True, kw_only=True)
class Claimed:
    cart_id: UUID
    """The customer's one cart."""
    left_out: list[LeftOut]


async def claim(
    session: AsyncSession, cart_id: UUID, user_id: UUID, *, strategy: MergeStrategy, caps: CartCaps
) -> Claimed:
    """The guest's cart is the customer's, or its things are in the one that they have; content when that was so before.

    Refuses ``not_found`` for somebody else's cart, ``cart_completed``, ``cart_in_checkout`` and
    ``cart_currencies_differ``.
    """
    await session.execute(LOCK_CUSTOMER, {"user_id": user_id})  # of claims that come at once, one goes first
    theirs = await session.get(Cart, cart_id, with_for_update=True, populate_existing=True)
    if theirs is None or theirs.user_id not in (None, user_id):
        raise Refusal("not_found", "There is no such cart.")
    if theirs.user_id == user_id:
        return Claimed(cart_id=theirs.merged_into or theirs.id, left_out=await _left_out(session, theirs))
    guests = await carts.editable(session, cart_id)
    own_id = await newest(session, user_id)
    if own_id is None:
        guests.user_id = user_id
        return Claimed(cart_id=guests.id, left_out=[])
    own = await carts.editable(session, own_id)
    if own.currency != guests.currency:
        raise Refusal(
            "cart_currencies_differ",
            f"This cart is in {guests.currency} and yours is in {own.currency}; order or empty one of them first.",
            cart_id=str(own.id),
        )
    await _put_in(session, own, guests, strategy, caps)
    _take_over_what_was_said(own, guests, strategy)
    guests.user_id, guests.merged_into = user_id, own.id
    await session.flush()
    return Claimed(cart_id=own.id, left_out=await _left_out(session, guests))


LOCK_CUSTOMER = text("SELECT FROM users WHERE id = :user_id FOR NO KEY UPDATE")


async def newest(session: AsyncSession, user_id: UUID) -> UUID | None:
    """The customer's cart: the newest that is open."""
    open_carts = select(Cart.id).where(Cart.user_id == user_id, Cart.completed_at.is_(None), Cart.merged_into.is_(None))
    found: UUID | None = await session.scalar(open_carts.order_by(Cart.created_at.desc(), Cart.id.desc()).limit(1))
    return found


async def _put_in(session: AsyncSession, own: Cart, guests: Cart, strategy: MergeStrategy, caps: CartCaps) -> None:
    merged = merge(await _quantities(session, own.id), await _quantities(session, guests.id), strategy, caps)
    lines = [
        {"id": str(new_id()), "variant_id": str(variant), "quantity": quantity}
        for variant, quantity in merged.quantities.items()
    ]
    await session.execute(PUT_IN, {"own": own.id, "guests": guests.id, "lines": json.dumps(lines)})
    left = {str(variant): quantity for variant, quantity in merged.left_out.items()}
    for statement in (TAKE_OUT, LEAVE):
        await session.execute(statement, {"guests": guests.id, "left": json.dumps(left)})


async def _quantities(session: AsyncSession, cart_id: UUID) -> dict[UUID, int]:
    rows = await session.execute(QUANTITIES, {"cart_id": cart_id})
    return {row.variant_id: row.quantity for row in rows}


QUANTITIES = text("SELECT variant_id, quantity FROM cart_items WHERE cart_id = :cart_id ORDER BY id")

PUT_IN = text(
    """
    INSERT INTO cart_items (id, cart_id, variant_id, quantity, noted_price)
    SELECT lines.id, :own, lines.variant_id, lines.quantity, guests.noted_price
    FROM jsonb_to_recordset(CAST(:lines AS jsonb)) AS lines (id uuid, variant_id uuid, quantity int)
    LEFT JOIN cart_items AS guests ON guests.cart_id = :guests AND guests.variant_id = lines.variant_id
    ORDER BY lines.id
    ON CONFLICT ON CONSTRAINT uq_cart_items_cart_id_variant_id DO UPDATE SET quantity = excluded.quantity
    WHERE cart_items.quantity <> excluded.quantity
    """
)

TAKE_OUT = text(
    "DELETE FROM cart_items WHERE cart_id = :guests AND NOT CAST(:left AS jsonb) ? CAST(variant_id AS text)"
)

LEAVE = text(
    """
    UPDATE cart_items SET quantity = (CAST(:left AS jsonb) ->> CAST(variant_id AS text))::int WHERE cart_id = :guests
    """
)


def _take_over_what_was_said(own: Cart, guests: Cart, strategy: MergeStrategy) -> None:
    """Where it goes, how, and what it is paid with; no address stays in a cart that nobody looks into any more."""
    if guests.email is not None and (own.email is None or strategy is MergeStrategy.GUEST):
        own.reminder_consent_at = guests.reminder_consent_at
    for name in ("email", "shipping_address", "shipping_method"):
        said = getattr(guests, name)
        if said is not None and (getattr(own, name) is None or strategy is MergeStrategy.GUEST):
            setattr(own, name, said)
    first, then = (guests, own) if strategy is MergeStrategy.GUEST else (own, guests)
    own.promotion_codes = list(dict.fromkeys([*first.promotion_codes, *then.promotion_codes]))[:MOST_CODES]
    own.gift_cards = list(dict.fromkeys([*first.gift_cards, *then.gift_cards]))[:MOST_CARDS]
    guests.email = guests.shipping_address = guests.reminder_consent_at = None


async def _left_out(session: AsyncSession, merged: Cart) -> list[LeftOut]:
    if merged.merged_into is None:
        return []
    rows = await session.execute(LEFT_OUT, {"cart_id": merged.id})
    return [LeftOut(variant_id=row.variant_id, sku=row.sku, quantity=row.quantity) for row in rows]


LEFT_OUT = text(
    """
    SELECT cart_items.variant_id, variants.sku, cart_items.quantity
    FROM cart_items JOIN variants ON variants.id = cart_items.variant_id
    WHERE cart_items.cart_id = :cart_id ORDER BY cart_items.id
    """
)
