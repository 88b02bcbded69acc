"""What operators do with orders: find them, ship them."""

from datetime import datetime
from operator import itemgetter
from typing import Annotated, Any
from uuid import UUID

from litestar import Controller, Response, get, post
from litestar.params import Parameter
from pydantic import Field

from api.auth import Caller
from api.conditional import IfMatch, named_versions
from api.errors import refuses
from api.explain import ExplanationOut, HoldOut, decisions, explained
from api.idempotency import Asked, Once
from api.orders import FulfillmentOut, OrderOut, OrderPage, UnitsIn, page_of_orders, summed, visible_order, with_tag
from api.paging import Cursor, Limit, cursor_behind, id_in_cursor
from api.schemas import Input, Output
from api.stories import Stories, update_id
from db import audit_log, concerns, deadlines, disputes, order_views, orders, returns
from db.audit_log import AuditEntry
from domain.attention import Concern, Decision
from domain.errors import Refusal
from domain.orders import (
    OrderAttention,
    OrderState,
    OrderStatus,
    PendingStep,
    Resolve,
    allowed_moves,
    check_move,
)
from domain.payments import PaymentStatus
from domain.permissions import Permission
from domain.returns import SettleReturn
from domain.shipping import (
    FulfillmentStatus,
    GiveUpParcel,
    HoldOrder,
    MoveParcel,
    OrderHold,
    PlannedShipment,
    PlanShipment,
    ReleaseOrder,
    Remedy,
    ShipmentState,
    ShipParcel,
    Undelivered,
)
from runtime.resources import Resources


class NewFulfillment(Input):
    items: Annotated[list[UnitsIn], Field(min_length=1, max_length=500)] | None = Field(
        default=None, description="Which units the parcel carries; all that wait when this is left out"
    )


class Shipping(Input):
    carrier: Annotated[str, Field(min_length=1, max_length=100)]
    tracking_number: Annotated[str, Field(min_length=1, max_length=100)]


class AuditEntryOut(Output):
    id: UUID
    at: datetime
    actor: str
    action: str
    order_id: UUID | None
    note: str | None


class AuditPage(Output):
    items: list[AuditEntryOut]
    next_cursor: str | None


class Resolution(Input):
    decision: Decision
    note: Annotated[str, Field(min_length=1, max_length=500, description="Why; it is kept in the audit log")]


class Loss(Input):
    remedy: Remedy = Field(description="`reship`: send the units again; `refund`: give back what was paid for them")


class Holding(Input):
    reason: Annotated[str, Field(min_length=1, max_length=500, description="It is kept in the audit log")]


class ComeBack(Loss):
    is_resellable: bool = Field(default=True, description="`false`: damaged goods do not go back into the stock")


DENIED = ("unauthenticated", "forbidden")
MOVES = (*DENIED, "not_found", "order_transition_not_allowed", "idempotency_key_reused")
GIVE_UP = refuses(*MOVES, "out_of_stock", "refund_not_possible_yet", "payment_disputed")


class OperatorController(Controller):
    path = "/v1/admin"
    tags = ("Operators",)

    @get("/orders", permission=Permission.ORDERS_READ, summary="Find orders", responses=refuses(*DENIED))
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

    @get("/audit", permission=Permission.AUDIT_READ, summary="Read the audit log", responses=refuses(*DENIED))
    async def audit(
        self,
        resources: Resources,
        limit: Limit,
        cursor: Cursor,
        order: Annotated[UUID | None, Parameter(description="Only what was asked of this order")] = None,
        actor: Annotated[str | None, Parameter(max_length=100, description="Such as `operator:<id>`")] = None,
    ) -> AuditPage:
        """Who asked for what, and why, newest first."""
        async with resources.autocommit() as session:
            rows = await audit_log.entries(
                session, limit=limit + 1, before=id_in_cursor(cursor), order_id=order, actor=actor
            )
        more = cursor_behind(rows, limit, itemgetter("id"))
        return AuditPage.model_validate({"items": rows[:limit], "next_cursor": more})

    @post(
        "/orders/{order_id:uuid}/fulfillments",
        permission=Permission.ORDERS_FULFIL,
        summary="Pack a parcel",
        responses=refuses(*MOVES, "units_not_available"),
    )
    async def create_fulfillment(
        self,
        order_id: UUID,
        data: NewFulfillment,
        caller: Caller,
        resources: Resources,
        stories: Stories,
        once: Once,
    ) -> Response[FulfillmentOut]:
        """Puts units of a confirmed order into a parcel that can be shipped."""
        await visible_order(resources, order_id, caller)

        async def carry_out(wish_id: UUID) -> FulfillmentOut:
            order = await visible_order(resources, order_id, caller)
            if packed := next((parcel for parcel in order.fulfillments if parcel.id == wish_id), None):
                return packed
            check_move(order.status, OrderStatus.SHIPPED)  # an unpaid order's workflow does not know of parcels
            await noted(resources, caller, "pack", order_id, wish_id)
            request = PlanShipment(
                order_id=order_id,
                fulfillment_id=wish_id,
                actor=caller.name,
                items=summed(data.items) if data.items is not None else None,
            )
            await stories.ask(order_id, "plan_shipment", request, result_type=PlannedShipment, update_id=str(wish_id))
            return await shown(resources, order_id, wish_id, caller)

        return await once.ask(Asked("pack", order_id, data), carry_out, status_code=201)

    @post(
        "/fulfillments/{fulfillment_id:uuid}/ship",
        permission=Permission.ORDERS_FULFIL,
        status_code=200,
        summary="Ship a parcel",
        responses=refuses(*MOVES, "capture_refused", "order_held"),
    )
    async def ship(
        self,
        fulfillment_id: UUID,
        data: Shipping,
        caller: Caller,
        resources: Resources,
        stories: Stories,
        once: Once,
    ) -> Response[FulfillmentOut]:
        """Captures the payment for what the parcel carries, then sends it off."""
        order_id = await order_of(resources, fulfillment_id)
        request = ShipParcel(
            order_id=order_id,
            fulfillment_id=fulfillment_id,
            carrier=data.carrier,
            tracking_number=data.tracking_number,
            actor=caller.name,
        )

        async def carry_out(wish_id: UUID) -> FulfillmentOut:
            await noted(resources, caller, "ship", order_id, wish_id)
            try:
                await stories.ask(order_id, "ship", request, result_type=ShipmentState, update_id=str(wish_id))
            except Refusal as refusal:
                told = await with_its_reason(refusal, resources, order_id)
                return await done_before(told, resources, order_id, fulfillment_id, caller, SENT)
            return await shown(resources, order_id, fulfillment_id, caller)

        return await once.ask(Asked("ship", fulfillment_id, data), carry_out)

    @post(
        "/orders/{order_id:uuid}/hold",
        permission=Permission.ORDERS_FULFIL,
        status_code=200,
        summary="Hold an order",
        responses=refuses(*MOVES, "precondition_failed"),
    )
    async def hold(
        self,
        order_id: UUID,
        data: Holding,
        caller: Caller,
        resources: Resources,
        stories: Stories,
        once: Once,
        if_match: IfMatch,
    ) -> Response[OrderOut]:
        """Nothing of it leaves until it is released, and nobody is called meanwhile because it waits.

        It can still be packed, and cancelled. A card's authorisation lapses in its own time: that is still told.
        With `If-Match`, stale → 412.
        """
        await visible_order(resources, order_id, caller)

        async def carry_out(wish_id: UUID) -> OrderOut:
            order = await visible_order(resources, order_id, caller)
            if order.is_held and if_match is None:
                return order
            check_can_be_held(order)
            await noted(resources, caller, "hold", order_id, wish_id, words=data.reason)
            request = HoldOrder(
                order_id=order_id, actor=caller.name, note_id=wish_id, expected=named_versions(if_match)
            )
            name = update_id(wish_id, request.expected)
            await stories.ask(order_id, "hold", request, result_type=OrderHold, update_id=name)
            return await visible_order(resources, order_id, caller)

        return with_tag(await once.ask(Asked("hold", order_id, data), carry_out))

    @post(
        "/orders/{order_id:uuid}/release",
        permission=Permission.ORDERS_FULFIL,
        status_code=200,
        summary="Release a held order",
        responses=refuses(*MOVES, "precondition_failed"),
    )
    async def release(
        self,
        order_id: UUID,
        caller: Caller,
        resources: Resources,
        stories: Stories,
        once: Once,
        if_match: IfMatch,
    ) -> Response[OrderOut]:
        """It goes on; whoever has to pack or ship it has the whole time for that again.

        With `If-Match`, stale → 412.
        """
        await visible_order(resources, order_id, caller)

        async def carry_out(wish_id: UUID) -> OrderOut:
            order = await visible_order(resources, order_id, caller)
            if order.is_held or if_match is not None:
                await noted(resources, caller, "release", order_id, wish_id)
                request = ReleaseOrder(order_id=order_id, actor=caller.name, expected=named_versions(if_match))
                name = update_id(wish_id, request.expected)
                await stories.ask(order_id, "release", request, result_type=OrderHold, update_id=name)
            return await visible_order(resources, order_id, caller)

        return with_tag(await once.ask(Asked("release", order_id), carry_out))

    @post(
        "/orders/{order_id:uuid}/resolve",
        permission=Permission.ORDERS_RESOLVE,
        status_code=200,
        summary="Answer an order that waits for a person",
        responses=refuses(
            *MOVES,
            "nothing_to_resolve",
            "capture_refused",
            "order_not_cancellable",
            "return_transition_not_allowed",
        ),
    )
    async def resolve(
        self, order_id: UUID, data: Resolution, caller: Caller, resources: Resources, stories: Stories, once: Once
    ) -> Response[OrderOut]:
        """`retry` what failed, `skip` it, or `cancel` the order; 409 names the decisions that are allowed now.

        To `skip` the bank transfer that a pending order waits for confirms the order without its money: the goods may
        leave, and the transfer can still be noted when it comes. To `skip` a lost dispute notes that somebody knows; to
        `skip` a refund that the provider refuses, that it is seen to in another way.
        """
        await visible_order(resources, order_id, caller)

        async def carry_out(wish_id: UUID) -> OrderOut:
            if data.decision is Decision.SKIP and await is_seen_to(
                resources, stories, caller, order_id, wish_id, data.note
            ):
                return await look(wish_id)
            order = await visible_order(resources, order_id, caller)
            is_told = any(concern.concern not in OUTSIDE_OF_ITS_STORY for concern in order.concerns)
            is_told = is_told or order.pending_step is PendingStep.TRANSFER_AWAITED
            if not is_told and not await is_noted(resources, wish_id):
                detail = "The order does not wait for such a decision of a person."
                raise Refusal("nothing_to_resolve", detail, allowed=decisions(order))
            await noted(resources, caller, f"resolve:{data.decision}", order_id, wish_id, words=data.note)
            request = Resolve(decision=data.decision, actor=caller.name, note_id=wish_id)
            await stories.ask(order_id, "resolve", request, result_type=OrderState, update_id=str(wish_id))
            return await look(wish_id)

        async def look(_: UUID) -> OrderOut:
            return await visible_order(resources, order_id, caller)

        return await once.ask(Asked("resolve", order_id, data), carry_out, look=look)

    @get(
        "/orders/{order_id:uuid}/explain",
        permission=Permission.ORDERS_READ,
        summary="Explain an order",
        responses=refuses(*DENIED, "not_found"),
    )
    async def explain(self, order_id: UUID, caller: Caller, resources: Resources, stories: Stories) -> ExplanationOut:
        """What the order waits for, since when, what was tried and failed, and what a person can decide."""
        order = await visible_order(resources, order_id, caller)
        async with resources.autocommit() as session:
            waits = await deadlines.waits(session, order_id)
            hold = await order_views.hold(session, order_id) if order.is_held else None
        return explained(
            order, await stories.inside(order_id), waits, HoldOut.model_validate(dict(hold)) if hold else None
        )

    @post(
        "/fulfillments/{fulfillment_id:uuid}/deliver",
        permission=Permission.ORDERS_FULFIL,
        status_code=200,
        summary="Note a delivery",
        responses=refuses(*MOVES),
    )
    async def deliver(
        self, fulfillment_id: UUID, caller: Caller, resources: Resources, stories: Stories, once: Once
    ) -> Response[FulfillmentOut]:
        """The parcel arrived; with the last one the order is delivered."""
        wanted = FulfillmentStatus.DELIVERED
        return await self._move("deliver", wanted, fulfillment_id, caller, resources, stories, once)

    @post(
        "/fulfillments/{fulfillment_id:uuid}/lost",
        permission=Permission.ORDERS_FULFIL,
        status_code=200,
        summary="Give up a lost parcel",
        responses=GIVE_UP,
    )
    async def lost(
        self, fulfillment_id: UUID, data: Loss, caller: Caller, resources: Resources, stories: Stories, once: Once
    ) -> Response[FulfillmentOut]:
        """It will not arrive: its units are packed again, at no charge, or what was paid for them is refunded."""
        return await self._give_up(Undelivered.LOST, fulfillment_id, data, caller, resources, stories, once)

    @post(
        "/fulfillments/{fulfillment_id:uuid}/returned-to-sender",
        permission=Permission.ORDERS_FULFIL,
        status_code=200,
        summary="Take a parcel back that could not be delivered",
        responses=GIVE_UP,
    )
    async def returned_to_sender(
        self,
        fulfillment_id: UUID,
        data: ComeBack,
        caller: Caller,
        resources: Resources,
        stories: Stories,
        once: Once,
    ) -> Response[FulfillmentOut]:
        """It is here again: resellable units go back into the stock; then as with a lost parcel."""
        return await self._give_up(
            Undelivered.RETURNED_TO_SENDER,
            fulfillment_id,
            data,
            caller,
            resources,
            stories,
            once,
            is_resellable=data.is_resellable,
        )

    async def _give_up(
        self,
        why: Undelivered,
        fulfillment_id: UUID,
        data: Loss,
        caller: Caller,
        resources: Resources,
        stories: Stories,
        once: Once,
        *,
        is_resellable: bool = False,
    ) -> Response[FulfillmentOut]:
        order_id = await order_of(resources, fulfillment_id)

        async def carry_out(wish_id: UUID) -> FulfillmentOut:
            request = GiveUpParcel(
                order_id=order_id,
                fulfillment_id=fulfillment_id,
                why=why,
                remedy=data.remedy,
                is_resellable=is_resellable,
                replacement_id=wish_id,
                refund_id=wish_id,
                actor=caller.name,
            )
            await noted(resources, caller, f"{why}:{data.remedy}", order_id, wish_id)
            try:
                await stories.ask(
                    order_id, "give_up_parcel", request, result_type=ShipmentState, update_id=str(wish_id)
                )
            except Refusal as refusal:
                parcel = await shown(resources, order_id, fulfillment_id, caller)
                if (parcel.undelivered, parcel.remedy) != (why, data.remedy):
                    raise refusal from None
                return parcel
            return await shown(resources, order_id, fulfillment_id, caller)

        return await once.ask(Asked(str(why), fulfillment_id, data), carry_out)

    @post(
        "/fulfillments/{fulfillment_id:uuid}/cancel",
        permission=Permission.ORDERS_FULFIL,
        status_code=200,
        summary="Unpack a parcel",
        responses=refuses(*MOVES),
    )
    async def cancel(
        self, fulfillment_id: UUID, caller: Caller, resources: Resources, stories: Stories, once: Once
    ) -> Response[FulfillmentOut]:
        """A parcel that has not left is dissolved; its units wait for another one."""
        wanted = FulfillmentStatus.CANCELLED
        return await self._move("cancel_shipment", wanted, fulfillment_id, caller, resources, stories, once)

    async def _move(
        self,
        update: str,
        wanted: FulfillmentStatus,
        fulfillment_id: UUID,
        caller: Caller,
        resources: Resources,
        stories: Stories,
        once: Once,
    ) -> Response[FulfillmentOut]:
        order_id = await order_of(resources, fulfillment_id)
        request = MoveParcel(order_id=order_id, fulfillment_id=fulfillment_id, actor=caller.name)

        async def carry_out(wish_id: UUID) -> FulfillmentOut:
            await noted(resources, caller, update, order_id, wish_id)
            try:
                await stories.ask(order_id, update, request, result_type=ShipmentState, update_id=str(wish_id))
            except Refusal as refusal:
                return await done_before(refusal, resources, order_id, fulfillment_id, caller, {wanted})
            return await shown(resources, order_id, fulfillment_id, caller)

        return await once.ask(Asked(update, fulfillment_id), carry_out)


async def noted(
    resources: Resources, caller: Caller, action: str, order_id: UUID, wish_id: UUID, words: str | None = None
) -> None:
    """Write into the audit log that somebody asks for this, before it is done; once for every wish."""
    async with resources.sessions.begin() as session:
        await audit_log.note(session, caller.name, action, order_id=order_id, words=words, entry_id=wish_id)


async def is_noted(resources: Resources, wish_id: UUID) -> bool:
    """Was the wish carried on before, and only its answer lost?"""
    async with resources.autocommit() as session:
        return await session.get(AuditEntry, wish_id) is not None


OUTSIDE_OF_ITS_STORY = (Concern.PAYMENT_DISPUTED, Concern.REFUND_FAILED)
"""What the order's own workflow has no question about: it may be over for long."""


async def is_seen_to(
    resources: Resources, stories: Stories, caller: Caller, order_id: UUID, wish_id: UUID, words: str
) -> bool:
    """Note that somebody sees to what no workflow of the order can: lost disputes and refused refunds."""
    knows_of_loss = await accepts_loss(resources, caller, order_id, wish_id, words)
    return await does_without_refund(resources, stories, caller, order_id, wish_id, words) or knows_of_loss


async def does_without_refund(
    resources: Resources, stories: Stories, caller: Caller, order_id: UUID, wish_id: UUID, words: str
) -> bool:
    """Note that refused refunds are seen to, which is all that their returns wait for; false when there are none."""
    async with resources.sessions.begin() as session:
        entry = await session.get(AuditEntry, wish_id)
        is_repeated = entry is not None and entry.action == SEES_TO_REFUND
        if not is_repeated and not await concerns.is_open(session, order_id, Concern.REFUND_FAILED):
            return False
        await audit_log.note(session, caller.name, SEES_TO_REFUND, order_id=order_id, words=words, entry_id=wish_id)
        waiting = await returns.refused(session, order_id)
    for goods in waiting:
        wish = SettleReturn(return_id=goods, order_id=order_id, actor=caller.name)
        await stories.ask_return(goods, "do_without_refund", wish, update_id=str(wish_id))
    async with resources.sessions.begin() as session:
        await orders.attend(session, OrderAttention(order_id=order_id, concern=Concern.REFUND_FAILED, detail=None))
    return True


SEES_TO_REFUND = f"resolve:{Decision.SKIP}:{Concern.REFUND_FAILED}"
"""How the audit log calls it."""


async def accepts_loss(resources: Resources, caller: Caller, order_id: UUID, wish_id: UUID, words: str) -> bool:
    """Note that somebody knows of the order's lost disputes; false when there are none. It needs no workflow."""
    async with resources.sessions.begin() as session:
        is_answered = await disputes.accept(session, order_id, note_id=wish_id)
        if is_answered:
            action = f"resolve:{Decision.SKIP}"
            await audit_log.note(session, caller.name, action, order_id=order_id, words=words, entry_id=wish_id)
    return is_answered


def searched(q: str | None) -> dict[str, Any]:
    if q is None:
        return {}
    digits = q.strip().upper().removeprefix("S-")
    return {"number": int(digits)} if digits.isdecimal() and len(digits) < 18 else {"email": q.strip()}


async def order_of(resources: Resources, fulfillment_id: UUID) -> UUID:
    async with resources.autocommit() as session:
        order_id = await order_views.order_of_fulfillment(session, fulfillment_id)
    if order_id is None:
        raise Refusal("not_found", "There is no such fulfillment.")
    return order_id


def check_can_be_held(order: OrderOut) -> None:
    """An order that is not confirmed has no workflow that knows of holding."""
    if order.status is not OrderStatus.CONFIRMED:
        raise Refusal(
            "order_transition_not_allowed",
            f"The order is {order.status}; only one of which something is still here can be held.",
            current_status=str(order.status),
            allowed=allowed_moves(order.status),
        )


async def with_its_reason(refusal: Refusal, resources: Resources, order_id: UUID) -> Refusal:
    """Staff is told why an order is held; its workflow knows only that it is."""
    if refusal.code != "order_held":
        return refusal
    async with resources.autocommit() as session:
        hold = await order_views.hold(session, order_id)
    return Refusal(refusal.code, refusal.detail, reason=hold["reason"] if hold else None)


SENT = {FulfillmentStatus.SHIPPED, FulfillmentStatus.DELIVERED}


async def done_before(
    refusal: Refusal,
    resources: Resources,
    order_id: UUID,
    fulfillment_id: UUID,
    caller: Caller,
    wanted: set[FulfillmentStatus],
) -> FulfillmentOut:
    """What was refused may be what has been done before: then the parcel as it is."""
    parcel = await shown(resources, order_id, fulfillment_id, caller)
    if parcel.status not in wanted:
        raise refusal
    return parcel


async def shown(resources: Resources, order_id: UUID, fulfillment_id: UUID, caller: Caller) -> FulfillmentOut:
    order: OrderOut = await visible_order(resources, order_id, caller)
    return next(parcel for parcel in order.fulfillments if parcel.id == fulfillment_id)
