"""What operators do with orders: find them, ship them."""

from typing import Annotated, Any
from uuid import UUID

from litestar import Controller, get, post
from litestar.params import Parameter
from pydantic import Field

from api.auth import Caller, staff
from api.errors import refuses
from api.orders import FulfillmentOut, OrderOut, OrderPage, page_of_orders, visible_order
from api.paging import Cursor, Limit
from api.schemas import Input
from api.stories import Stories
from db import order_views
from db.base import new_id
from domain.errors import Refusal
from domain.orders import OrderStatus, check_move
from domain.payments import PaymentStatus
from domain.shipping import MoveParcel, PlannedShipment, PlanShipment, ShipmentState, ShipParcel, Units
from runtime.resources import Resources


class UnitsIn(Input):
    order_item_id: UUID
    quantity: Annotated[int, Field(ge=1, strict=True)]


class NewFulfillment(Input):
    items: Annotated[list[UnitsIn], Field(min_length=1, max_length=500)] | None = Field(
        default=None, description="Which units the parcel carries; all that wait when this is left out"
    )


class Shipping(Input):
    carrier: Annotated[str, Field(min_length=1, max_length=100)]
    tracking_number: Annotated[str, Field(min_length=1, max_length=100)]


DENIED = ("unauthenticated", "forbidden")
MOVES = refuses(*DENIED, "not_found", "order_transition_not_allowed")


class OperatorController(Controller):
    path = "/v1/admin"
    tags = ("Operators",)
    guards = (staff,)

    @get("/orders", summary="Find orders", responses=refuses(*DENIED))
    async def list_orders(
        self,
        resources: Resources,
        limit: Limit,
        cursor: Cursor,
        status: OrderStatus | None = None,
        payment_status: PaymentStatus | None = None,
        needs_attention: bool | None = None,
        customer: UUID | None = None,
        q: Annotated[str | None, Parameter(max_length=254, description="An order number or an e-mail address")] = None,
    ) -> OrderPage:
        """All orders, newest first, narrowed by status, customer, number or e-mail address."""
        wanted = {
            "status": status,
            "payment_status": payment_status,
            "needs_attention": needs_attention,
            "user_id": customer,
            **searched(q),
        }
        filters = {name: value for name, value in wanted.items() if value is not None}
        return await page_of_orders(resources, limit, cursor, filters)

    @post(
        "/orders/{order_id:uuid}/fulfillments",
        summary="Pack a parcel",
        responses=refuses(*DENIED, "not_found", "order_transition_not_allowed", "units_not_available"),
    )
    async def create_fulfillment(
        self, order_id: UUID, data: NewFulfillment, caller: Caller, resources: Resources, stories: Stories
    ) -> FulfillmentOut:
        """Puts units of a confirmed order into a parcel that can be shipped."""
        order = await visible_order(resources, order_id, caller)
        check_move(order.status, OrderStatus.SHIPPED)  # an unpaid order's workflow does not know of parcels
        planned = await stories.ask(
            order_id,
            "plan_shipment",
            PlanShipment(
                order_id=order_id,
                fulfillment_id=new_id(),
                actor=caller.name,
                items=summed(data.items) if data.items is not None else None,
            ),
            result_type=PlannedShipment,
        )
        return await shown(resources, order_id, planned.fulfillment_id, caller)

    @post(
        "/fulfillments/{fulfillment_id:uuid}/ship",
        status_code=200,
        summary="Ship a parcel",
        responses=refuses(*DENIED, "not_found", "order_transition_not_allowed", "capture_refused"),
    )
    async def ship(
        self, fulfillment_id: UUID, data: Shipping, caller: Caller, resources: Resources, stories: Stories
    ) -> FulfillmentOut:
        """Captures the payment for what the parcel carries, then sends it off."""
        order_id = await order_of(resources, fulfillment_id)
        request = ShipParcel(
            order_id=order_id,
            fulfillment_id=fulfillment_id,
            carrier=data.carrier,
            tracking_number=data.tracking_number,
            actor=caller.name,
        )
        await stories.ask(order_id, "ship", request, result_type=ShipmentState)
        return await shown(resources, order_id, fulfillment_id, caller)

    @post("/fulfillments/{fulfillment_id:uuid}/deliver", status_code=200, summary="Note a delivery", responses=MOVES)
    async def deliver(
        self, fulfillment_id: UUID, caller: Caller, resources: Resources, stories: Stories
    ) -> FulfillmentOut:
        """The parcel arrived; with the last one the order is delivered."""
        return await self._move("deliver", fulfillment_id, caller, resources, stories)

    @post("/fulfillments/{fulfillment_id:uuid}/cancel", status_code=200, summary="Unpack a parcel", responses=MOVES)
    async def cancel(
        self, fulfillment_id: UUID, caller: Caller, resources: Resources, stories: Stories
    ) -> FulfillmentOut:
        """A parcel that has not left is dissolved; its units wait for another one."""
        return await self._move("cancel_shipment", fulfillment_id, caller, resources, stories)

    async def _move(
        self, update: str, fulfillment_id: UUID, caller: Caller, resources: Resources, stories: Stories
    ) -> FulfillmentOut:
        order_id = await order_of(resources, fulfillment_id)
        request = MoveParcel(order_id=order_id, fulfillment_id=fulfillment_id, actor=caller.name)
        await stories.ask(order_id, update, request, result_type=ShipmentState)
        return await shown(resources, order_id, fulfillment_id, caller)


def searched(q: str | None) -> dict[str, Any]:
    if q is None:
        return {}
    digits = q.strip().upper().removeprefix("S-")
    return {"number": int(digits)} if digits.isdecimal() and len(digits) < 18 else {"email": q.strip()}


def summed(items: list[UnitsIn]) -> list[Units]:
    """Units of one line that are named twice count together."""
    quantities: dict[UUID, int] = {}
    for item in items:
        quantities[item.order_item_id] = quantities.get(item.order_item_id, 0) + item.quantity
    return [Units(order_line_id=line, quantity=quantity) for line, quantity in quantities.items()]


async def order_of(resources: Resources, fulfillment_id: UUID) -> UUID:
    async with resources.autocommit() as session:
        order_id = await order_views.order_of_fulfillment(session, fulfillment_id)
    if order_id is None:
        raise Refusal("not_found", "There is no such fulfillment.")
    return order_id


async def shown(resources: Resources, order_id: UUID, fulfillment_id: UUID, caller: Caller) -> FulfillmentOut:
    order: OrderOut = await visible_order(resources, order_id, caller)
    return next(parcel for parcel in order.fulfillments if parcel.id == fulfillment_id)
