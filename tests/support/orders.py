"""Orders in every state, written by the shop's own transactions without a workflow around them."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import text

from db import carts, checkouts, orders, placement
from db.base import new_id
from db.checkouts import Wish
from db.engine import Sessions
from domain.money import Money
from domain.orders import CancelOrder, CancelReason, ConfirmOrder, OrderStatus, PlacedOrder, PlaceOrder, number_of
from domain.payments import Answer, MoneyBack, PaymentAuthorization
from domain.shipping import MoveParcel, PlanShipment, ShipParcel, Units
from tests.support.shopper import ADDRESS

HOLD_SECONDS = 2100


@dataclass(frozen=True, kw_only=True)
class AnOrder:
    order_id: UUID
    order_number: str
    payment_id: UUID
    cart_id: UUID
    total: Money
    reference: str


async def a_cart(
    sessions: Sessions,
    *contents: tuple[UUID, int],
    currency: str = "USD",
    shipping: str | None = "standard",
    email: str | None = "ada.testcase@example.com",
    user_id: UUID | None = None,
) -> UUID:
    """A cart with these variants, complete enough to be ordered unless something is left out."""
    async with sessions.begin() as session:
        cart_id = await carts.create(session, user_id=user_id, currency=currency)
        cart = await carts.editable(session, cart_id)
        for variant_id, quantity in contents:
            await carts.add_item(session, cart, variant_id, quantity)
        cart.email, cart.shipping_address, cart.shipping_method = email, ADDRESS, shipping
    return cart_id


def a_wish(cart_id: UUID, **otherwise: Any) -> Wish:
    facts: dict[str, Any] = {
        "caller": f"guest:{uuid4().hex}",
        "idempotency_key": str(uuid4()),
        "request_hash": b"one request",
        "cart_id": cart_id,
        "payment_method": "pm_card_visa",
        "expected_total": None,
    }
    return Wish(**{**facts, **otherwise})


async def to_place(sessions: Sessions, cart_id: UUID, **otherwise: Any) -> PlaceOrder:
    """The request that places this cart's order, with its wish written down before."""
    async with sessions.begin() as session:
        intake = await checkouts.take_in(session, a_wish(cart_id))
    facts: dict[str, Any] = {
        "order_id": intake.order_id,
        "order_number": number_of(intake.order_number),
        "cart_id": cart_id,
        "payment_id": intake.payment_id,
        "expected_total_minor": None,
        "hold_seconds": HOLD_SECONDS,
    }
    return PlaceOrder(**{**facts, **otherwise})


async def place(sessions: Sessions, request: PlaceOrder) -> PlacedOrder:
    async with sessions.begin() as session:
        return await placement.place(session, request, provider="stripe")


async def a_placed_order(sessions: Sessions, *contents: tuple[UUID, int]) -> AnOrder:
    """A pending order: its goods are reserved, nothing is paid."""
    request = await to_place(sessions, await a_cart(sessions, *contents))
    placed = await place(sessions, request)
    return AnOrder(
        order_id=request.order_id,
        order_number=request.order_number,
        payment_id=request.payment_id,
        cart_id=request.cart_id,
        total=placed.total,
        reference=f"pi_{uuid4().hex}",
    )


def authorized(order: AnOrder, *, amount_minor: int | None = None, is_captured: bool = False) -> PaymentAuthorization:
    held = order.total.minor if amount_minor is None else amount_minor
    return PaymentAuthorization(
        answer=Answer.AUTHORIZED, reference=order.reference, amount_minor=held, is_captured=is_captured
    )


def to_confirm(order: AnOrder, **otherwise: Any) -> ConfirmOrder:
    return ConfirmOrder(
        order_id=order.order_id, payment_id=order.payment_id, authorization=authorized(order, **otherwise)
    )


async def a_confirmed_order(sessions: Sessions, *contents: tuple[UUID, int]) -> AnOrder:
    order = await a_placed_order(sessions, *contents)
    async with sessions.begin() as session:
        await orders.confirm(session, to_confirm(order))
    return order


def to_cancel(order: AnOrder, **otherwise: Any) -> CancelOrder:
    facts: dict[str, Any] = {
        "order_id": order.order_id,
        "reason": CancelReason.CUSTOMER,
        "actor": "customer:1",
        "money": MoneyBack.VOIDED,
    }
    return CancelOrder(**{**facts, **otherwise})


def to_plan(order: AnOrder, *items: tuple[UUID, int]) -> PlanShipment:
    """All that waits, unless lines and quantities are named."""
    return PlanShipment(
        order_id=order.order_id,
        fulfillment_id=new_id(),
        actor="operator:1",
        items=[Units(order_line_id=line, quantity=quantity) for line, quantity in items] or None,
    )


def to_ship(order: AnOrder, fulfillment_id: UUID) -> ShipParcel:
    return ShipParcel(
        order_id=order.order_id,
        fulfillment_id=fulfillment_id,
        carrier="UPS",
        tracking_number="1Z999",
        actor="operator:1",
    )


def to_move(order: AnOrder, fulfillment_id: UUID) -> MoveParcel:
    return MoveParcel(order_id=order.order_id, fulfillment_id=fulfillment_id, actor="operator:1")


async def lines_of(sessions: Sessions, order: AnOrder) -> dict[UUID, UUID]:
    """The order's lines by what they carry."""
    async with sessions() as session:
        rows = await session.execute(
            text("SELECT variant_id, id FROM order_lines WHERE order_id = :id"), {"id": order.order_id}
        )
        return {row.variant_id: row.id for row in rows}


async def timeline_of(sessions: Sessions, order_id: UUID) -> list[str]:
    async with sessions() as session:
        rows = await session.scalars(
            text("SELECT type FROM order_events WHERE order_id = :id ORDER BY sequence"), {"id": order_id}
        )
        return list(rows)


@dataclass(frozen=True, kw_only=True)
class Written:
    """All that the tables say about an order; two of these are equal when nothing happened in between."""

    order: tuple[Any, ...] | None
    payment: tuple[Any, ...] | None
    cart: tuple[Any, ...] | None
    lines: tuple[tuple[Any, ...], ...]
    holds: tuple[tuple[Any, ...], ...]
    parcels: tuple[tuple[Any, ...], ...]
    events: tuple[tuple[Any, ...], ...]
    movements: tuple[tuple[Any, ...], ...]
    letters: tuple[tuple[Any, ...], ...]

    @property
    def status(self) -> OrderStatus | None:
        return OrderStatus(self.order[0]) if self.order else None


ABOUT = {
    "order": "SELECT status, payment_status, fulfillment_status, total, cancel_reason, updated_at "
    "FROM orders WHERE id = :order_id",
    "payment": "SELECT status, provider_reference, authorized, captured, refunded, decline_code, redirect_url, "
    "updated_at FROM payments WHERE order_id = :order_id",
    "cart": "SELECT version, order_id, completed_at FROM carts WHERE id = :cart_id",
    "lines": "SELECT sku, quantity, unit_price, line_total FROM order_lines WHERE order_id = :order_id "
    "ORDER BY position",
    "holds": "SELECT variant_id, quantity, shipped, released, expires_at IS NULL FROM stock_holds "
    "WHERE order_id = :order_id ORDER BY variant_id",
    "parcels": "SELECT id, status, charge, is_last, tracking_number FROM fulfillments WHERE order_id = :order_id "
    "ORDER BY id",
    "events": "SELECT sequence, type, actor FROM order_events WHERE order_id = :order_id ORDER BY sequence",
    "movements": "SELECT variant_id, on_hand_change, reserved_change, reason FROM stock_movements "
    "WHERE order_id = :order_id ORDER BY id",
    "letters": "SELECT type, payload FROM outbox WHERE key = CAST(CAST(:order_id AS uuid) AS text) ORDER BY event_id",
}


async def written_about(sessions: Sessions, order_id: UUID, cart_id: UUID) -> Written:
    found: dict[str, Any] = {}
    async with sessions() as session:
        for name, query in ABOUT.items():
            wanted = {"order_id": order_id, "cart_id": cart_id}
            used = {key: value for key, value in wanted.items() if f":{key}" in query}
            rows = tuple(tuple(row) for row in await session.execute(text(query), used))
            found[name] = (rows[0] if rows else None) if name in ("order", "payment", "cart") else rows
    return Written(**found)
