"""Carts as the API shows them, priced as of now."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncSession

from db.catalog import SOLD_NAME


@dataclass(frozen=True, slots=True)
class CartView:
    cart: RowMapping
    items: Sequence[Mapping[str, Any]]


async def cart(session: AsyncSession, cart_id: UUID) -> CartView | None:
    """One statement, since every checkout begins with it, also of those who come in vain."""
    rows = (await session.execute(CART, {"cart_id": cart_id})).mappings().all()
    if not rows:
        return None
    items = [{"id": row["item_id"], **{name: row[name] for name in OF_ITEMS}} for row in rows if row["item_id"]]
    return CartView(rows[0], items)


OF_ITEMS = ("variant_id", "sku", "name", "quantity", "unit_price")

CART = text(
    f"""
    SELECT carts.id, carts.user_id, carts.currency, carts.email, carts.shipping_address, carts.shipping_method,
           carts.version, carts.order_id, carts.completed_at, carts.merged_into, shipping_rates.amount AS shipping,
           EXISTS (
               SELECT FROM checkouts WHERE checkouts.cart_id = carts.id AND NOT checkouts.is_refused
           ) AS has_a_checkout,
           cart_items.id AS item_id, cart_items.variant_id, variants.sku, {SOLD_NAME} AS name, cart_items.quantity,
           prices.amount AS unit_price
    FROM carts
    LEFT JOIN shipping_rates
      ON shipping_rates.code = carts.shipping_method AND shipping_rates.currency = carts.currency
    LEFT JOIN (
        cart_items
        JOIN variants ON variants.id = cart_items.variant_id
        JOIN products ON products.id = variants.product_id
    ) ON cart_items.cart_id = carts.id
    LEFT JOIN prices ON prices.variant_id = variants.id AND prices.currency = carts.currency
    WHERE carts.id = :cart_id
    ORDER BY cart_items.id
    """  # noqa: S608 (constant text)
)


async def shipping_options(session: AsyncSession, currency: str) -> Sequence[RowMapping]:
    found = await session.execute(
        text(
            """
            SELECT code, name, amount, estimated_days FROM shipping_methods JOIN shipping_rates USING (code)
            WHERE currency = :currency AND is_active ORDER BY position, code
            """
        ),
        {"currency": currency},
    )
    return found.mappings().all()


async def owner(session: AsyncSession, cart_id: UUID) -> tuple[bool, UUID | None]:
    """Whether the cart exists, and whose it is; ``None`` for a guest's."""
    found = (await session.execute(text("SELECT user_id FROM carts WHERE id = :id"), {"id": cart_id})).one_or_none()
    return found is not None, found.user_id if found else None
