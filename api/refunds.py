"""Refunds: operators send back money that was taken."""

from typing import Annotated, Self
from uuid import UUID

from litestar import Response, post
from pydantic import Field, model_validator

from api.auth import Caller
from api.errors import refuses
from api.idempotency import Asked, Once
from api.orders import RefundOut, UnitsIn, summed, visible_order
from api.schemas import Amount, Input
from api.stories import Stories
from db import audit_log, refunds
from db.refunds import Refund, RefundWish
from domain.permissions import Permission
from domain.refunds import RefundStatus, RefundTo
from runtime.resources import Resources


class NewRefund(Input):
    """An amount, or units whose worth is refunded; neither means all that was taken and not refunded yet."""

    amount: Amount | None = None
    items: Annotated[list[UnitsIn], Field(min_length=1, max_length=500)] | None = Field(
        default=None, description="Refunds what was paid for these units: their price, less discounts, plus tax"
    )
    to: RefundTo = Field(
        default=RefundTo.ORIGIN,
        description="`origin`: to where it came from, what the provider took first and credit last; `store_credit`: "
        "all of it becomes the customer's store credit, at once",
    )
    reason: Annotated[str, Field(min_length=1, max_length=500)]

    @model_validator(mode="after")
    def says_one_thing(self) -> Self:
        if self.amount is not None and self.items is not None:
            raise ValueError("give an amount or items, not both")
        return self


@post(
    "/v1/admin/orders/{order_id:uuid}/refunds",
    permission=Permission.PAYMENTS_REFUND,
    tags=["Operators"],
    summary="Refund money",
    responses=refuses(
        "unauthenticated",
        "forbidden",
        "not_found",
        "refund_exceeds_captured",
        "refund_not_possible_yet",
        "payment_disputed",
        "units_not_refundable",
        "store_credit_needs_account",
        "idempotency_key_reused",
    ),
)
async def refund_order(
    order_id: UUID, data: NewRefund, caller: Caller, resources: Resources, stories: Stories, once: Once
) -> Response[RefundOut]:
    """Sends captured money back to where it came from, never more than was captured.

    The refund is `succeeded` when the provider has taken it on, `failed` when it refuses, and `requested` while it
    cannot be reached: then it is asked until it answers.
    """
    await visible_order(resources, order_id, caller)

    async def carry_out(wish_id: UUID) -> RefundOut:
        wish = RefundWish(
            refund_id=wish_id,
            order_id=order_id,
            reason=data.reason,
            actor=caller.name,
            amount=data.amount.as_money() if data.amount else None,
            items={unit.order_line_id: unit.quantity for unit in summed(data.items)} if data.items else None,
            goes_to=data.to,
        )
        async with resources.sessions.begin() as session:
            refund = await refunds.request(session, wish)
            await audit_log.note(session, caller.name, "refund", order_id=order_id, words=data.reason, entry_id=wish_id)
        if refund.status == RefundStatus.REQUESTED:
            await pay_back(refund, resources, stories)
        return await look(wish_id)

    async def look(wish_id: UUID) -> RefundOut:
        order = await visible_order(resources, order_id, caller)
        return next(known for known in order.refunds if known.id == wish_id)

    return await once.ask(Asked("refund", order_id, data), carry_out, status_code=201, look=look)


async def pay_back(refund: Refund, resources: Resources, stories: Stories) -> None:
    """Start the refund's story, or join the one that runs, and wait for its end as long as a client waits."""
    async with resources.autocommit() as session:
        to_pay_back = await refunds.to_pay_back(session, refund)
    await stories.refund(to_pay_back)
