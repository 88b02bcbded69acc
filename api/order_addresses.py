"""Where an order goes, changed behind its checkout and ahead of its parcels."""

from uuid import UUID

from litestar import put

from api.auth import Caller
from api.carts import ShippingAddress
from api.errors import refuses
from api.orders import GuestsCart, OrderOut, visible_order
from api.stories import Stories
from db import address_changes, audit_log
from db.base import new_id
from domain.orders import ChangeAddress, OrderStatus
from domain.permissions import Permission
from runtime.resources import Resources


@put(
    "/v1/orders/{order_id:uuid}/shipping-address",
    permission=Permission.SHOP,
    others=Permission.ORDERS_FULFIL,
    tags=["Orders"],
    summary="Send an order elsewhere",
    responses=refuses("unauthenticated", "forbidden", "not_found", "address_not_changeable"),
)
async def change_address(
    order_id: UUID, data: ShippingAddress, caller: Caller, resources: Resources, stories: Stories, cart: GuestsCart
) -> OrderOut:
    """As long as nothing was shipped, and within the place by which shipping and taxes were priced.

    Country, region and postal code stay as they are. The address that the order has already changes nothing.
    """
    order = await visible_order(resources, order_id, caller, cart, needed=Permission.ORDERS_FULFIL)
    if order.status is OrderStatus.PENDING:
        raise address_changes.not_changeable(order.status)
    change_id, actor = new_id(), caller.name if caller.is_signed_in else "guest"
    async with resources.sessions.begin() as session:
        await address_changes.take_in(session, change_id, order_id, data.model_dump(), actor=actor)
        await audit_log.note(session, actor, "change_address", order_id=order_id, entry_id=change_id)
    await stories.change_address(ChangeAddress(order_id=order_id, change_id=change_id, actor=actor))
    return await visible_order(resources, order_id, caller, cart)
