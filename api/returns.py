"""Returns: customers send delivered goods back, operators take them in."""

from typing import Annotated
from uuid import UUID

from litestar import Controller, Response, post
from pydantic import Field

from api.auth import Caller
from api.errors import refuses
from api.idempotency import Asked, Once
from api.orders import GuestsCart, ReturnOut, visible_order
from api.schemas import Input
from api.stories import Stories
from db import returns
from db.returns import ReturnWish, WantedReturn
from domain.errors import Refusal
from domain.orders import number_of, sequence_of
from domain.permissions import Permission
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
    permission=Permission.SHOP,
    others=Permission.RETURNS_DECIDE,
    tags=["Orders"],
    summary="Return goods",
    responses=refuses("unauthenticated", "forbidden", "not_found", "units_not_returnable", "idempotency_key_reused"),
)
async def request_return(
    order_id: UUID,
    data: NewReturn,
    caller: Caller,
    resources: Resources,
    stories: Stories,
    cart: GuestsCart,
    once: Once,
) -> Response[ReturnOut]:
    """Asks to send delivered units back; an operator approves or rejects."""
    order = await visible_order(resources, order_id, caller, cart, needed=Permission.RETURNS_DECIDE)

    async def carry_out(wish_id: UUID) -> ReturnOut:
        wish = ReturnWish(
            return_id=wish_id,
            order_id=order_id,
            items=wanted(data.items),
            term=resources.settings.shop.return_term,
            actor=caller.name if caller.is_signed_in else "guest",
        )
        async with resources.sessions.begin() as session:
            await returns.request(session, wish)
        await stories.follow_return(
            FollowReturn(return_id=wish_id, order_id=order_id, order_number=number_of(sequence_of(order.number)))
        )
        return await look(wish_id)

    async def look(wish_id: UUID) -> ReturnOut:
        return await shown(resources, wish_id, caller, cart)

    return await once.ask(Asked("return", order_id, data, cart), carry_out, status_code=201, look=look)


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


MOVES = ("unauthenticated", "forbidden", "not_found", "return_transition_not_allowed", "idempotency_key_reused")


class ReturnController(Controller):
    path = "/v1/admin/returns"
    tags = ("Operators",)

    @post(
        "/{return_id:uuid}/approve",
        permission=Permission.RETURNS_DECIDE,
        status_code=200,
        summary="Approve a return",
        responses=refuses(*MOVES),
    )
    async def approve(
        self, return_id: UUID, caller: Caller, resources: Resources, stories: Stories, once: Once
    ) -> Response[ReturnOut]:
        """The customer may send the goods back."""
        return await self._decide("approve", ReturnStatus.APPROVED, return_id, caller, resources, stories, once)

    @post(
        "/{return_id:uuid}/reject",
        permission=Permission.RETURNS_DECIDE,
        status_code=200,
        summary="Reject a return",
        responses=refuses(*MOVES),
    )
    async def reject(
        self, return_id: UUID, caller: Caller, resources: Resources, stories: Stories, once: Once
    ) -> Response[ReturnOut]:
        """The goods stay with the customer."""
        return await self._decide("reject", ReturnStatus.REJECTED, return_id, caller, resources, stories, once)

    @post(
        "/{return_id:uuid}/receive",
        permission=Permission.RETURNS_DECIDE,
        status_code=200,
        summary="Take a return in",
        responses=refuses(
            *MOVES, "units_not_returnable", "refund_refused", "refund_not_possible_yet", "payment_disputed"
        ),
    )
    async def receive(
        self,
        return_id: UUID,
        caller: Caller,
        resources: Resources,
        stories: Stories,
        once: Once,
        data: Receipt | None = None,
    ) -> Response[ReturnOut]:
        """Puts resellable units back into the stock, and refunds what was paid for all that came."""
        order_id = await order_of(resources, return_id)

        async def carry_out(wish_id: UUID) -> ReturnOut:
            request = ReceiveReturn(
                return_id=return_id,
                order_id=order_id,
                refund_id=wish_id,
                actor=caller.name,
                items=[
                    ReceivedUnits(
                        order_line_id=item.order_item_id, quantity=item.quantity, is_resellable=item.is_resellable
                    )
                    for item in (data.items if data and data.items else [])
                ],
            )
            await stories.ask_return(return_id, "receive", request, update_id=str(wish_id))
            return await look(wish_id)

        async def look(_: UUID) -> ReturnOut:
            return await shown(resources, return_id, caller)

        return await once.ask(Asked("receive", return_id, data), carry_out, look=look)

    async def _decide(
        self,
        update: str,
        decision: ReturnStatus,
        return_id: UUID,
        caller: Caller,
        resources: Resources,
        stories: Stories,
        once: Once,
    ) -> Response[ReturnOut]:
        order_id = await order_of(resources, return_id)

        async def carry_out(wish_id: UUID) -> ReturnOut:
            request = DecideReturn(return_id=return_id, order_id=order_id, decision=decision, actor=caller.name)
            await stories.ask_return(return_id, update, request, update_id=str(wish_id))
            return await look(wish_id)

        async def look(_: UUID) -> ReturnOut:
            return await shown(resources, return_id, caller)

        return await once.ask(Asked(update, return_id), carry_out, look=look)
