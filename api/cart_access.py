"""Who may look into a cart and change it, and what they are answered."""

from collections.abc import Collection
from dataclasses import replace
from typing import TypeVar
from uuid import UUID

from litestar import Response
from litestar.datastructures import ResponseHeader
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth import Caller
from api.cart_schemas import CartOut, cart_out
from api.cart_warnings import warnings_about
from api.conditional import expected_versions, tagged
from api.errors import refuses
from db import baskets, cart_views, cart_warnings, carts
from db.baskets import PricedCart, WantedCart
from db.carts import Cart
from domain.errors import Refusal
from domain.permissions import Permission

CHANGE = ("unauthenticated", "not_found", "cart_merged", "cart_completed", "cart_in_checkout", "precondition_failed")
CHANGES = refuses(*CHANGE)
GROWS = refuses(*CHANGE, "cart_full")
TAG = ResponseHeader(
    name="ETag", description="The cart's version, for `If-Match`", documentation_only=True, required=False
)


def may_use(caller: Caller, owner: UUID | None) -> bool:
    """A guest's cart is open to whoever knows its id; a customer's cart to that customer and to who assists."""
    return owner is None or owner == caller.user_id or caller.may(Permission.CARTS_ASSIST)


FoundCart = TypeVar("FoundCart", PricedCart, WantedCart)


def usable(found: FoundCart | None, caller: Caller) -> FoundCart:
    """The cart as the caller may see it; refuses ``not_found`` and ``cart_merged``."""
    if found is None or not may_use(caller, found.cart["user_id"]):
        raise Refusal("not_found", "There is no such cart.")
    if found.cart["merged_into"] is not None:
        raise carts.merged(found.cart["merged_into"])
    return found


async def editable(session: AsyncSession, cart_id: UUID, caller: Caller, if_match: str | None) -> Cart:
    """Clients that send no ``If-Match`` overwrite; those that do are told when somebody else was faster."""
    exists, owner = await cart_views.owner(session, cart_id)
    if not exists or not may_use(caller, owner):
        raise Refusal("not_found", "There is no such cart.")
    return await carts.editable(session, cart_id, expected=expected_versions(if_match))


async def shown(
    session: AsyncSession, cart_id: UUID, *, status_code: int = 200, priced: Collection[UUID] | None = ()
) -> Response[CartOut]:
    """The cart after a change; of the items ``priced``, or of all, the customer sees what they cost now."""
    await session.flush()
    found = await baskets.priced(session, cart_id)
    if found is None:
        raise Refusal("not_found", "There is no such cart.")
    return tagged(await cart_in(session, found, priced=priced), status_code=status_code)


async def cart_in(session: AsyncSession, found: PricedCart, *, priced: Collection[UUID] | None = ()) -> CartOut:
    """The cart with its warnings; those about prices go when the customer is shown the new ones."""
    cart = cart_out(found)
    items = await cart_warnings.items_now(session, found)
    prices = {item.id: item.unit_price for item in cart.items}
    if seen := [item for item in items if item.is_sold and (priced is None or item.id in priced)]:
        noted = {item.id: prices[item.id].as_money().minor for item in seen}
        await cart_warnings.note_prices(session, cart.id, noted)
        items = [replace(item, noted_price=noted.get(item.id, item.noted_price)) for item in items]
    return cart.model_copy(update={"warnings": warnings_about(items, prices)})
