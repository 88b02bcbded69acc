"""Carts as the API shows them, priced as of now."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncSession

from db.catalog import SOLD_NAME

_CART = text(
    """
    SELECT carts.id, carts.user_id, carts.currency, carts.email, carts.shipping_address, carts.shipping_method,
           carts.version, carts.order_id, carts.completed_at, shipping_rates.amount AS shipping,
           EXISTS (
               SELECT FROM checkouts WHERE checkouts.cart_id = carts.id AND NOT checkouts.is_refused
           ) AS has_a_checkout
    FROM carts LEFT JOIN shipping_rates
      ON shipping_rates.code = carts.shipping_method AND shipping_rates.currency = carts.currency
    WHERE carts.id = :cart_id
    """
)

_ITEMS = text(
    f"""
    SELECT cart_items.id, cart_items.variant_id, variants.sku,
           {SOLD_NAME} AS name,
           cart_items.quantity, prices.amount AS unit_price
    FROM cart_items
    JOIN variants ON variants.id = cart_items.variant_id
    JOIN products ON products.id = variants.product_id
    LEFT JOIN prices ON prices.variant_id = variants.id AND prices.currency = :currency
    WHERE cart_items.cart_id = :cart_id
    ORDER BY cart_items.id
    """  # noqa: S608 (constant text)
)


@dataclass(frozen=True, slots=True)
class CartView:
    cart: RowMapping
    items: Sequence[RowMapping]


async def cart(session: AsyncSession, cart_id: UUID) -> CartView | None:
    found = (await session.execute(_CART, {"cart_id": cart_id})).mappings().one_or_none()
    if found is None:
        return None
    items = await session.execute(_ITEMS, {"cart_id": cart_id, "currency": found["currency"]})
    return CartView(found, items.mappings().all())


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
