"""Returns: customers send delivered goods back, operators take them in."""

from typing import Annotated, Any
from uuid import UUID

from litestar import Controller, Request, Response, post
from pydantic import Field

from api.auth import Caller, staff
from api.errors import refuses
from api.idempotency import Key, caller_key, fingerprint
from api.orders import GuestsCart, ReturnOut, visible_order
from api.schemas import Input
from api.stories import Stories
from db import returns
from db.base import new_id
from db.returns import ReturnWish, WantedReturn
from domain.errors import Refusal
from domain.orders import number_of, sequence_of
from domain.returns import DecideReturn, FollowReturn, ReceivedUnits, ReceiveReturn, ReturnStatus
from runtime.resources import Resources

Quantity = Annotated[int, Field(ge=1, strict=True)]


class ReturnedItem(Input):
    order_item_id: UUID
    quantity: Quantity
    reason: Annotated[str, Field(min_length=1, max_length=500)]


class NewReturn(Input):
    items: Annotated[list[ReturnedItem], Field(min_length=1, max_length=500)]


class ReceivedItem(Input):
    order_item_id: UUID
    quantity: Quantity
    is_resellable: bool = Field(default=True, description="`false`: damaged goods are paid back and not sold again")


class Receipt(Input):
    items: Annotated[list[ReceivedItem], Field(max_length=500)] | None = Field(
        default=None, description="What has come; all that was announced when this is left out"
    )


@post(
    "/v1/orders/{order_id:uuid}/returns",
    tags=["Orders"],
    summary="Return goods",
    responses=refuses("unauthenticated", "not_found", "units_not_returnable", "idempotency_key_reused"),
)
async def request_return(
    order_id: UUID,
    data: NewReturn,
    request: Request[Any, Any, Any],
    caller: Caller,
    resources: Resources,
    stories: Stories,
    cart: GuestsCart,
    idempotency_key: Key,
) -> Response[ReturnOut]:
    """Asks to send delivered units back; an operator approves or rejects."""
    order = await visible_order(resources, order_id, caller, cart)
    wish = ReturnWish(
        return_id=new_id(),
        order_id=order_id,
        items=wanted(data.items),
        window=resources.settings.shop.return_window,
        actor=caller.name if caller.is_signed_in else "guest",
        caller=caller_key(caller, request),
        key=idempotency_key,
        request_hash=fingerprint(data, order_id),
    )
    async with resources.sessions.begin() as session:
        made = await returns.request(session, wish)
    await stories.follow_return(
        FollowReturn(return_id=made.id, order_id=order_id, order_number=number_of(sequence_of(order.number)))
    )
    replayed = {"Idempotency-Replayed": "true"} if made.id != wish.return_id else {}
    return Response(await shown(resources, made.id, caller, cart), status_code=201, headers=replayed)


def wanted(items: list[ReturnedItem]) -> dict[UUID, WantedReturn]:
    """Units of one line that are named twice count together."""
    found: dict[UUID, WantedReturn] = {}
    for item in items:
        before = found.get(item.order_item_id)
        found[item.order_item_id] = WantedReturn(
            quantity=item.quantity + (before.quantity if before else 0),
            reason=f"{before.reason}; {item.reason}" if before else item.reason,
        )
    return found


async def shown(resources: Resources, return_id: UUID, caller: Caller, cart: UUID | None = None) -> ReturnOut:
    order = await visible_order(resources, await order_of(resources, return_id), caller, cart)
    return next(known for known in order.returns if known.id == return_id)


async def order_of(resources: Resources, return_id: UUID) -> UUID:
    async with resources.autocommit() as session:
        order_id = await returns.order_of(session, return_id)
    if order_id is None:
        raise Refusal("not_found", "There is no such return.")
    return order_id


MOVES = refuses("unauthenticated", "forbidden", "not_found", "return_transition_not_allowed")


class ReturnController(Controller):
    path = "/v1/admin/returns"
    tags = ("Operators",)
    guards = (staff,)

    @post("/{return_id:uuid}/approve", status_code=200, summary="Approve a return", responses=MOVES)
    async def approve(self, return_id: UUID, caller: Caller, resources: Resources, stories: Stories) -> ReturnOut:
        """The customer may send the goods back."""
        return await self._decide(ReturnStatus.APPROVED, return_id, caller, resources, stories)

    @post("/{return_id:uuid}/reject", status_code=200, summary="Reject a return", responses=MOVES)
    async def reject(self, return_id: UUID, caller: Caller, resources: Resources, stories: Stories) -> ReturnOut:
        """The goods stay with the customer."""
        return await self._decide(ReturnStatus.REJECTED, return_id, caller, resources, stories)

    @post(
        "/{return_id:uuid}/receive",
        status_code=200,
        summary="Take a return in",
        responses=MOVES
        | refuses("units_not_returnable", "return_transition_not_allowed", "refund_refused", "refund_not_possible_yet"),
    )
    async def receive(
        self,
        return_id: UUID,
        caller: Caller,
        resources: Resources,
        stories: Stories,
        data: Receipt | None = None,
    ) -> ReturnOut:
        """Puts resellable units back into the stock, and refunds what was paid for all that came."""
        order_id = await order_of(resources, return_id)
        request = ReceiveReturn(
            return_id=return_id,
            order_id=order_id,
            refund_id=new_id(),
            actor=caller.name,
            items=[
                ReceivedUnits(
                    order_line_id=item.order_item_id, quantity=item.quantity, is_resellable=item.is_resellable
                )
                for item in (data.items if data and data.items else [])
            ],
        )
        await stories.ask_return(return_id, "receive", request)
        return await shown(resources, return_id, caller)

    async def _decide(
        self, decision: ReturnStatus, return_id: UUID, caller: Caller, resources: Resources, stories: Stories
    ) -> ReturnOut:
        order_id = await order_of(resources, return_id)
        request = DecideReturn(return_id=return_id, order_id=order_id, decision=decision, actor=caller.name)
        update = "approve" if decision is ReturnStatus.APPROVED else "reject"
        await stories.ask_return(return_id, update, request)
        return await shown(resources, return_id, caller)
