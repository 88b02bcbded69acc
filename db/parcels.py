"""What happens to an order's parcels, and to the order with them. Each function is one step of one transaction."""

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from db import deadlines, inventory, mailbox, payments, promotions, returns
from db.order_holds import check_may_leave
from db.orders import Order, locked, record
from db.shipping import Fulfillment, FulfillmentItem
from domain.errors import Refusal
from domain.money import Money
from domain.notifications import Occasion
from domain.orders import CancelReason, OrderStatus, check_move
from domain.settling import LineCost, amount_to_capture, worth_of_staying
from domain.shipping import (
    FulfillmentStatus,
    MoveParcel,
    OrderFulfillmentStatus,
    PlannedShipment,
    PlanShipment,
    ShipmentCharge,
    ShipmentState,
    ShipParcel,
    allowed_moves,
    check_move_of_order,
)


async def plan(session: AsyncSession, request: PlanShipment) -> PlannedShipment:
    """Put units that are in no parcel yet into a new one; the same parcel again when it was planned before.

    Refuses ``units_not_available`` for units that are not there to be sent, ``order_transition_not_allowed`` for an
    order that is not confirmed.
    """
    order = await open_order(session, request.order_id)
    if known := await session.get(Fulfillment, request.fulfillment_id):
        units = sum((await contents_of(session, known.id)).values())
        return PlannedShipment(fulfillment_id=known.id, units=units, waits=await deadlines.waits(session, order.id))
    check_move(OrderStatus(order.status), OrderStatus.SHIPPED)
    waiting = await waiting_units(session, order.id)
    wanted = waiting if request.items is None else {unit.order_line_id: unit.quantity for unit in request.items}
    if not wanted or any(quantity > waiting.get(line, 0) for line, quantity in wanted.items()):
        raise Refusal(
            "units_not_available",
            "These units are not waiting to be shipped.",
            items=[{"order_item_id": str(line), "available": quantity} for line, quantity in waiting.items()],
        )
    await forget_charges(session, order.id)
    session.add(Fulfillment(id=request.fulfillment_id, order_id=order.id))
    await session.flush()
    await session.execute(
        insert(FulfillmentItem).values(
            [
                {"fulfillment_id": request.fulfillment_id, "order_line_id": line, "quantity": quantity}
                for line, quantity in wanted.items()
            ]
        )
    )
    units = sum(wanted.values())
    await record(
        session,
        order.id,
        "fulfillment.created",
        actor=request.actor,
        data={"fulfillment_id": request.fulfillment_id, "units": units},
    )
    return PlannedShipment(
        fulfillment_id=request.fulfillment_id, units=units, waits=await deadlines.waits(session, order.id)
    )


async def charge(session: AsyncSession, request: ShipParcel) -> ShipmentCharge:
    """What must be captured before this parcel may leave, decided once; refuses a parcel that is not pending.

    A bank transfer pays for all parcels ahead: nothing is captured any more.
    Whether it is the last one may change while its capture is refused and others leave.
    """
    order = await open_order(session, request.order_id)
    parcel = await parcel_of(session, request.order_id, request.fulfillment_id)
    if parcel.status in (FulfillmentStatus.SHIPPED, FulfillmentStatus.DELIVERED):
        return ShipmentCharge(
            amount=Money(parcel.charge or 0, order.currency), is_final=parcel.is_last, is_shipped=True
        )
    check_parcel(parcel, FulfillmentStatus.PENDING)
    check_may_leave(order)
    parcel.is_last = await _leaves_nothing_behind(session, order.id, parcel.id)
    if await payments.is_paid_ahead(session, order.id):
        parcel.charge = 0
    elif parcel.charge is None:
        parcel.charge = await _to_capture(session, order, parcel)
    await session.flush()
    return ShipmentCharge(amount=Money(parcel.charge, order.currency), is_final=parcel.is_last, is_shipped=False)


async def _to_capture(session: AsyncSession, order: Order, parcel: Fulfillment) -> int:
    about = {"order_id": order.id, "parcel": parcel.id}
    unsent = await session.execute(UNSENT, about)
    charged = await session.scalar(CHARGED, about)
    return amount_to_capture(
        due=order.due,
        unsent=worth_of_staying((LineCost(quantity=row.quantity, cost=row.cost), row.unsent) for row in unsent),
        captured=Money(int(charged or 0), order.currency),
    ).minor


async def ship(session: AsyncSession, request: ShipParcel) -> ShipmentState:
    """The parcel left and its money is captured: goods leave the stock, the order follows. Repeats change nothing."""
    order = await open_order(session, request.order_id)
    parcel = await parcel_of(session, request.order_id, request.fulfillment_id)
    if parcel.status in (FulfillmentStatus.SHIPPED, FulfillmentStatus.DELIVERED):
        return await state_of(session, order, parcel)
    check_parcel(parcel, FulfillmentStatus.PENDING)
    parcel.status, parcel.shipped_at = FulfillmentStatus.SHIPPED, func.now()
    parcel.carrier, parcel.tracking_number = request.carrier, request.tracking_number
    await inventory.ship(session, order.id, await variants_of(session, parcel.id), actor=request.actor)
    order.payment_status = await payments.captured(session, order.id, parcel.charge or 0, is_final=parcel.is_last)
    await session.flush()
    await tell(session, parcel, "fulfillment.shipped", request.actor)
    await mailbox.ask_for(session, Occasion.PARCEL_SHIPPED, order.id, occasion_of=parcel.id)
    await follow(session, order, request.actor)
    return await state_of(session, order, parcel)


async def deliver(session: AsyncSession, request: MoveParcel) -> ShipmentState:
    order = await open_order(session, request.order_id)
    parcel = await parcel_of(session, request.order_id, request.fulfillment_id)
    if parcel.status == FulfillmentStatus.DELIVERED:
        return await state_of(session, order, parcel)
    check_parcel(parcel, FulfillmentStatus.SHIPPED)
    parcel.status, parcel.delivered_at = FulfillmentStatus.DELIVERED, func.now()
    await session.flush()
    await tell(session, parcel, "fulfillment.delivered", request.actor)
    await follow(session, order, request.actor)
    return await state_of(session, order, parcel)


async def cancel(session: AsyncSession, request: MoveParcel) -> ShipmentState:
    """The parcel will not leave; its units stay reserved and wait for another one."""
    order = await open_order(session, request.order_id)
    parcel = await parcel_of(session, request.order_id, request.fulfillment_id)
    if parcel.status == FulfillmentStatus.CANCELLED:
        return await state_of(session, order, parcel)
    check_parcel(parcel, FulfillmentStatus.PENDING)
    if parcel.replaces_id is not None:
        raise Refusal(
            "order_transition_not_allowed",
            "This parcel replaces one that was not delivered; decide for a refund there.",
            current_status=parcel.status,
            allowed=[str(FulfillmentStatus.SHIPPED)],
            replaces_id=str(parcel.replaces_id),
        )
    await unpack(session, parcel, request.actor)
    await forget_charges(session, order.id)
    return await state_of(session, order, parcel)


async def unpack(session: AsyncSession, parcel: Fulfillment, actor: str) -> None:
    parcel.status = FulfillmentStatus.CANCELLED
    await session.flush()
    await record(session, parcel.order_id, "fulfillment.cancelled", actor=actor, data={"fulfillment_id": parcel.id})


async def forget_charges(session: AsyncSession, order_id: UUID) -> None:
    """What a parcel costs, and whether it is the last one, is decided anew when the order's other units have changed.

    Only a parcel whose capture was refused has a charge and is still here.
    """
    await session.execute(
        update(Fulfillment)
        .where(
            Fulfillment.order_id == order_id,
            Fulfillment.status == FulfillmentStatus.PENDING,
            Fulfillment.replaces_id.is_(None),
        )
        .values(charge=None, is_last=False)
    )


async def waiting_units(session: AsyncSession, order_id: UUID) -> dict[UUID, int]:
    """Units of each order line that no parcel carries yet."""
    rows = await session.execute(WAITING_UNITS, {"order_id": order_id})
    return {row.id: row.waiting for row in rows}


WAITING_UNITS = text(
    """
    SELECT order_lines.id,
           order_lines.quantity - order_lines.cancelled - coalesce(sum(packed.quantity), 0)::int AS waiting
    FROM order_lines LEFT JOIN (
        SELECT fulfillment_items.order_line_id, fulfillment_items.quantity
        FROM fulfillment_items JOIN fulfillments ON fulfillments.id = fulfillment_items.fulfillment_id
        WHERE fulfillments.order_id = :order_id
          AND (fulfillments.status <> 'cancelled' OR fulfillments.remedy = 'refund')
    ) AS packed ON packed.order_line_id = order_lines.id
    WHERE order_lines.order_id = :order_id
    GROUP BY order_lines.id
    HAVING order_lines.quantity - order_lines.cancelled > coalesce(sum(packed.quantity), 0)
    ORDER BY order_lines.position
    """
)


async def tell(session: AsyncSession, parcel: Fulfillment, happened: str, actor: str) -> None:
    await record(
        session,
        parcel.order_id,
        happened,
        actor=actor,
        data={"fulfillment_id": parcel.id, "carrier": parcel.carrier, "tracking_number": parcel.tracking_number},
    )


async def is_anything_wanted(session: AsyncSession, order_id: UUID) -> bool:
    """Are there units that are neither cancelled, nor lost and refunded?"""
    return bool((await session.execute(PROGRESS, {"order_id": order_id})).one().wanted)


async def follow(session: AsyncSession, order: Order, actor: str) -> None:
    """Move the order as far as its parcels are."""
    progress = (await session.execute(PROGRESS, {"order_id": order.id})).one()
    before = OrderStatus(order.status)
    if progress.wanted == 0:  # all that was sent is lost, and nothing else is wanted any more
        parcels, after = OrderFulfillmentStatus.CANCELLED, OrderStatus.CANCELLED
        await promotions.give_back(session, order.id)
        order.cancel_reason = CancelReason.UNDELIVERABLE  # not written before its status is
    elif progress.delivered == progress.wanted:
        parcels, after = OrderFulfillmentStatus.DELIVERED, OrderStatus.DELIVERED
    elif progress.shipped == progress.wanted:
        after = OrderStatus.SHIPPED
        parcels = OrderFulfillmentStatus.PARTIALLY_DELIVERED if progress.delivered else OrderFulfillmentStatus.SHIPPED
    else:
        after = before
        have_left = progress.have_left
        parcels = OrderFulfillmentStatus.PARTIALLY_SHIPPED if have_left else OrderFulfillmentStatus.UNFULFILLED
    check_move_of_order(OrderFulfillmentStatus(order.fulfillment_status), parcels)
    order.fulfillment_status, order.updated_at = parcels, func.now()
    # The last units that were still here may be given up when all others have arrived: then both happen at once.
    on_the_way = [OrderStatus.SHIPPED] if before is OrderStatus.CONFIRMED and after is OrderStatus.DELIVERED else []
    for status in [*on_the_way, after] if after is not before else []:
        check_move(OrderStatus(order.status), status)
        order.status = status
        await session.flush()
        await record(session, order.id, f"order.{status}", actor=actor)
    if after is not before and after in LETTERS:
        await mailbox.ask_for(session, LETTERS[after], order.id)
    await session.flush()
    await returns.follow(session, order)  # what is lost need not come back


LETTERS = {OrderStatus.DELIVERED: Occasion.ORDER_DELIVERED, OrderStatus.CANCELLED: Occasion.ORDER_CANCELLED}

PROGRESS = text(
    """
    SELECT (SELECT sum(quantity - cancelled) FROM order_lines WHERE order_id = :order_id)
               - coalesce(sum(fulfillment_items.quantity) FILTER (WHERE fulfillments.remedy = 'refund'), 0) AS wanted,
           count(fulfillments.shipped_at) AS have_left,
           coalesce(sum(fulfillment_items.quantity) FILTER (WHERE fulfillments.status IN ('shipped', 'delivered')), 0)
               AS shipped,
           coalesce(sum(fulfillment_items.quantity) FILTER (WHERE fulfillments.status = 'delivered'), 0) AS delivered
    FROM fulfillments JOIN fulfillment_items ON fulfillment_items.fulfillment_id = fulfillments.id
    WHERE fulfillments.order_id = :order_id
    """
)


async def open_order(session: AsyncSession, order_id: UUID) -> Order:
    order = await locked(session, order_id)
    if order is None:
        raise Refusal("not_found", "There is no such order.")
    return order


async def parcel_of(session: AsyncSession, order_id: UUID, fulfillment_id: UUID) -> Fulfillment:
    parcel = await session.get(Fulfillment, fulfillment_id, populate_existing=True)
    if parcel is None or parcel.order_id != order_id:
        raise Refusal("not_found", "There is no such fulfillment.")
    return parcel


def check_parcel(parcel: Fulfillment, expected: FulfillmentStatus) -> None:
    if parcel.status != expected:
        raise Refusal(
            "order_transition_not_allowed",
            f"The fulfillment is {parcel.status}; this is possible only while it is {expected}.",
            current_status=parcel.status,
            allowed=allowed_moves(FulfillmentStatus(parcel.status)),
        )


async def contents_of(session: AsyncSession, fulfillment_id: UUID) -> dict[UUID, int]:
    rows = await session.execute(
        select(FulfillmentItem.order_line_id, FulfillmentItem.quantity).where(
            FulfillmentItem.fulfillment_id == fulfillment_id
        )
    )
    return {row.order_line_id: row.quantity for row in rows}


async def variants_of(session: AsyncSession, fulfillment_id: UUID) -> Mapping[UUID, int]:
    rows = await session.execute(
        text(
            """
            SELECT order_lines.variant_id, sum(fulfillment_items.quantity)::int AS quantity
            FROM fulfillment_items JOIN order_lines ON order_lines.id = fulfillment_items.order_line_id
            WHERE fulfillment_items.fulfillment_id = :id GROUP BY order_lines.variant_id
            """
        ),
        {"id": fulfillment_id},
    )
    return {row.variant_id: row.quantity for row in rows}


UNSENT = text(
    """
    SELECT order_lines.quantity, order_lines.line_total - order_lines.discount + order_lines.tax AS cost,
           order_lines.quantity - coalesce(sum(sent.quantity), 0)::int AS unsent
    FROM order_lines LEFT JOIN (
        SELECT fulfillment_items.order_line_id, fulfillment_items.quantity
        FROM fulfillment_items JOIN fulfillments AS parcels ON parcels.id = fulfillment_items.fulfillment_id
        WHERE parcels.order_id = :order_id AND parcels.replaces_id IS NULL
          AND (parcels.status <> 'cancelled' OR parcels.undelivered IS NOT NULL)
          AND (parcels.charge IS NOT NULL OR parcels.id = :parcel)
    ) AS sent ON sent.order_line_id = order_lines.id
    WHERE order_lines.order_id = :order_id
    GROUP BY order_lines.id
    """
)
"""Units of each line that are not in this parcel, nor in one that is captured for: also if that is on its way."""

CHARGED = text(
    """
    SELECT sum(charge) FROM fulfillments
    WHERE order_id = :order_id AND id <> :parcel AND replaces_id IS NULL
      AND (status <> 'cancelled' OR undelivered IS NOT NULL)
    """
)
"""What other parcels capture: also those whose capture is on its way."""


async def _leaves_nothing_behind(session: AsyncSession, order_id: UUID, fulfillment_id: UUID) -> bool:
    """Is this the last parcel: no units wait, and no other parcel still has to leave?"""
    others = await session.scalar(
        select(func.count())
        .select_from(Fulfillment)
        .where(
            Fulfillment.order_id == order_id,
            Fulfillment.id != fulfillment_id,
            Fulfillment.status == FulfillmentStatus.PENDING,
        )
    )
    return not others and not await waiting_units(session, order_id)


async def state_of(session: AsyncSession, order: Order, parcel: Fulfillment) -> ShipmentState:
    waiting = await waiting_units(session, order.id)
    return ShipmentState(
        fulfillment_id=parcel.id,
        status=FulfillmentStatus(parcel.status),
        order_status=OrderStatus(order.status),
        open_units=sum(waiting.values()),
        waits=await deadlines.waits(session, order.id),
    )
