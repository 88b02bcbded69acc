"""Parcels: how an order is split, what a parcel costs the customer's card, where it is."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from domain.money import Money
from domain.orders import OrderStatus


class FulfillmentStatus(StrEnum):
    PENDING = "pending"
    SHIPPED = "shipped"
    DELIVERED = "delivered"
    CANCELLED = "cancelled"


ALLOWED_MOVES: dict[FulfillmentStatus, frozenset[FulfillmentStatus]] = {
    FulfillmentStatus.PENDING: frozenset({FulfillmentStatus.SHIPPED, FulfillmentStatus.CANCELLED}),
    FulfillmentStatus.SHIPPED: frozenset({FulfillmentStatus.DELIVERED}),
    FulfillmentStatus.DELIVERED: frozenset(),
    FulfillmentStatus.CANCELLED: frozenset(),
}


class OrderFulfillmentStatus(StrEnum):
    UNFULFILLED = "unfulfilled"
    PARTIALLY_SHIPPED = "partially_shipped"
    SHIPPED = "shipped"
    PARTIALLY_DELIVERED = "partially_delivered"
    DELIVERED = "delivered"
    CANCELLED = "cancelled"


@dataclass(frozen=True, kw_only=True)
class FulfillOrder:
    """See a confirmed order through to the customer's door, or cancel it."""

    order_id: UUID
    order_number: str
    payment_id: UUID
    total: Money
    units: int
    authorize_key: str
    """The key that the payment was asked for with; what takes it back needs it."""
    is_cancelled: bool = False
    """The engine was told to cancel the order before anybody had begun with it."""


@dataclass(frozen=True, kw_only=True)
class Units:
    order_line_id: UUID
    quantity: int


@dataclass(frozen=True, kw_only=True)
class PlanShipment:
    order_id: UUID
    fulfillment_id: UUID
    actor: str
    items: list[Units] | None = None
    """The units that go into the parcel; ``None`` for everything that is not in one yet."""


@dataclass(frozen=True, kw_only=True)
class PlannedShipment:
    fulfillment_id: UUID
    units: int


@dataclass(frozen=True, kw_only=True)
class ShipParcel:
    order_id: UUID
    fulfillment_id: UUID
    carrier: str
    tracking_number: str
    actor: str


@dataclass(frozen=True, kw_only=True)
class ShipmentCharge:
    """What has to be captured before the parcel may leave."""

    amount: Money
    is_final: bool
    is_shipped: bool
    """The parcel has left already; there is nothing more to do."""


@dataclass(frozen=True, kw_only=True)
class ShipmentState:
    fulfillment_id: UUID
    status: FulfillmentStatus
    order_status: OrderStatus
    open_units: int
    """Units of the order that no parcel carries yet."""


@dataclass(frozen=True, kw_only=True)
class MoveParcel:
    order_id: UUID
    fulfillment_id: UUID
    actor: str


def amount_to_capture(*, goods: Money, shipping_costs: Money, total: Money, captured: Money, is_last: bool) -> Money:
    """What a parcel costs the card: its goods, the shipping costs with the first parcel, all the rest with the last.

    What parcels capture therefore always adds up to the order's total, to the cent.
    """
    if is_last:
        return total - captured
    due = goods if captured.minor else goods + shipping_costs
    return min(due, total - captured)
