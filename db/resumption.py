"""Where the things stand that have a story, for a story that begins again there."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from db import customers, deadlines, orders, parcels, refunds, returns
from db.erasures import ErasureWish
from db.exports import CatalogExport
from db.imports import CatalogImport
from db.orders import Order
from db.payments import Payment
from domain.attention import Concern
from domain.audit import Prescription
from domain.customers import AccountStatus, RegisterCustomer
from domain.deadlines import Term
from domain.erasures import ErasePerson
from domain.exports import ENDED, WriteExport
from domain.imports import ImportCatalog, ImportStatus
from domain.money import Money
from domain.orders import OrderAftercare, OrderAttention, OrderStatus, StartCheckout, number_of
from domain.payments import MANUAL, GiveMoneyBack, PaymentStatus, ReleasePayment, authorize_key
from domain.refunds import RefundStatus
from domain.returns import FollowReturn, ReturnStatus, SettleReturn
from domain.shipping import FulfillmentSoFar, FulfillOrder

OF_STORIES = (
    Concern.PAYMENT_UNKNOWN,
    Concern.CAPTURE_REFUSED,
    Concern.UNDO_FAILING,
    Concern.LATE_PARCEL,
    Concern.AUTHORIZATION_EXPIRING,
)
"""What a story calls a person for, and takes back itself: the next one finds out anew whether anybody is needed."""
OVER = Prescription(problem="it is over; nothing is left to do")


async def of_order(session: AsyncSession, order_id: UUID, *, transfer_term: Term) -> Prescription:
    """Its checkout again, with the same ids, or its Fulfillment from where the tables have it.

    What is left of the time for a bank transfer is left; ``transfer_term`` is all of it.
    """
    order = await orders.locked(session, order_id)
    if order is None or order.status in (OrderStatus.DELIVERED, OrderStatus.CANCELLED):
        return OVER
    for concern in OF_STORIES:
        await orders.attend(session, OrderAttention(order_id=order.id, concern=concern, detail=None))
    if order.status == OrderStatus.PENDING:
        return Prescription(checkout=await _checkout(session, order, transfer_term))
    return Prescription(customer=_customer(order), fulfillment=await _fulfillment(session, order))


async def _checkout(session: AsyncSession, order: Order, transfer_term: Term) -> StartCheckout:
    wish = (
        await session.execute(text("SELECT * FROM checkouts WHERE order_id = :order_id"), {"order_id": order.id})
    ).one()
    time = await _time_for_the_transfer(session, order, transfer_term) if wish.payment_method == MANUAL else None
    return StartCheckout(
        order_id=order.id,
        order_number=number_of(order.number),
        cart_id=order.cart_id,
        payment_id=wish.payment_id,
        payment_method=wish.payment_method,
        customer=_customer(order),
        expected_total_minor=wish.expected_total,
        transfer_window=time.left if time else None,
        transfer_until=time.until if time else None,
        is_resumed=True,
    )


class TransferTime(NamedTuple):
    until: datetime
    left: timedelta


async def _time_for_the_transfer(session: AsyncSession, order: Order, all_of_it: Term) -> TransferTime:
    payment = (
        await session.execute(text("SELECT due_at, now() AS now FROM payments WHERE order_id = :id"), {"id": order.id})
    ).one()
    until = payment.due_at or all_of_it.end(payment.now)
    return TransferTime(until, max(until - payment.now, timedelta(0)))


async def _fulfillment(session: AsyncSession, order: Order) -> FulfillOrder:
    units = (await session.execute(UNITS, {"order_id": order.id})).one()
    waiting = await parcels.waiting_units(session, order.id)
    payment = await _payment(session, order.id)
    return FulfillOrder(
        order_id=order.id,
        order_number=number_of(order.number),
        payment_id=payment.id,
        total=order.due,
        units=units.ordered,
        authorize_key=authorize_key(order.id),
        transfer_due_at=payment.due_at if payment.status == PaymentStatus.PENDING else None,
        so_far=FulfillmentSoFar(
            status=OrderStatus(order.status),
            waiting_units=sum(waiting.values()),
            has_shipped=units.has_shipped,
            waits=await deadlines.waits(session, order.id),
            authorizations=1 + units.renewed,
            is_held=order.hold_note_id is not None,
        ),
    )


UNITS = text(
    """
    SELECT (SELECT sum(quantity)::int FROM order_lines WHERE order_id = :order_id) AS ordered,
           EXISTS (SELECT FROM fulfillments WHERE order_id = :order_id AND shipped_at IS NOT NULL) AS has_shipped,
           (SELECT count(*)::int FROM order_events WHERE order_id = :order_id AND type = 'order.payment_renewed')
               AS renewed
    """
)


async def of_refund(session: AsyncSession, refund_id: UUID) -> Prescription:
    refund = await session.get(refunds.Refund, refund_id)
    if refund is None or refund.status != RefundStatus.REQUESTED:
        return OVER
    return await to_refund(session, refund)


async def to_refund(session: AsyncSession, refund: refunds.Refund) -> Prescription:
    return Prescription(
        customer=_customer(await session.get_one(Order, refund.order_id)),
        refund=replace(await refunds.to_pay_back(session, refund), is_resumed=True),
    )


async def to_release(session: AsyncSession, order_id: UUID) -> Prescription:
    """What the order's card still holds."""
    payment = await _payment(session, order_id)
    key = f"order/{order_id}/release"
    return Prescription(release=ReleasePayment(payment_id=payment.id, order_id=order_id, key=key))


async def to_give_back(session: AsyncSession, order_id: UUID, reference: str) -> Prescription:
    """A payment beside the order's own, or late; by a key of its own, as that one may have been given back before."""
    payment = await _payment(session, order_id)
    return Prescription(
        give_back=GiveMoneyBack(
            payment_id=payment.id,
            order_id=order_id,
            total=Money.zero(payment.currency),
            authorize_key=f"stray:{reference}",
            reference=reference,
        )
    )


async def _payment(session: AsyncSession, order_id: UUID) -> Payment:
    return (await session.scalars(select(Payment).where(Payment.order_id == order_id))).one()


async def of_return(session: AsyncSession, return_id: UUID) -> Prescription:
    """Goods that are here and paid back need no story any more: the return is settled at once.

    When the provider refuses to refund them, the story waits for a person.
    """
    made = await session.get(returns.Return, return_id)
    if made is None or made.status in (ReturnStatus.REFUNDED, ReturnStatus.REJECTED):
        return OVER
    if made.status == ReturnStatus.RECEIVED and made.id not in await returns.refused(session, made.order_id):
        await returns.settle(session, SettleReturn(return_id=made.id, order_id=made.order_id))
        return Prescription()
    order = await session.get_one(Order, made.order_id)
    return Prescription(
        customer=_customer(order),
        follow_return=FollowReturn(
            return_id=made.id,
            order_id=order.id,
            order_number=number_of(order.number),
            status=ReturnStatus(made.status),
        ),
    )


async def of_delivered_order(session: AsyncSession, order_id: UUID) -> Prescription:
    order = await session.get(Order, order_id)
    if order is None or order.status != OrderStatus.DELIVERED or order.closed_at is not None:
        return OVER
    return Prescription(
        customer=_customer(order),
        aftercare=OrderAftercare(order_id=order.id, order_number=number_of(order.number)),
    )


async def of_account(
    session: AsyncSession, user_id: UUID, *, reminder_after: timedelta, verification_window: timedelta
) -> Prescription:
    """What is left of its time is left; one whose time is over expires at once."""
    account = await customers.by_id(session, user_id)
    if account is None or account.status != AccountStatus.PENDING_VERIFICATION:
        return OVER
    age = datetime.now(UTC) - account.created_at
    return Prescription(
        registration=RegisterCustomer(
            user_id=account.id,
            reminder_after_seconds=_left_of(reminder_after, age),
            expires_after_seconds=_left_of(verification_window, age),
        )
    )


def _left_of(window: timedelta, age: timedelta) -> int:
    return max(0, int((window - age).total_seconds()))


async def of_import(session: AsyncSession, import_id: UUID) -> Prescription:
    """The rest of the pass that it is in."""
    made = await session.get(CatalogImport, import_id)
    if made is None or made.status not in (ImportStatus.WAITING, ImportStatus.RUNNING):
        return OVER
    return Prescription(
        catalog_import=ImportCatalog(import_id=made.id, attempt=made.attempt, chunk=made.chunks),
    )


async def of_erasure(session: AsyncSession, erasure_id: UUID) -> Prescription:
    wish = await session.get(ErasureWish, erasure_id)
    if wish is None or wish.erased_at is not None:
        return OVER
    return Prescription(erasure=ErasePerson(erasure_id=wish.id))


async def of_export(session: AsyncSession, export_id: UUID) -> Prescription:
    """All of it again: a picture cannot be handed on."""
    made = await session.get(CatalogExport, export_id)
    if made is None or made.status in ENDED:
        return OVER
    return Prescription(catalog_export=WriteExport(export_id=made.id))


def _customer(order: Order) -> str:
    return str(order.user_id) if order.user_id else "guest"
