"""Orders: what was bought, how far it is, and the customer's way to stop it."""

from collections.abc import Mapping
from datetime import datetime
from operator import itemgetter
from typing import Annotated, Any
from uuid import UUID

from litestar import Controller, Request, Response, get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import Parameter
from litestar.serialization import encode_json
from pydantic import BaseModel, Field
from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth import Caller
from api.cart_schemas import CartItemOut, TaxOut, TotalsOut, taxes_out
from api.conditional import IfMatch, expected_versions, named_versions, tag_of, tagged
from api.errors import refuses
from api.following import Follower, Followers
from api.idempotency import Asked, Once
from api.order_streams import LastEventId, StreamedAsWell, is_stream_wanted, stream, whose_stream
from api.paging import Cursor, Limit, cursor_behind, decode_cursor, encode_cursor, id_in_cursor
from api.schemas import Amount, Input, Output, VersionedOutput, amount
from api.stories import Stories
from db import audit_log, cancellations, order_views, orders, watched_orders
from db.cancellations import CancellationWish
from domain.attention import Concern
from domain.carriers import tracking_url
from domain.credit import CreditKind
from domain.disputes import DisputeStatus
from domain.errors import Refusal
from domain.orders import AskToCancel, CancelReason, OrderStatus, PendingStep, allowed_moves, number_of
from domain.payments import PaymentStatus
from domain.permissions import Permission
from domain.refunds import RefundStatus, RefundTo
from domain.returns import OrderReturnStatus, ReturnStatus
from domain.shipping import CancelUnits, Remedy, Undelivered, Units
from domain.taxes import TaxSource
from domain.tracking import TrackingStatus
from runtime.resources import Resources


class RedirectOut(Output):
    redirect_url: str


class PaymentOut(Output):
    status: PaymentStatus
    provider: str
    provider_reference: str | None = Field(
        description="The provider's id of the payment, or the reference of the bank transfer that was received"
    )
    amount: Amount
    captured: Amount
    refunded: Amount
    decline_code: str | None
    due_at: datetime | None = Field(description="Until when a bank transfer is waited for")
    next_action: RedirectOut | None = Field(description="What the payer must do before anything goes on")


class FulfillmentItemOut(Output):
    order_item_id: UUID
    quantity: int


class FulfillmentOut(Output):
    id: UUID
    status: str
    items: list[FulfillmentItemOut]
    carrier: str | None
    tracking_number: str | None
    tracking_url: str | None = Field(description="The carrier's page about the parcel")
    tracking_status: TrackingStatus | None = Field(description="How far it is, as its carrier says")
    tracked_at: datetime | None
    undelivered: Undelivered | None = Field(description="Why a parcel that has left will not arrive")
    remedy: Remedy | None = Field(description="What was done about that")
    replaces_id: UUID | None = Field(description="The undelivered parcel whose units this one carries once more")
    created_at: datetime
    shipped_at: datetime | None
    delivered_at: datetime | None


class PaidByCardOut(Output):
    id: UUID
    last4: str = Field(description="How the gift card's code ends")
    amount: Amount


class UnitsOut(Output):
    order_item_id: UUID
    quantity: int


class RefundOut(Output):
    id: UUID
    status: RefundStatus
    amount: Amount
    of_credit: Amount = Field(description="What of it gift cards or store credit had paid; it is credit again")
    to: RefundTo = Field(description="`store_credit`: all of it became the customer's store credit")
    reason: str
    refusal: str | None = Field(description="Why the provider refuses it, in its own code")
    reference: str | None = Field(description="What the provider calls it, or the person who sent it by bank transfer")
    items: list[UnitsOut]
    created_at: datetime
    settled_at: datetime | None


class DisputeOut(Output):
    reference: str = Field(description="What the provider calls it")
    status: DisputeStatus
    amount: Amount
    reason: str = Field(description="Why the customer's bank takes the money back, in the provider's own code")
    evidence_due_at: datetime | None
    opened_at: datetime
    closed_at: datetime | None


class ReturnItemOut(UnitsOut):
    reason: str
    received: int
    restocked: int = Field(description="Units that can be sold again")


class ReturnOut(Output):
    id: UUID
    status: ReturnStatus
    items: list[ReturnItemOut]
    refund_id: UUID | None
    created_at: datetime
    updated_at: datetime


class OrderItemOut(CartItemOut):
    """What was in the cart, and what became of it."""

    cancelled_quantity: int = Field(description="How many of these were cancelled before they were sent")


class ConcernOut(Output):
    concern: Concern
    detail: str
    since: datetime


class ReducedOrderItemOut(Output):
    order_item_id: UUID
    amount: Amount


class OrderPromotionOut(Output):
    code: str | None = Field(description="`null`: it needed none")
    name: str
    amount: Amount
    lines: list[ReducedOrderItemOut]
    shipping: Amount = Field(description="What of it lowered the costs of shipping")


class OrderOut(VersionedOutput):
    id: UUID
    number: str
    version: int = Field(
        description="The number of the newest entry of its timeline, 0 before there is any; a change takes it as "
        "`If-Match`"
    )
    status: OrderStatus
    pending_step: PendingStep | None = Field(
        description="`payment_unknown`: the provider has not said what became of the payment, and is being asked; "
        "`transfer_awaited`: the customer has to send a bank transfer by `payment.due_at`"
    )
    payment: PaymentOut | None
    fulfillment_status: str
    return_status: OrderReturnStatus = Field(description="How far it has come back, all its returns taken together")
    fulfillments: list[FulfillmentOut]
    is_held: bool = Field(description="The shop looks into it; nothing of it leaves meanwhile")
    refunds: list[RefundOut]
    disputes: list[DisputeOut]
    returns: list[ReturnOut]
    email: str | None
    items: list[OrderItemOut]
    totals: TotalsOut | None
    promotions: list[OrderPromotionOut] = Field(description="What was taken off when it was ordered, and where")
    gift_cards: list[PaidByCardOut] = Field(description="What gift cards paid when it was ordered")
    store_credit: Amount | None = Field(description="What store credit paid then")
    amount_due: Amount | None = Field(description="What they left of the total; the amount of its payment")
    taxes: list[TaxOut] = Field(description="What was due when it was ordered, by the names of the taxes")
    tax_source: TaxSource = Field(
        description="Who said so; `table_instead`: the shop's own table, because the tax provider was silent"
    )
    shipping_address: dict[str, Any] | None
    shipping_method: str | None
    cancel_reason: str | None
    needs_attention: bool
    attention: str | None = Field(description="What the oldest of the concerns says")
    concerns: list[ConcernOut]
    closed_at: datetime | None = Field(
        description="Since when nothing of the delivered order can be sent back, and nothing is on its way back"
    )
    created_at: datetime
    updated_at: datetime


class OrderPage(Output):
    items: list[OrderOut]
    next_cursor: str | None


class OrderEventOut(Output):
    id: int
    type: str
    actor: str
    data: dict[str, Any]
    at: datetime


class OrderEventPage(Output):
    items: list[OrderEventOut]
    next_cursor: str | None


class UnitsIn(Input):
    order_item_id: UUID
    quantity: Annotated[int, Field(ge=1, strict=True)]


def summed(items: list[UnitsIn]) -> list[Units]:
    """Units of one line that are named twice count together."""
    quantities: dict[UUID, int] = {}
    for item in items:
        quantities[item.order_item_id] = quantities.get(item.order_item_id, 0) + item.quantity
    return [Units(order_line_id=line, quantity=quantity) for line, quantity in quantities.items()]


class CancelIn(Input):
    reason: Annotated[str, Field(min_length=1, max_length=200)]
    items: Annotated[list[UnitsIn], Field(min_length=1, max_length=500)] | None = Field(
        default=None, description="Which units are not wanted any more; the whole order when this is left out"
    )


GuestsCart = Annotated[
    UUID | None,
    Parameter(query="cart", default=None, description="The cart of a guest's order: what proves that it is theirs"),
]


class OrderController(Controller):
    path = "/v1/orders"
    tags = ("Orders",)

    @get(permission=Permission.ACCOUNT, summary="List my orders", responses=refuses("unauthenticated"))
    async def list_mine(
        self, caller: Caller, resources: Resources, limit: Limit, cursor: Cursor, status: OrderStatus | None = None
    ) -> OrderPage:
        """The caller's orders, newest first."""
        filters: dict[str, Any] = {"user_id": caller.user_id}
        if status is not None:
            filters["status"] = status
        return await page_of_orders(resources, limit, cursor, filters)

    @get(
        "/{order_id:uuid}",
        permission=Permission.SHOP,
        others=Permission.ORDERS_READ,
        summary="Look at an order",
        responses=refuses("unauthenticated", "not_found"),
    )
    async def show(self, order_id: UUID, caller: Caller, resources: Resources, cart: GuestsCart) -> Response[OrderOut]:
        """The order as it is now, also while its checkout still runs."""
        order = await visible_order(resources, order_id, caller, cart)
        return tagged(order)

    @get(
        "/{order_id:uuid}/events",
        permission=Permission.SHOP,
        others=Permission.ORDERS_READ,
        summary="Read an order's timeline, or follow it",
        operation_class=StreamedAsWell,
        responses=refuses("unauthenticated", "not_found")
        | {200: ResponseSpec(OrderEventPage, generate_examples=False, description="The timeline")},
    )
    async def events(
        self,
        request: Request[Any, Any, Any],
        order_id: UUID,
        caller: Caller,
        resources: Resources,
        followers: Followers,
        cart: GuestsCart,
        limit: Limit,
        cursor: Cursor,
        last_event_id: LastEventId,
    ) -> Response[Any]:
        """All that happened to the order, oldest first.

        With `Accept: text/event-stream` it stays open and tells what happens as it happens, until the order is
        delivered or cancelled. Whoever comes again with `Last-Event-ID` misses nothing and hears nothing twice.
        """
        await visible_order(resources, order_id, caller, cart)
        position = decode_cursor(cursor, length=1)
        after = int(position[0]) if position else 0
        if is_stream_wanted(request.scope):
            after = after if last_event_id is None else last_event_id
            follower = followers.admit(order_id, whose_stream(request, caller), after=after)
            return await followed(request, resources, followers, follower)
        async with resources.autocommit() as session:
            rows = await order_views.events(session, order_id, limit=limit + 1, after=after)
        items = [{**row, "id": row["sequence"]} for row in rows[:limit]]
        more = encode_cursor([items[-1]["id"]]) if len(rows) > limit else None
        return Response(OrderEventPage.model_validate({"items": items, "next_cursor": more}))

    @post(
        "/{order_id:uuid}/cancel",
        permission=Permission.SHOP,
        others=Permission.ORDERS_CANCEL,
        status_code=200,
        summary="Cancel an order",
        responses=refuses(
            "unauthenticated",
            "forbidden",
            "not_found",
            "order_not_cancellable",
            "units_not_cancellable",
            "precondition_failed",
            "idempotency_key_reused",
        ),
    )
    async def cancel(
        self,
        order_id: UUID,
        data: CancelIn,
        caller: Caller,
        resources: Resources,
        stories: Stories,
        cart: GuestsCart,
        once: Once,
        if_match: IfMatch,
    ) -> Response[OrderOut]:
        """Stock and money go back, as long as nothing was shipped. Cancelling twice is cancelling once.

        With `items`, only those units are cancelled, also when others have been shipped: their goods go back, and less
        is captured. Without an `Idempotency-Key`, sending that twice cancels twice as many.

        With `If-Match`, stale → 412. For units that is decided when they are cancelled, so of two people who have read
        the same order one is refused; for a whole order, when it is asked for.
        """
        order = await visible_order(resources, order_id, caller, cart, needed=Permission.ORDERS_CANCEL)
        actor = caller.name if caller.is_signed_in else "guest"

        async def carry_out(wish_id: UUID) -> OrderOut:
            async with resources.sessions.begin() as session:
                if data.items is None and await session.get(audit_log.AuditEntry, wish_id) is None:
                    await orders.locked(session, order_id)
                    await orders.check_version(session, order_id, expected_versions(if_match))
                await audit_log.note(session, actor, "cancel", order_id=order_id, words=data.reason, entry_id=wish_id)
            if data.items is None:
                reason = CancelReason.OPERATOR if caller.is_staff else CancelReason.CUSTOMER
                wish = AskToCancel(reason=reason, actor=actor, note_id=wish_id)
                await stories.cancel_order(order_id, wish, update_id=str(wish_id))
            else:
                await cancel_units(wish_id, order, data, actor, resources, stories, named_versions(if_match))
            return await look(wish_id)

        async def look(_: UUID) -> OrderOut:
            return await visible_order(resources, order_id, caller, cart)

        return with_tag(await once.ask(Asked("cancel", order_id, data, cart), carry_out, look=look))


def with_tag(told: Response[Any]) -> Response[Any]:
    """What was answered once with the order's version, as it was then."""
    body = told.content.model_dump(mode="json") if isinstance(told.content, BaseModel) else told.content
    if "version" in body:
        told.headers["ETag"] = tag_of(encode_json(body), version=body["version"])
    return told


async def cancel_units(
    wish_id: UUID,
    order: OrderOut,
    data: CancelIn,
    actor: str,
    resources: Resources,
    stories: Stories,
    expected: list[int] | None,
) -> None:
    if order.status is OrderStatus.PENDING:
        raise Refusal(
            "order_not_cancellable",
            "Single units can be cancelled once the order is confirmed.",
            current_status=order.status,
            allowed=allowed_moves(order.status),
        )
    wish = CancellationWish(cancellation_id=wish_id, order_id=order.id, reason=data.reason, actor=actor)
    async with resources.sessions.begin() as session:
        known = await cancellations.take_in(session, wish)
    if known.done_at is None:
        await stories.cancel_units(
            CancelUnits(
                order_id=order.id,
                cancellation_id=wish_id,
                actor=actor,
                items=summed(data.items or []),
                note_id=wish_id,
                expected=expected,
            )
        )


async def followed(
    request: Request[Any, Any, Any], resources: Resources, followers: Followers, follower: Follower
) -> Response[Any]:
    """The stream, unless it would be over before it said anything: 204 tells browsers to ask no more."""
    async with resources.autocommit() as session:
        standing = (await watched_orders.standings(session, [follower.order_id]))[follower.order_id]
    if standing.is_final and standing.newest <= follower.after:
        return Response(None, status_code=204)
    return stream(request, followers, follower, OrderEventOut, resources.settings.api.stream_bytes)


async def page_of_orders(resources: Resources, limit: int, cursor: str | None, filters: Mapping[str, Any]) -> OrderPage:
    async with resources.autocommit() as session:
        rows = await order_views.orders(session, limit=limit + 1, before=id_in_cursor(cursor), filters=filters)
    more = cursor_behind(rows, limit, itemgetter("id"))
    return OrderPage(items=[order_out(row) for row in rows[:limit]], next_cursor=more)


async def visible_order(
    resources: Resources,
    order_id: UUID,
    caller: Caller,
    cart: UUID | None = None,
    *,
    needed: Permission = Permission.ORDERS_READ,
) -> OrderOut:
    """The order, if the caller may see it; somebody else's is answered as if there were none.

    ``needed`` is the permission for what comes next with an order that is not the caller's own.
    """
    async with resources.autocommit() as session:
        return await order_seen_by(session, order_id, caller, cart, needed=needed)


async def order_seen_by(
    session: AsyncSession,
    order_id: UUID,
    caller: Caller,
    cart: UUID | None,
    *,
    needed: Permission = Permission.ORDERS_READ,
) -> OrderOut:
    row = await order_views.order(session, order_id) or await order_views.checkout(session, order_id)
    if row is None:
        raise Refusal("not_found", "There is no such order.")
    if not _is_own(row, caller, cart):
        if not caller.may(Permission.ORDERS_READ):
            raise Refusal("not_found", "There is no such order.")
        caller.check(needed)
    return order_out(row) if "total" in row else _checkout_out(row)


def _is_own(row: RowMapping, caller: Caller, cart: UUID | None) -> bool:
    """A guest's order stays open to whoever knows its cart, also when it has found its account since."""
    is_theirs = row["user_id"] is not None and row["user_id"] == caller.user_id
    is_of_a_guest = row["user_id"] is None or row.get("claimed_at") is not None
    return is_theirs or (is_of_a_guest and cart == row["cart_id"])


AMOUNTS_OF_ITEMS = ("unit_price", "line_total", "discount", "tax")


def order_out(row: RowMapping) -> OrderOut:
    currency = row["currency"]
    redirect = row["redirect_url"] if row["payment_status"] == PaymentStatus.REQUIRES_ACTION else None
    return OrderOut.model_validate(
        {
            **row,
            "number": number_of(row["number"]),
            "payment": {
                "status": row["payment_status"],
                "provider": row["provider"],
                "provider_reference": row["provider_reference"],
                "amount": amount(row["total"] - row["credit"], currency),
                "captured": amount(row["captured"], currency),
                "refunded": amount(row["refunded"], currency),
                "decline_code": row["decline_code"],
                "due_at": row["due_at"],
                "next_action": {"redirect_url": redirect} if redirect else None,
            },
            "fulfillments": [
                {**parcel, "tracking_url": tracking_url(parcel["tracking_url"], parcel["tracking_number"])}
                for parcel in row["fulfillments"]
            ],
            "refunds": [
                {**refund, **{name: amount(refund[name], currency) for name in ("amount", "of_credit")}}
                for refund in row["refunds"]
            ],
            "gift_cards": [
                {**paid, "amount": amount(paid["amount"], currency)}
                for paid in row["paid_with"]
                if paid["kind"] == CreditKind.GIFT_CARD
            ],
            "store_credit": amount(
                sum(paid["amount"] for paid in row["paid_with"] if paid["kind"] == CreditKind.STORE_CREDIT), currency
            ),
            "amount_due": amount(row["total"] - row["credit"], currency),
            "disputes": [{**dispute, "amount": amount(dispute["amount"], currency)} for dispute in row["disputes"]],
            "items": [
                {
                    **item,
                    **{name: amount(item[name], currency) for name in AMOUNTS_OF_ITEMS},
                    "base_price": None if item["base_price"] is None else amount(item["base_price"], currency),
                }
                for item in row["items"]
            ],
            "totals": {name: amount(row[name], currency) for name in TotalsOut.model_fields},
            "promotions": [_promotion_out(each, currency) for each in row["pricing"].get("promotions", [])],
            "is_held": row["hold_note_id"] is not None and row["status"] == OrderStatus.CONFIRMED,
            "taxes": [taxes_out(tax, currency) for tax in row["pricing"].get("taxes", [])],
            "tax_source": row["pricing"].get("tax_source", _source_then(row["pricing"])),
            "needs_attention": row["attention"] is not None,
            "cancel_reason": row["cancel_note"] or row["cancel_reason"],
        }
    )


def _promotion_out(applied: Mapping[str, Any], currency: str) -> dict[str, Any]:
    return {
        "code": applied["code"],
        "name": applied["name"],
        "amount": amount(applied["amount"], currency),
        "lines": [{**line, "amount": amount(line["amount"], currency)} for line in applied["lines"]],
        "shipping": amount(applied["shipping"], currency),
    }


def _source_then(pricing: Mapping[str, Any]) -> TaxSource:
    """Orders of the days when there was only the table did not say so."""
    return TaxSource.TABLE if pricing.get("taxes") or pricing.get("is_tax_exempt") else TaxSource.NOBODY


def _checkout_out(row: RowMapping) -> OrderOut:
    """An order that is taken in but not placed yet, or that never was: there are no lines and sums to show."""
    return OrderOut(
        id=row["order_id"],
        number=number_of(row["order_number"]),
        version=0,
        status=OrderStatus.CANCELLED if row["is_refused"] else OrderStatus.PENDING,
        pending_step=None,
        payment=None,
        fulfillment_status="unfulfilled",
        return_status=OrderReturnStatus.NONE,
        fulfillments=[],
        is_held=False,
        refunds=[],
        disputes=[],
        returns=[],
        email=None,
        items=[],
        totals=None,
        promotions=[],
        gift_cards=[],
        store_credit=None,
        amount_due=None,
        taxes=[],
        tax_source=TaxSource.NOBODY,
        shipping_address=None,
        shipping_method=None,
        cancel_reason="refused" if row["is_refused"] else None,
        needs_attention=False,
        attention=None,
        concerns=[],
        closed_at=None,
        created_at=row["created_at"],
        updated_at=row["created_at"],
    )
