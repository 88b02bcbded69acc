"""Parcels that have left and will not arrive: their units are sent again, or the money goes back."""

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import insert, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from db import inventory, parcels, payments, refunds
from db.inventory import Demand
from db.orders import Order, record
from db.refunds import RefundWish
from db.shipping import Fulfillment, FulfillmentItem
from domain.orders import OrderStatus
from domain.shipping import FulfillmentStatus, GiveUpParcel, ParcelGivenUp, Remedy, Undelivered


async def give_up(session: AsyncSession, request: GiveUpParcel) -> ParcelGivenUp:
    """Note that the parcel will not arrive, and what is done about it; repeats change nothing.

    ``reship`` may become ``refund`` while its replacement is still here. Refuses ``order_transition_not_allowed`` for a
    parcel that is not on its way, ``out_of_stock`` when there are no units to send again, and
    ``refund_not_possible_yet`` while other parcels are still to leave.
    """
    order = await parcels.open_order(session, request.order_id)
    parcel = await parcels.parcel_of(session, request.order_id, request.fulfillment_id)
    if (parcel.undelivered, parcel.remedy) == (request.why, request.remedy):
        return await _outcome(session, order, parcel)
    if parcel.remedy == Remedy.RESHIP and request.remedy is Remedy.REFUND:
        await _take_the_replacement_back(session, parcel, request.actor)
    else:
        parcels.check_parcel(parcel, FulfillmentStatus.SHIPPED)
        if request.is_resellable and request.why is Undelivered.RETURNED_TO_SENDER:
            await inventory.restock(
                session, order.id, await parcels.variants_of(session, parcel.id), actor=request.actor
            )
    parcel.status = FulfillmentStatus.CANCELLED
    parcel.undelivered, parcel.remedy = request.why, request.remedy
    await session.flush()
    await record(
        session,
        order.id,
        f"fulfillment.{request.why}",
        actor=request.actor,
        data={"fulfillment_id": parcel.id, "remedy": request.remedy},
    )
    if request.remedy is Remedy.RESHIP:
        await _send_again(session, order, parcel, request)
    await parcels.follow(session, order, request.actor)
    if request.remedy is Remedy.REFUND:
        refund = await refunds.request_worth_of(
            session,
            RefundWish(
                refund_id=request.refund_id,
                order_id=order.id,
                reason=request.why,
                actor=request.actor,
                items=await parcels.contents_of(session, parcel.id),
            ),
            is_everything=order.status == OrderStatus.CANCELLED,
        )
        parcel.refund_id = refund.id if refund else None
        if order.status == OrderStatus.CANCELLED:
            order.payment_status = await payments.expect_no_more(session, order.id)
        await session.flush()
    return await _outcome(session, order, parcel)


async def _send_again(session: AsyncSession, order: Order, parcel: Fulfillment, request: GiveUpParcel) -> None:
    await inventory.hold_again(session, order.id, await _demand(session, parcel), actor=request.actor)
    session.add(Fulfillment(id=request.replacement_id, order_id=order.id, replaces_id=parcel.id, charge=0))
    await session.flush()
    contents: Mapping[UUID, int] = await parcels.contents_of(session, parcel.id)
    await session.execute(
        insert(FulfillmentItem).values(
            [
                {"fulfillment_id": request.replacement_id, "order_line_id": line, "quantity": quantity}
                for line, quantity in contents.items()
            ]
        )
    )
    await record(
        session,
        order.id,
        "fulfillment.created",
        actor=request.actor,
        data={"fulfillment_id": request.replacement_id, "units": sum(contents.values()), "replaces": parcel.id},
    )


async def _take_the_replacement_back(session: AsyncSession, parcel: Fulfillment, actor: str) -> None:
    replacement = await session.scalar(select(Fulfillment).where(Fulfillment.replaces_id == parcel.id))
    if replacement is None:
        raise AssertionError(f"parcel {parcel.id} is sent again without a replacement")
    parcels.check_parcel(replacement, FulfillmentStatus.PENDING)
    await inventory.release_units(session, parcel.order_id, await parcels.variants_of(session, parcel.id), actor=actor)
    await parcels.unpack(session, replacement, actor)


async def _demand(session: AsyncSession, parcel: Fulfillment) -> list[Demand]:
    rows = await session.execute(
        text(
            """
            SELECT order_lines.variant_id, min(order_lines.sku) AS sku, sum(fulfillment_items.quantity)::int AS quantity
            FROM fulfillment_items JOIN order_lines ON order_lines.id = fulfillment_items.order_line_id
            WHERE fulfillment_items.fulfillment_id = :id GROUP BY order_lines.variant_id
            ORDER BY order_lines.variant_id
            """
        ),
        {"id": parcel.id},
    )
    return [Demand(row.variant_id, row.sku, row.quantity) for row in rows]


async def _outcome(session: AsyncSession, order: Order, parcel: Fulfillment) -> ParcelGivenUp:
    refund = await session.get(refunds.Refund, parcel.refund_id) if parcel.refund_id else None
    if refund is None or not refund.asks_somebody:
        return ParcelGivenUp(state=await parcels.state_of(session, order, parcel), refund=None)
    return ParcelGivenUp(
        state=await parcels.state_of(session, order, parcel), refund=await refunds.to_pay_back(session, refund)
    )
