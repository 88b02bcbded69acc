"""Bank transfers: people note what has come, and what they have sent back."""

from typing import Annotated
from uuid import UUID

from litestar import Response, post
from pydantic import Field

from api.auth import Caller
from api.errors import refuses
from api.idempotency import Asked, Once
from api.operators import noted
from api.orders import OrderOut, RefundOut, visible_order
from api.refunds import pay_back
from api.schemas import Input
from api.stories import Stories
from db import refunds
from domain.errors import Refusal
from domain.orders import CheckoutOutcome, OrderStatus
from domain.payments import MANUAL, PaymentStatus, TransferReceived
from domain.permissions import Permission
from domain.refunds import PaidByHand, RefundStatus
from runtime.resources import Resources


class Transfer(Input):
    reference: Annotated[str, Field(min_length=1, max_length=140, description="How the bank statement names it")]


@post(
    "/v1/admin/orders/{order_id:uuid}/payment-received",
    permission=Permission.PAYMENTS_NOTE,
    status_code=200,
    tags=["Operators"],
    summary="Note that a bank transfer has come",
    responses=refuses(
        "unauthenticated",
        "forbidden",
        "not_found",
        "not_a_bank_transfer",
        "transfer_noted_before",
        "order_transition_not_allowed",
        "idempotency_key_reused",
    ),
)
async def payment_received(
    order_id: UUID, data: Transfer, caller: Caller, resources: Resources, stories: Stories, once: Once
) -> Response[OrderOut]:
    """Confirms the order that has waited for the money; the same reference again changes nothing.

    All of the order's total is taken as paid. Money that comes for an order that is cancelled, or has expired, is
    refused 409: send it back by hand.
    """
    await visible_order(resources, order_id, caller)

    async def carry_out(wish_id: UUID) -> OrderOut:
        order = await look(wish_id)
        if not has_come_by(order, data.reference):
            check_may_come(order)
            await noted(resources, caller, "payment_received", order_id, wish_id, words=data.reference)
        # Told also when it stands in the books: an engine that was killed in between has forgotten it.
        request = TransferReceived(order_id=order_id, actor=caller.name, note_id=wish_id)
        refusal = Refusal("unavailable", "The order is still being confirmed; look again in a moment.")
        try:
            await stories.ask(
                order_id, "payment_received", request, result_type=CheckoutOutcome, update_id=str(wish_id)
            )
        except Refusal as refused:
            refusal = refused
        order = await look(wish_id)
        if not has_come_by(order, data.reference):
            check_may_come(order)
            raise refusal
        return order

    async def look(_: UUID) -> OrderOut:
        return await visible_order(resources, order_id, caller)

    return await once.ask(Asked("payment_received", order_id, data), carry_out, look=look)


def has_come_by(order: OrderOut, reference: str) -> bool:
    payment = order.payment
    return payment is not None and payment.provider == MANUAL and payment.provider_reference == reference


def check_may_come(order: OrderOut) -> None:
    payment = order.payment
    if payment is not None and payment.provider != MANUAL:
        raise Refusal("not_a_bank_transfer", f"This order is paid through {payment.provider}.")
    if order.status is OrderStatus.CANCELLED:
        raise Refusal(
            "order_transition_not_allowed",
            "The order is cancelled and takes no money any more; send the money back by hand.",
            current_status=order.status,
            allowed=[],
        )
    if payment is None or payment.due_at is None:
        raise Refusal("unavailable", "The order's checkout has not begun yet; try again in a moment.")
    if payment.status is not PaymentStatus.PENDING:
        raise Refusal(
            "transfer_noted_before",
            "The order is paid already, by another transfer; send this one back by hand.",
            current_status=order.status,
            reference=payment.provider_reference,
        )


@post(
    "/v1/admin/refunds/{refund_id:uuid}/paid",
    permission=Permission.PAYMENTS_NOTE,
    status_code=200,
    tags=["Operators"],
    summary="Note that a refund was sent by bank transfer",
    responses=refuses(
        "unauthenticated",
        "forbidden",
        "not_found",
        "not_a_bank_transfer",
        "refund_transition_not_allowed",
        "idempotency_key_reused",
    ),
)
async def refund_paid(
    refund_id: UUID, data: Transfer, caller: Caller, resources: Resources, stories: Stories, once: Once
) -> Response[RefundOut]:
    """What was paid by bank transfer is sent back by a person: until then the refund is `requested`, and its order
    needs attention. The same reference again changes nothing.
    """
    async with resources.autocommit() as session:
        refund = await refunds.by_id(session, refund_id)
    if refund is None:
        raise Refusal("not_found", "There is no such refund.")
    order_id = refund.order_id

    async def carry_out(wish_id: UUID) -> RefundOut:
        order = await visible_order(resources, order_id, caller)
        if order.payment is None or order.payment.provider != MANUAL:
            raise Refusal("not_a_bank_transfer", "The provider sends this refund back by itself.")
        if refund.status == RefundStatus.REQUESTED:
            await noted(resources, caller, "refund_paid", order_id, wish_id, words=data.reference)
            await pay_back(refund, resources, stories)
        # Told also when it stands in the books: an engine that was killed in between has forgotten it.
        await stories.ask_refund(PaidByHand(refund_id=refund_id, order_id=order_id, actor=caller.name, note_id=wish_id))
        shown = await look(wish_id)
        if shown.reference != data.reference:
            raise Refusal(
                "refund_transition_not_allowed",
                f"The refund is {shown.status}, and was sent by another transfer.",
                current_status=shown.status,
                reference=shown.reference,
            )
        return shown

    async def look(_: UUID) -> RefundOut:
        order = await visible_order(resources, order_id, caller)
        return next(known for known in order.refunds if known.id == refund_id)

    return await once.ask(Asked("refund_paid", refund_id, data), carry_out, look=look)
