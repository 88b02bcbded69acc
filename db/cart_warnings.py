"""What became of the things in a cart since they were put in."""

import json
from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from db.baskets import PricedCart
from domain.carts import ItemNow


async def items_now(session: AsyncSession, cart: PricedCart) -> list[ItemNow]:
    """How the items of an open cart stand; none of one that is being ordered, whose goods are reserved for it."""
    if not cart.priced.lines or cart.cart["order_id"] is not None:
        return []
    unsold = {line.id for line in cart.unsold}
    rows = await session.execute(ITEMS_NOW, {"cart_id": cart.cart["id"]})
    return [ItemNow(**row, is_sold=row["id"] not in unsold) for row in rows.mappings()]


ITEMS_NOW = text(
    """
    SELECT cart_items.id, cart_items.quantity, cart_items.noted_price, coalesce((
               SELECT sum(on_hand - reserved) FROM stock WHERE stock.variant_id = cart_items.variant_id
           ), 0)::int AS available
    FROM cart_items WHERE cart_items.cart_id = :cart_id ORDER BY cart_items.id
    """
)


async def note_prices(session: AsyncSession, cart_id: UUID, prices: Mapping[UUID, int]) -> None:
    """The customer has seen what these items cost now."""
    noted = [{"id": str(item), "price": price} for item, price in prices.items()]
    await session.execute(NOTE_PRICES, {"cart_id": cart_id, "noted": json.dumps(noted)})


NOTE_PRICES = text(
    """
    UPDATE cart_items SET noted_price = noted.price
    FROM jsonb_to_recordset(CAST(:noted AS jsonb)) AS noted (id uuid, price bigint)
    WHERE cart_items.cart_id = :cart_id AND cart_items.id = noted.id
    """
)
