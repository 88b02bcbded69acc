"""Where an order goes, changed behind its checkout and ahead of its parcels."""

from uuid import UUID

from litestar import Response, put

from api.auth import Caller
from api.cart_schemas import ShippingAddress
from api.conditional import IfMatch, named_versions, tagged
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
    responses=refuses("unauthenticated", "forbidden", "not_found", "address_not_changeable", "precondition_failed"),
)
async def change_address(
    order_id: UUID,
    data: ShippingAddress,
    caller: Caller,
    resources: Resources,
    stories: Stories,
    cart: GuestsCart,
    if_match: IfMatch,
) -> Response[OrderOut]:
    """As long as nothing was shipped, and within the place by which shipping and taxes were priced.

    Country, region and postal code stay as they are. The address that the order has already changes nothing.
    With `If-Match`, stale → 412: of two people who have read the same order one is refused.
    """
    order = await visible_order(resources, order_id, caller, cart, needed=Permission.ORDERS_FULFIL)
    if order.status is OrderStatus.PENDING:
        raise address_changes.not_changeable(order.status)
    change_id, actor = new_id(), caller.name if caller.is_signed_in else "guest"
    async with resources.sessions.begin() as session:
        await address_changes.take_in(session, change_id, order_id, data.model_dump(), actor=actor)
        await audit_log.note(session, actor, "change_address", order_id=order_id, entry_id=change_id)
    await stories.change_address(
        ChangeAddress(order_id=order_id, change_id=change_id, actor=actor, expected=named_versions(if_match))
    )
    return tagged(await visible_order(resources, order_id, caller, cart))
