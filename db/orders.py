"""Orders: their lines, their status, and the timeline of all that happened to them."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, func, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from db import carts, checkouts, concerns, credit, inventory, mailbox, payments, promotions, shipping
from db.base import Base, Id, Now, new_id, one_of
from db.tracing import traceparent
from db.versioned import Versions, stale
from domain.deadlines import Term
from domain.errors import Refusal
from domain.events import as_told, version_of
from domain.money import Money
from domain.notifications import Occasion
from domain.orders import (
    AwaitCustomer,
    AwaitProvider,
    CancelOrder,
    CancelReason,
    CloseOrder,
    Closing,
    ConfirmOrder,
    OrderAttention,
    OrderState,
    OrderStatus,
    PendingStep,
    allowed_moves,
    check_move,
)
from domain.payments import (
    Answer,
    AwaitTransfer,
    PaymentAuthorization,
    PaymentStatus,
    RemindOfTransfer,
    TransferReceived,
)
from domain.returns import OPEN_RETURNS, OrderReturnStatus
from domain.settling import LineCost, worth_of_staying
from domain.shipping import OrderFulfillmentStatus


class Order(Base):
    """Amounts are minor units of the order's one currency."""

    __tablename__ = "orders"

    id: Mapped[Id]
    number: Mapped[int] = mapped_column(BigInteger, unique=True)
    cart_id: Mapped[UUID]
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    email: Mapped[str]
    status: Mapped[str] = mapped_column(server_default=OrderStatus.PENDING)
    payment_status: Mapped[str] = mapped_column(server_default=PaymentStatus.PENDING)
    fulfillment_status: Mapped[str] = mapped_column(server_default=OrderFulfillmentStatus.UNFULFILLED)
    pending_step: Mapped[str | None]
    """What a pending order waits for, where nothing else says it."""
    return_status: Mapped[str] = mapped_column(server_default=OrderReturnStatus.NONE)
    currency: Mapped[str]
    subtotal: Mapped[int] = mapped_column(BigInteger)
    discount: Mapped[int] = mapped_column(BigInteger)
    shipping: Mapped[int] = mapped_column(BigInteger)
    tax: Mapped[int] = mapped_column(BigInteger)
    total: Mapped[int] = mapped_column(BigInteger)
    credit: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    """What of the total gift cards and store credit have paid; the rest is the amount of its payment."""
    shipping_discount: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    """What of the discount lowers the costs of shipping; the rest is that of the lines."""
    shipping_tax: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    """What of the tax is added to the costs of shipping; the rest is that of the lines."""
    included_tax: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    """What of the total is tax that the prices contain already."""
    pricing: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    """How the amounts came about, as it was known when the order was placed: nothing is ever computed again."""
    shipping_method: Mapped[str]
    shipping_address: Mapped[dict[str, Any]] = mapped_column(JSONB)
    cancel_reason: Mapped[str | None]
    cancel_note_id: Mapped[UUID | None]
    """The audit log's entry with the words of whoever cancelled."""
    attention: Mapped[str | None]
    """What a person has to decide; ``None`` when nobody has to."""
    hold_note_id: Mapped[UUID | None]
    """The audit log's entry that says why nothing of it may leave; ``None`` when it may."""
    claimed_at: Mapped[datetime | None]
    """When a guest's order became that of the account with its e-mail address."""
    closed_at: Mapped[datetime | None]
    """Since when nothing of the delivered order can come back any more."""
    created_at: Mapped[Now]
    updated_at: Mapped[Now]

    __table_args__ = (
        Index("uq_orders_cart_id", "cart_id", unique=True, postgresql_where=text("status <> 'cancelled'")),
        Index("ix_orders_user_id_id", "user_id", "id"),
        Index("ix_orders_status_id", "status", "id"),
        Index("ix_orders_payment_status_id", "payment_status", "id"),
        Index("ix_orders_email", func.lower(text("email"))),
        CheckConstraint("claimed_at IS NULL OR user_id IS NOT NULL", name="claimed_has_owner"),
        CheckConstraint(one_of("status", OrderStatus), name="status"),
        CheckConstraint(one_of("payment_status", PaymentStatus), name="payment_status"),
        CheckConstraint(one_of("fulfillment_status", OrderFulfillmentStatus), name="fulfillment_status"),
        CheckConstraint(one_of("return_status", OrderReturnStatus), name="return_status"),
        CheckConstraint("total = subtotal - discount + shipping + tax", name="total_adds_up"),
        CheckConstraint("least(subtotal, discount, shipping, tax, total) >= 0", name="amounts_not_negative"),
        CheckConstraint(
            "shipping_discount BETWEEN 0 AND least(shipping, discount)", name="shipping_discount_within_shipping"
        ),
        CheckConstraint("credit BETWEEN 0 AND total", name="credit_within_total"),
        CheckConstraint("shipping_tax BETWEEN 0 AND tax", name="shipping_tax_within_tax"),
        CheckConstraint("included_tax BETWEEN 0 AND total - tax", name="included_tax_within_total"),
        CheckConstraint(one_of("pending_step", PendingStep), name="pending_step"),
        CheckConstraint("pending_step IS NULL OR status = 'pending'", name="pending_step_is_of_pending"),
        CheckConstraint("(status = 'cancelled') = (cancel_reason IS NOT NULL)", name="cancelled_has_reason"),
        CheckConstraint(
            "closed_at IS NULL OR (status = 'delivered' AND return_status NOT IN ('requested', 'in_progress'))",
            name="closed_is_delivered",
        ),
    )

    @property
    def due(self) -> Money:
        """What its payment is of."""
        return Money(self.total - self.credit, self.currency)


class OrderLine(Base):
    """What was ordered, copied at the moment of ordering: later changes of the catalogue do not reach it."""

    __tablename__ = "order_lines"

    id: Mapped[Id]
    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id"), index=True)
    position: Mapped[int]
    variant_id: Mapped[UUID]
    sku: Mapped[str]
    name: Mapped[str]
    quantity: Mapped[int]
    unit_price: Mapped[int] = mapped_column(BigInteger)
    base_price: Mapped[int | None] = mapped_column(BigInteger)
    """What a unit would have cost without the price list; ``None`` where none decided."""
    price_list: Mapped[str | None]
    """The code of the list that made the unit price, as it was called then."""
    line_total: Mapped[int] = mapped_column(BigInteger)
    discount: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    tax: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    """What is added to the price; a line costs its total, less its discount, plus this."""
    included_tax: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    """What the price contains of tax."""
    cancelled: Mapped[int] = mapped_column(server_default=text("0"))
    """Units that were given up before they were sent."""

    __table_args__ = (
        CheckConstraint("quantity > 0", name="quantity_positive"),
        CheckConstraint("cancelled BETWEEN 0 AND quantity", name="cancelled_within_ordered"),
        CheckConstraint("line_total = unit_price * quantity", name="line_total_adds_up"),
        CheckConstraint("num_nulls(base_price, price_list) IN (0, 2)", name="price_list_has_base_price"),
        CheckConstraint("base_price >= 0", name="base_price_not_negative"),
        CheckConstraint("discount BETWEEN 0 AND line_total", name="discount_within_line"),
        CheckConstraint("least(tax, included_tax) >= 0", name="taxes_not_negative"),
        CheckConstraint("included_tax <= line_total - discount", name="included_tax_within_line"),
    )


class OrderEvent(Base):
    """One entry of an order's timeline. Rows are only ever added."""

    __tablename__ = "order_events"

    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id"), primary_key=True)
    sequence: Mapped[int] = mapped_column(primary_key=True)
    type: Mapped[str]
    actor: Mapped[str]
    data: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    at: Mapped[Now]


async def record(
    session: AsyncSession,
    order_id: UUID,
    happened: str,
    *,
    actor: str = "system",
    data: Mapping[str, Any] | None = None,
    also_told: Mapping[str, Any] | None = None,
) -> None:
    """Add to the order's timeline and to the outbox, in the transaction that made it true.

    The caller holds the lock of the order's row, which keeps the sequence gapless. ``data``, and what is ``also_told``
    and not shown on the timeline, go out to other systems as ``domain.events`` promises: ids and amounts, nobody's
    name or address.
    """
    await session.execute(
        RECORD,
        {
            "order_id": order_id,
            "type": happened,
            "actor": actor,
            "data": json.dumps(data or {}, default=str),
            "told": json.dumps(as_told({**(data or {}), **(also_told or {})}), default=str),
            "event_id": new_id(),
            "version": version_of(happened),
            "traceparent": traceparent(),
        },
    )


RECORD = text(
    """
    WITH event AS (
        INSERT INTO order_events (order_id, sequence, type, actor, data)
        SELECT :order_id, coalesce(max(sequence), 0) + 1, :type, :actor, CAST(:data AS jsonb)
        FROM order_events WHERE order_id = :order_id
        RETURNING order_id, sequence, type, at
    )
    INSERT INTO outbox (event_id, type, version, key, payload, traceparent)
    SELECT :event_id, type, :version, CAST(order_id AS text),
           jsonb_build_object('order_id', order_id, 'sequence', sequence, 'order', order_standing(orders),
                              'at', to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
               || CAST(:told AS jsonb),
           :traceparent
    FROM event JOIN orders ON orders.id = event.order_id
    """
)


async def check_version(
    session: AsyncSession, order_id: UUID, expected: Versions, *, unless_just: tuple[str, str] | None = None
) -> None:
    """Refuses ``precondition_failed`` for a change of another version of the order than it is based on.

    The version is the number of the newest entry of its timeline: nothing of an order changes without one. The caller
    holds the lock of the order's row, so of two changes that are based on the same version one comes too late.
    The same change by the same actor is no other one (``unless_just``): the answer to it may have got lost.
    """
    if expected is None:
        return
    newest = (await session.execute(NEWEST, {"order_id": order_id})).one_or_none()
    version = newest.sequence if newest else 0
    is_repeated = newest is not None and (newest.type, newest.actor) == unless_just and version - 1 in expected
    if version not in expected and not is_repeated:
        raise stale()


NEWEST = text(
    "SELECT sequence, type, actor FROM order_events WHERE order_id = :order_id ORDER BY sequence DESC LIMIT 1"
)


async def locked(session: AsyncSession, order_id: UUID) -> Order | None:
    """The order, with its row locked until the transaction ends."""
    found = await session.scalars(
        select(Order).where(Order.id == order_id).with_for_update().execution_options(populate_existing=True)
    )
    return found.one_or_none()


async def await_customer(session: AsyncSession, request: AwaitCustomer) -> OrderState:
    """The payer must act: note where, once."""
    order = await _existing(session, request.order_id)
    if order.status == OrderStatus.PENDING and order.payment_status == PaymentStatus.PENDING:
        authorization = request.authorization
        await payments.requires_action(
            session, request.payment_id, authorization.reference, redirect_url=authorization.redirect_url
        )
        order.payment_status, order.pending_step = PaymentStatus.REQUIRES_ACTION, None
        order.updated_at = func.now()
        await session.flush()
        await record(session, order.id, "order.payment_requires_action")
    return state_of(order)


async def await_provider(session: AsyncSession, request: AwaitProvider) -> OrderState:
    """Nobody knows about the payment: note that once, and let the order keep its goods meanwhile, each time anew."""
    order = await _existing(session, request.order_id)
    if order.status == OrderStatus.PENDING:
        await inventory.keep(session, order.id, hold_seconds=request.hold_seconds)
        if order.pending_step is None:
            order.pending_step, order.updated_at = PendingStep.PAYMENT_UNKNOWN, func.now()
            await session.flush()
            await record(session, order.id, "order.payment_unknown")
    return state_of(order)


async def renew_payment(session: AsyncSession, order_id: UUID, reference: str) -> None:
    """The card's money is held once more, after the provider had let go of it: note under which name, once."""
    order = await _existing(session, order_id)
    if await payments.renew(session, order.id, reference):
        order.updated_at = func.now()
        await session.flush()
        await record(session, order.id, "order.payment_renewed")


async def release_payment(session: AsyncSession, order_id: UUID) -> PaymentStatus:
    """Nothing more of the card's money will be taken: note that, once."""
    order = await _existing(session, order_id)
    if await payments.released(session, order.id):
        order.payment_status, order.updated_at = PaymentStatus.CAPTURED, func.now()
        await session.flush()
        await record(session, order.id, "order.payment_released")
    return PaymentStatus(order.payment_status)


async def await_transfer(session: AsyncSession, request: AwaitTransfer) -> OrderState:
    """The customer is asked by mail for a bank transfer, once."""
    order = await _existing(session, request.order_id)
    if order.status == OrderStatus.PENDING and order.pending_step != PendingStep.TRANSFER_AWAITED:
        order.pending_step, order.updated_at = PendingStep.TRANSFER_AWAITED, func.now()
        await payments.expect(session, request.payment_id, request.due_at)
        await inventory.hold_until(session, order.id, request.due_at)
        await mailbox.ask_for(session, Occasion.TRANSFER_AWAITED, order.id)
        await session.flush()
        await record(session, order.id, "order.transfer_awaited", data={"due_at": request.due_at.isoformat()})
    return state_of(order)


async def remind_of_transfer(session: AsyncSession, request: RemindOfTransfer) -> OrderState:
    order = await _existing(session, request.order_id)
    if order.status == OrderStatus.PENDING:
        await mailbox.ask_for(session, Occasion.TRANSFER_REMINDER, order.id)
    return state_of(order)


async def confirm(session: AsyncSession, request: ConfirmOrder) -> OrderState:
    """The order is paid for and its reserved stock is its own; content when it is confirmed already.

    Money of a bank transfer is ours at once, and what a person has allowed to go without it is still expected.

    Refuses ``order_transition_not_allowed`` for an order that is not pending, and ``amount_mismatch`` when the
    provider holds another amount than the order's total, less its credit.
    """
    authorization = request.authorization
    status = _paid_by(authorization)
    confirmed = await session.execute(
        CONFIRM,
        {
            "order_id": request.order_id,
            "payment_id": request.payment_id,
            "reference": authorization.reference,
            "status": status,
            "authorized": authorization.amount_minor,
            "captured": authorization.amount_minor if authorization.is_captured else 0,
            "note_id": request.note_id,
        },
    )
    if (order := confirmed.one_or_none()) is None:
        return await _confirmed_before(session, request)
    await record(
        session,
        request.order_id,
        "order.confirmed",
        actor=request.actor,
        data={"total": order.total, "currency": order.currency},
    )
    return OrderState(order_id=request.order_id, status=OrderStatus.CONFIRMED, payment_status=status)


def _paid_by(authorization: PaymentAuthorization) -> PaymentStatus:
    if authorization.answer is Answer.EXPECTED:
        return PaymentStatus.PENDING
    return PaymentStatus.CAPTURED if authorization.is_captured else PaymentStatus.AUTHORIZED


CONFIRM = text(
    """
    WITH confirmed AS (
        UPDATE orders SET status = 'confirmed', payment_status = CAST(:status AS text), pending_step = NULL,
               updated_at = now()
        WHERE id = :order_id AND status = 'pending'
          AND (total - credit = :authorized OR CAST(:status AS text) = 'pending')
        RETURNING id, cart_id, total, currency
    ), paid AS (
        UPDATE payments SET status = CAST(:status AS text), authorized = :authorized, captured = :captured,
               provider_reference = :reference, redirect_url = NULL, updated_at = now(),
               received_note_id = CASE WHEN CAST(:status AS text) = 'captured' THEN CAST(:note_id AS uuid) END
        FROM confirmed WHERE payments.id = :payment_id
    ), bought AS (
        UPDATE carts SET completed_at = now(), updated_at = now(), version = version + 1
        FROM confirmed WHERE carts.id = confirmed.cart_id
    ), letter AS (
        INSERT INTO letters (key, occasion, about)
        SELECT 'order_confirmed:' || id, 'order_confirmed', id FROM confirmed
        ON CONFLICT DO NOTHING
    ), kept AS (
        UPDATE stock_holds SET expires_at = NULL FROM confirmed WHERE stock_holds.order_id = confirmed.id
    )
    SELECT total, currency FROM confirmed
    """
)


async def receive_transfer(session: AsyncSession, request: TransferReceived) -> OrderState:
    """The money of an order that was confirmed without it has come after all; content when that was noted before."""
    order = await _existing(session, request.order_id)
    if order.status in (OrderStatus.PENDING, OrderStatus.CANCELLED):
        check_move(OrderStatus(order.status), OrderStatus.CONFIRMED)
    if order.payment_status == PaymentStatus.PENDING:
        paid = await still_to_pay(session, order)
        order.payment_status = await payments.received(session, order.id, paid, note_id=request.note_id)
        order.updated_at = func.now()
        await session.flush()
        await record(
            session,
            order.id,
            "order.transfer_received",
            actor=request.actor,
            data={"amount": paid, "currency": order.currency},
        )
    return state_of(order)


async def still_to_pay(session: AsyncSession, order: Order) -> int:
    """What the units that are wanted cost beyond what credit has paid, in minor units."""
    held = await credit.held_of(session, order.id)
    return order.total - await worth_of_cancelled(session, order.id) - held.amount


async def worth_of_cancelled(session: AsyncSession, order_id: UUID) -> int:
    """What the units that are cancelled by now were worth to their customer, in minor units."""
    rows = await session.execute(CANCELLED_UNITS, {"order_id": order_id})
    return worth_of_staying((LineCost(quantity=row.quantity, cost=row.cost), row.cancelled) for row in rows)


CANCELLED_UNITS = text(
    """
    SELECT quantity, line_total - discount + tax AS cost, cancelled FROM order_lines
    WHERE order_id = :order_id AND cancelled > 0
    """
)


async def _confirmed_before(session: AsyncSession, request: ConfirmOrder) -> OrderState:
    order = await _existing(session, request.order_id)
    if order.status == OrderStatus.PENDING:
        raise Refusal("amount_mismatch", "The provider holds another amount than the order's total.")
    if order.status != OrderStatus.CONFIRMED:
        check_move(OrderStatus(order.status), OrderStatus.CONFIRMED)
    return state_of(order)


async def cancel(session: AsyncSession, request: CancelOrder) -> OrderState:
    """Stock back, order cancelled, and the cart of an order that was never paid is open again.

    Content when there is no such order, when it was never placed, or when it is cancelled already. Refuses
    ``order_transition_not_allowed`` once anything has shipped.
    """
    order = await locked(session, request.order_id)
    if order is None:
        # Waits for a placement that is under way, and stops every later one.
        await checkouts.refuse(session, request.order_id)
        order = await locked(session, request.order_id)
    if order is None:
        return OrderState(order_id=request.order_id, status=OrderStatus.CANCELLED, payment_status=PaymentStatus.PENDING)
    if order.status == OrderStatus.CANCELLED:
        return state_of(order)
    check_move(OrderStatus(order.status), OrderStatus.CANCELLED)
    if order.fulfillment_status != OrderFulfillmentStatus.UNFULFILLED:
        raise Refusal(
            "order_transition_not_allowed",
            "A parcel of this order has left; the order cannot be cancelled any more.",
            current_status=order.status,
            allowed=allowed_moves(OrderStatus(order.status), but=OrderStatus.CANCELLED),
        )
    if order.status == OrderStatus.CONFIRMED:
        await mailbox.ask_for(session, Occasion.ORDER_CANCELLED, order.id)
    if order.status == OrderStatus.PENDING:
        await carts.reopen(session, order.cart_id, order.id)  # first the cart, as a placement locks them
        await checkouts.refuse(session, order.id)
    await inventory.release(session, order.id, reason="cancelled")
    credit_back = await credit.give_back(session, order.id, why=f"order/{order.id}", actor=request.actor)
    await promotions.give_back(session, order.id)
    await shipping.cancel_pending(session, order.id)
    order.payment_status = await payments.close(session, order.id, request.money, request.declined)
    order.status, order.cancel_reason, order.pending_step = OrderStatus.CANCELLED, request.reason, None
    order.fulfillment_status = OrderFulfillmentStatus.CANCELLED
    order.cancel_note_id = request.note_id
    if request.reason == CancelReason.PAYMENT_EXPIRED and await payments.was_expected(session, order.id):
        await mailbox.ask_for(session, Occasion.TRANSFER_EXPIRED, order.id)
    await concerns.settle(session, order.id)
    order.attention = await concerns.first_open(session, order.id)
    order.updated_at = func.now()
    await session.flush()
    await record(
        session,
        order.id,
        "order.cancelled",
        actor=request.actor,
        data={"reason": request.reason, "money": request.money},
        also_told={"credit_back": credit_back, "currency": order.currency},
    )
    return state_of(order)


async def close(session: AsyncSession, request: CloseOrder, *, return_term: Term) -> Closing:
    """Close the delivered order, unless something can be sent back, or is on its way; repeats change nothing."""
    order = await _existing(session, request.order_id)
    if order.closed_at is not None:
        return Closing(closed_at=order.closed_at)
    delivered_at = await session.scalar(LAST_DELIVERY, {"order_id": order.id})
    if delivered_at is not None and request.now < (end := return_term.end(delivered_at)):
        return Closing(look_again_at=end)
    if OrderReturnStatus(order.return_status) in OPEN_RETURNS:
        return Closing(look_again_at=request.now + PAUSE_WITH_OPEN_RETURNS)
    order.closed_at, order.updated_at = request.now, func.now()
    await session.flush()
    await record(session, order.id, "order.closed")
    return Closing(closed_at=request.now)


LAST_DELIVERY = text("SELECT max(delivered_at) FROM fulfillments WHERE order_id = :order_id AND status = 'delivered'")
PAUSE_WITH_OPEN_RETURNS = timedelta(days=1)


async def attend(session: AsyncSession, request: OrderAttention) -> OrderState:
    """Note what a person must look at, or that nobody has to; the timeline shows each change once."""
    order = await _existing(session, request.order_id)
    if request.detail is None:
        is_news = await concerns.settle(session, order.id, request.concern)
    else:
        is_news = await concerns.voice(session, order.id, request.concern, request.detail)
    if is_news:
        order.attention, order.updated_at = await concerns.first_open(session, order.id), func.now()
        await session.flush()
        happened = "order.needs_attention" if request.detail else "order.needs_no_attention"
        why = {"why": request.detail} if request.detail else {}
        await record(session, order.id, happened, data={"concern": request.concern, **why})
    return state_of(order)


async def _existing(session: AsyncSession, order_id: UUID) -> Order:
    order = await locked(session, order_id)
    if order is None:
        raise Refusal("not_found", "There is no such order.")
    return order


def state_of(order: Order) -> OrderState:
    return OrderState(
        order_id=order.id, status=OrderStatus(order.status), payment_status=PaymentStatus(order.payment_status)
    )
