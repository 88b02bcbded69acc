"""What other systems are told: which events there are, what each carries, and how an order is rebuilt from its own.

A version of an event is a promise: fields may be added to it, and are never taken away or given another type. Whoever
has to break that makes the next version. Ids, sums, codes and tracking numbers go out; nobody's name, address or words.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from domain.attention import Concern
from domain.carriers import Following
from domain.money import Money
from domain.orders import CancelReason, OrderStatus, PendingStep
from domain.payments import MoneyBack, PaymentStatus
from domain.refunds import RefundTo
from domain.returns import OrderReturnStatus
from domain.shipping import OrderFulfillmentStatus, Remedy
from domain.taxes import TaxSource
from domain.tracking import TrackingStatus

SPEC_VERSION = "1.0"
"""Of CloudEvents."""
UNKNOWN_VERSION = 0
"""What builds of the shop have told that knew no versions yet: carried as it is, without a schema."""


@dataclass(frozen=True, kw_only=True)
class Amount:
    """Money as the API writes it: a decimal string with exactly the digits of its currency."""

    amount: str
    currency: str


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How the order stands once the transaction is over that made the event true."""

    status: OrderStatus
    payment_status: PaymentStatus
    fulfillment_status: OrderFulfillmentStatus
    return_status: OrderReturnStatus
    pending_step: PendingStep | None
    cancel_reason: CancelReason | None
    needs_attention: bool
    is_held: bool
    is_closed: bool


@dataclass(frozen=True, kw_only=True)
class OfAnOrder:
    """What every event of an order carries; ``sequence`` counts the order's events from 1 without a gap."""

    order_id: UUID
    sequence: int
    at: datetime
    order: Standing


@dataclass(frozen=True, kw_only=True)
class OrderedItem:
    order_item_id: UUID
    variant_id: UUID
    sku: str
    quantity: int
    unit_price: Amount


@dataclass(frozen=True, kw_only=True)
class OrderPlaced(OfAnOrder):
    number: str
    items: list[OrderedItem]
    subtotal: Amount
    discount: Amount
    shipping: Amount
    tax: Amount
    total: Amount
    tax_source: TaxSource
    """Who said what is due."""
    credit: Amount | None = None
    """What of the total gift cards and store credit pay; builds from before there were any do not say it."""


@dataclass(frozen=True, kw_only=True)
class OrderConfirmed(OfAnOrder):
    total: Amount


@dataclass(frozen=True, kw_only=True)
class OrderCancelled(OfAnOrder):
    """Without a reason and a way of the money where all that was sent is lost; then a refund says what comes back."""

    reason: CancelReason | None = None
    money: MoneyBack | None = None
    credit_back: Amount | None = None
    """What has gone back to gift cards and store credit with it; builds from before do not say it."""


@dataclass(frozen=True, kw_only=True)
class TransferAwaited(OfAnOrder):
    due_at: datetime


@dataclass(frozen=True, kw_only=True)
class TransferReceived(OfAnOrder):
    amount: Amount


@dataclass(frozen=True, kw_only=True)
class NeedsAttention(OfAnOrder):
    """``why`` is said by the shop, not by a person."""

    concern: Concern
    why: str


@dataclass(frozen=True, kw_only=True)
class NeedsNoAttention(OfAnOrder):
    concern: Concern


@dataclass(frozen=True, kw_only=True)
class OrderRepaired(OfAnOrder):
    law: str
    repair: str


@dataclass(frozen=True, kw_only=True)
class AddressChanged(OfAnOrder):
    """Where to is not told; who may know it reads the order."""

    change_id: UUID


@dataclass(frozen=True, kw_only=True)
class CancelledItem:
    order_item_id: UUID
    quantity: int


@dataclass(frozen=True, kw_only=True)
class UnitsCancelled(OfAnOrder):
    cancellation_id: UUID
    units: int
    items: list[CancelledItem]
    amount: Amount
    credit_back: Amount | None = None
    """What has gone back to gift cards and store credit with it, where no refund says it; builds from before do not."""


@dataclass(frozen=True, kw_only=True)
class FulfillmentCreated(OfAnOrder):
    fulfillment_id: UUID
    units: int
    replaces: UUID | None = None


@dataclass(frozen=True, kw_only=True)
class OfAParcel(OfAnOrder):
    fulfillment_id: UUID


@dataclass(frozen=True, kw_only=True)
class ParcelOnItsWay(OfAParcel):
    carrier: str | None
    tracking_number: str | None


@dataclass(frozen=True, kw_only=True)
class ParcelTracked(OfAParcel):
    """``at`` is the carrier's."""

    status: TrackingStatus


@dataclass(frozen=True, kw_only=True)
class ParcelUntracked(OfAParcel):
    """Nobody will tell how far it is."""

    why: Following


@dataclass(frozen=True, kw_only=True)
class ParcelNotDelivered(OfAParcel):
    remedy: Remedy


@dataclass(frozen=True, kw_only=True)
class PaymentDisputed(OfAnOrder):
    dispute: str
    amount: Amount
    reason: str


@dataclass(frozen=True, kw_only=True)
class LateMoneyReturned:
    """Without an order where the money is of none that the shop knows."""

    reference: str
    amount: Amount
    how: MoneyBack
    order_id: UUID | None = None
    sequence: int | None = None
    at: datetime | None = None
    order: Standing | None = None


@dataclass(frozen=True, kw_only=True)
class RefundTold(OfAnOrder):
    """Builds from before there was credit do not say what of it is credit, and where it goes."""

    refund_id: UUID
    amount: Amount
    of_credit: Amount | None = None
    """What of the amount gift cards and store credit had paid."""
    to: RefundTo | None = None


@dataclass(frozen=True, kw_only=True)
class ReturnTold(OfAnOrder):
    return_id: UUID


@dataclass(frozen=True, kw_only=True)
class ReturnRequested(ReturnTold):
    units: int


@dataclass(frozen=True, kw_only=True)
class StockCrossed:
    """So many units of a variant can be sold; ``low_stock`` is the line below which there are few."""

    variant_id: UUID
    product_id: UUID
    sku: str
    available: int
    low_stock: int
    at: datetime


CATALOGUE: dict[str, dict[int, type]] = {
    "order.placed": {1: OrderPlaced},
    "order.payment_requires_action": {1: OfAnOrder},
    "order.payment_unknown": {1: OfAnOrder},
    "order.payment_renewed": {1: OfAnOrder},
    "order.payment_released": {1: OfAnOrder},
    "order.transfer_awaited": {1: TransferAwaited},
    "order.transfer_received": {1: TransferReceived},
    "order.confirmed": {1: OrderConfirmed},
    "order.units_cancelled": {1: UnitsCancelled},
    "order.cancelled": {1: OrderCancelled},
    "order.shipped": {1: OfAnOrder},
    "order.delivered": {1: OfAnOrder},
    "order.closed": {1: OfAnOrder},
    "order.held": {1: OfAnOrder},
    "order.released": {1: OfAnOrder},
    "order.claimed": {1: OfAnOrder},
    "order.address_changed": {1: AddressChanged},
    "order.needs_attention": {1: NeedsAttention},
    "order.needs_no_attention": {1: NeedsNoAttention},
    "order.repaired": {1: OrderRepaired},
    "fulfillment.created": {1: FulfillmentCreated},
    "fulfillment.cancelled": {1: OfAParcel},
    "fulfillment.shipped": {1: ParcelOnItsWay},
    "fulfillment.tracked": {1: ParcelTracked},
    "fulfillment.untracked": {1: ParcelUntracked},
    "fulfillment.delivered": {1: ParcelOnItsWay},
    "fulfillment.lost": {1: ParcelNotDelivered},
    "fulfillment.returned_to_sender": {1: ParcelNotDelivered},
    "payment.disputed": {1: PaymentDisputed},
    "payment.dispute_won": {1: PaymentDisputed},
    "payment.dispute_lost": {1: PaymentDisputed},
    "payment.late_money_returned": {1: LateMoneyReturned},
    "refund.requested": {1: RefundTold},
    "refund.succeeded": {1: RefundTold},
    "refund.failed": {1: RefundTold},
    "return.requested": {1: ReturnRequested},
    "return.approved": {1: ReturnTold},
    "return.rejected": {1: ReturnTold},
    "return.received": {1: ReturnTold},
    "return.refunded": {1: ReturnTold},
    "stock.low": {1: StockCrossed},
    "stock.out": {1: StockCrossed},
    "stock.back": {1: StockCrossed},
}
"""What each version of each event carries. Old versions stay for as long as events of theirs are kept."""


def version_of(happened: str) -> int:
    """The newest: the one that is told today. Raises ``LookupError`` for what nobody was promised."""
    if happened not in CATALOGUE:
        raise LookupError(f"{happened} is in no catalogue: say in domain/events.py what it carries")
    return max(CATALOGUE[happened])


AMOUNTS = ("amount", "total", "subtotal", "discount", "shipping", "tax", "credit", "of_credit", "credit_back")


def as_told(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of an event as others read them: minor units and their currency become amounts, times end in ``Z``."""
    currency = facts.get("currency")
    told = {name: _plain(value) for name, value in facts.items() if name != "currency"}
    if currency is not None:
        told |= {name: amount_of(Money(facts[name], currency)) for name in AMOUNTS if name in facts}
    return told


def amount_of(money: Money) -> dict[str, str]:
    return {"amount": money.amount, "currency": money.currency}


def _plain(value: Any) -> Any:
    return in_utc(value) if isinstance(value, datetime) else value


def in_utc(at: datetime) -> str:
    """RFC 3339, as the API writes times."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


@dataclass(frozen=True, kw_only=True)
class Published:
    """An event that has its place in the order in which all are told."""

    position: int
    """Counts all events without a gap, in an order that nobody ever has to change."""
    id: UUID
    type: str
    version: int
    key: str
    """Events with the same key keep their order: an order's id, mostly."""
    data: Mapping[str, Any]
    at: datetime
    traceparent: str | None = None
    """In which trace it happened (W3C); ``None`` where nobody traces."""


def envelope(event: Published, source: str) -> dict[str, Any]:
    """The event as CloudEvents has it, in its JSON format; the same wherever it is read."""
    told: dict[str, Any] = {
        "specversion": SPEC_VERSION,
        "id": str(event.id),
        "source": source,
        "type": event.type,
        "subject": subject_of(event),
        "time": in_utc(event.at),
        "datacontenttype": "application/json",
        "partitionkey": event.key,
    }
    if event.version != UNKNOWN_VERSION:
        told["dataschema"] = schema_url(source, event.type, event.version)
    if (sequence := event.data.get("sequence")) is not None:
        told |= {"sequence": str(sequence), "sequencetype": "Integer"}
    if event.traceparent is not None:
        told["traceparent"] = event.traceparent
    return {**told, "data": dict(event.data)}


def as_bytes(event: Published, source: str) -> bytes:
    """The envelope as it is sent."""
    return json.dumps(envelope(event, source), separators=(",", ":"), ensure_ascii=False).encode()


def subject_of(event: Published) -> str:
    if event.type.startswith("webhook."):
        return f"webhook-endpoints/{event.key}"
    if event.type.startswith("stock."):
        return f"variants/{event.key}"
    return f"orders/{event.key}" if event.data.get("order_id") else f"payments/{event.key}"


def schema_name(happened: str, version: int) -> str:
    return f"{happened}.v{version}"


def schema_url(source: str, happened: str, version: int) -> str:
    return f"{source}/asyncapi.json#/components/schemas/{schema_name(happened, version)}"


class Destination(StrEnum):
    """Where the relay carries events to."""

    REDIS = "redis"
    KAFKA = "kafka"
    NONE = "none"
    """Nowhere: they are read from the API alone."""


def cursor_of(destination: Destination) -> str | None:
    """The name of the cursor that says how far events were carried there; ``None`` where none are."""
    return None if destination is Destination.NONE else str(destination)


@dataclass(frozen=True, kw_only=True)
class RebuiltItem:
    variant_id: str
    sku: str
    quantity: int
    unit_price: Mapping[str, str]
    cancelled: int = 0


@dataclass(frozen=True, kw_only=True)
class RebuiltOrder:
    """What somebody who has heard nothing but its events knows of an order."""

    order_id: str
    number: str
    amounts: Mapping[str, Mapping[str, str]]
    standing: Mapping[str, Any]
    items: Mapping[str, RebuiltItem] = field(default_factory=dict)
    sequence: int = 1


class EventMissing(Exception):
    """An order cannot be rebuilt: an event before this one was not heard."""


def rebuilt(events: Iterable[tuple[str, Mapping[str, Any]]]) -> RebuiltOrder:
    """The order from its events, type and data, in the order in which they were told; each may come several times.

    Raises :class:`EventMissing` for a gap.
    """
    order: RebuiltOrder | None = None
    for happened, data in events:
        if order is None:
            order = _placed(happened, data)
        elif data["sequence"] > order.sequence:
            order = _after(order, happened, data)
    if order is None:
        raise EventMissing("No event, no order.")
    return order


def _placed(happened: str, data: Mapping[str, Any]) -> RebuiltOrder:
    if (happened, data.get("sequence")) != ("order.placed", 1):
        raise EventMissing(f"An order begins with order.placed, not with {happened}.")
    return RebuiltOrder(
        order_id=data["order_id"],
        number=data["number"],
        amounts={name: data[name] for name in ("subtotal", "discount", "shipping", "tax", "total")},
        standing=data["order"],
        items={
            item["order_item_id"]: RebuiltItem(
                variant_id=item["variant_id"],
                sku=item["sku"],
                quantity=item["quantity"],
                unit_price=item["unit_price"],
            )
            for item in data["items"]
        },
    )


def _after(order: RebuiltOrder, happened: str, data: Mapping[str, Any]) -> RebuiltOrder:
    if data["sequence"] != order.sequence + 1:
        raise EventMissing(f"Event {order.sequence + 1} of the order was not heard before {data['sequence']}.")
    told = data["items"] if happened == "order.units_cancelled" else ()
    given_up = {item["order_item_id"]: item["quantity"] for item in told}
    items = {
        name: replace(item, cancelled=item.cancelled + given_up.get(name, 0)) for name, item in order.items.items()
    }
    return replace(order, standing=data["order"], items=items, sequence=data["sequence"])


@dataclass(frozen=True, kw_only=True)
class CarryEvents:
    """Carry events for so long; then the next shift begins, here or elsewhere."""

    seconds: float


@dataclass(frozen=True, kw_only=True)
class EventsCarried:
    events: int
