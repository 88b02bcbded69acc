"""Parcels: how an order is split, what a parcel costs the customer's card, where it is."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from domain.attention import Concern
from domain.deadlines import Wait, Waiting
from domain.money import Money
from domain.orders import OrderStatus
from domain.payments import PaymentStatus
from domain.refunds import RefundMoney


class FulfillmentStatus(StrEnum):
    PENDING = "pending"
    SHIPPED = "shipped"
    DELIVERED = "delivered"
    CANCELLED = "cancelled"


ALLOWED_MOVES: dict[FulfillmentStatus, frozenset[FulfillmentStatus]] = {
    FulfillmentStatus.PENDING: frozenset({FulfillmentStatus.SHIPPED, FulfillmentStatus.CANCELLED}),
    FulfillmentStatus.SHIPPED: frozenset({FulfillmentStatus.DELIVERED, FulfillmentStatus.CANCELLED}),
    FulfillmentStatus.DELIVERED: frozenset(),
    FulfillmentStatus.CANCELLED: frozenset(),
}


def allowed_moves(current: FulfillmentStatus) -> list[str]:
    return sorted(str(move) for move in ALLOWED_MOVES[current])


class OrderFulfillmentStatus(StrEnum):
    UNFULFILLED = "unfulfilled"
    PARTIALLY_SHIPPED = "partially_shipped"
    SHIPPED = "shipped"
    PARTIALLY_DELIVERED = "partially_delivered"
    DELIVERED = "delivered"
    CANCELLED = "cancelled"


MOVES_OF_ORDERS: dict[OrderFulfillmentStatus, frozenset[OrderFulfillmentStatus]] = {
    OrderFulfillmentStatus.UNFULFILLED: frozenset(
        {OrderFulfillmentStatus.PARTIALLY_SHIPPED, OrderFulfillmentStatus.SHIPPED, OrderFulfillmentStatus.CANCELLED}
    ),
    OrderFulfillmentStatus.PARTIALLY_SHIPPED: frozenset(
        {
            OrderFulfillmentStatus.SHIPPED,
            OrderFulfillmentStatus.PARTIALLY_DELIVERED,
            OrderFulfillmentStatus.DELIVERED,
            OrderFulfillmentStatus.CANCELLED,
        }
    ),
    # What is lost is sent again: then a part of the order is here once more.
    OrderFulfillmentStatus.SHIPPED: frozenset(
        {
            OrderFulfillmentStatus.PARTIALLY_SHIPPED,
            OrderFulfillmentStatus.PARTIALLY_DELIVERED,
            OrderFulfillmentStatus.DELIVERED,
            OrderFulfillmentStatus.CANCELLED,
        }
    ),
    OrderFulfillmentStatus.PARTIALLY_DELIVERED: frozenset(
        {OrderFulfillmentStatus.PARTIALLY_SHIPPED, OrderFulfillmentStatus.DELIVERED}
    ),
    OrderFulfillmentStatus.DELIVERED: frozenset(),
    OrderFulfillmentStatus.CANCELLED: frozenset(),
}


def check_move_of_order(current: OrderFulfillmentStatus, wanted: OrderFulfillmentStatus) -> None:
    """What an order's parcels add up to follows from them; a move that is not in the table is a mistake of ours."""
    if wanted is not current and wanted not in MOVES_OF_ORDERS[current]:
        raise AssertionError(f"the parcels of an order cannot go from {current} to {wanted}")


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
    waits: list[Wait] = field(default_factory=list)
    """What the order waits for now."""


@dataclass(frozen=True, kw_only=True)
class ShipParcel:
    order_id: UUID
    fulfillment_id: UUID
    carrier: str
    tracking_number: str
    actor: str


@dataclass(frozen=True, kw_only=True)
class HoldOrder:
    """Nothing of the order may leave until it is released."""

    order_id: UUID
    actor: str
    note_id: UUID
    """The audit log's entry that says why."""
    expected: list[int] | None = None
    """The versions of the order that it may be based on; ``None`` when any will do."""


@dataclass(frozen=True, kw_only=True)
class ReleaseOrder:
    order_id: UUID
    actor: str
    expected: list[int] | None = None
    """The versions of the order that it may be based on; ``None`` when any will do."""


@dataclass(frozen=True, kw_only=True)
class OrderHold:
    is_held: bool
    waits: list[Wait] = field(default_factory=list)
    """What the order waits for now."""


@dataclass(frozen=True, kw_only=True)
class FulfillmentSoFar:
    """What the story of an order remembers when it goes on in a new run."""

    status: OrderStatus
    waiting_units: int
    has_shipped: bool = False
    waits: list[Wait] = field(default_factory=list)
    concerns: dict[Concern, str] = field(default_factory=dict)
    refused: list[ShipParcel] = field(default_factory=list)
    """Parcels whose capture the provider refuses."""
    captures_refused: dict[UUID, int] = field(default_factory=dict)
    """How often, by parcel."""
    has_lapsed: bool = False
    """The provider has let go of the money before any of it was captured."""
    authorizations: int = 1
    """How often the money was asked for."""
    is_held: bool = False
    """Nothing may leave until somebody says so."""


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
    confirmed_at: datetime | None = None
    """``None`` for orders that were confirmed when nobody looked at the clock."""
    authorized_at: datetime | None = None
    """When the card was asked for the money, which lapses some days later; ``None`` for a bank transfer."""
    transfer_due_at: datetime | None = None
    """Until when the money of an order that was confirmed without it is waited for; ``None`` when it is paid."""
    so_far: FulfillmentSoFar | None = None

    @property
    def progress(self) -> FulfillmentSoFar:
        """Where the story begins: where an earlier run of it stopped, or with everything waiting to be packed."""
        if self.so_far is not None:
            return self.so_far
        waits = [] if self.confirmed_at is None else [self._to_pack(self.confirmed_at)]
        if self.authorized_at is not None:
            waits.append(Wait(what=Waiting.TO_BE_CAPTURED, since=self.authorized_at, units=self.units))
        return FulfillmentSoFar(status=OrderStatus.CONFIRMED, waiting_units=self.units, waits=waits)

    def _to_pack(self, since: datetime) -> Wait:
        return Wait(what=Waiting.TO_BE_PACKED, since=since, units=self.units)


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
    waits: list[Wait] = field(default_factory=list)
    """What the order waits for now."""
    to_follow: bool = False
    """There is somebody who can be asked to tell how far the parcel is."""


@dataclass(frozen=True, kw_only=True)
class CancelUnits:
    """Some units of an order are not wanted any more."""

    cancellation_id: UUID
    order_id: UUID
    actor: str
    items: list[Units]
    note_id: UUID | None = None
    """Where the shop keeps the words in which it was asked."""
    expected: list[int] | None = None
    """The versions of the order that it may be based on; ``None`` when any will do."""


@dataclass(frozen=True, kw_only=True)
class UnitsCancelled:
    is_everything: bool
    """It is the whole order that is not wanted, of which nothing was sent: nothing was done, cancel the order."""
    order_status: OrderStatus
    payment_status: PaymentStatus
    open_units: int
    """Units of the order that no parcel carries yet."""
    unpacked: list[UUID]
    """Parcels that were opened to get at the units, now or before."""
    is_complete: bool
    """No parcel is to leave any more, so what the card still holds is not wanted."""
    waits: list[Wait] = field(default_factory=list)
    """What the order waits for now."""
    refund: RefundMoney | None = None
    """What has to be paid back for units that were paid ahead; ``None`` for nothing."""


@dataclass(frozen=True, kw_only=True)
class MoveParcel:
    order_id: UUID
    fulfillment_id: UUID
    actor: str


class Undelivered(StrEnum):
    """Why a parcel that has left will not arrive."""

    LOST = "lost"
    RETURNED_TO_SENDER = "returned_to_sender"


class Remedy(StrEnum):
    RESHIP = "reship"
    """The same units are sent again, and not charged again."""
    REFUND = "refund"


@dataclass(frozen=True, kw_only=True)
class GiveUpParcel:
    """A parcel has left and will not arrive: what is done about it."""

    order_id: UUID
    fulfillment_id: UUID
    why: Undelivered
    remedy: Remedy
    is_resellable: bool
    """The units are here again, as good as new."""
    replacement_id: UUID
    """The parcel that replaces it, if it is to be sent again."""
    refund_id: UUID
    actor: str


@dataclass(frozen=True, kw_only=True)
class ParcelGivenUp:
    state: ShipmentState
    refund: RefundMoney | None
    """What has to be paid back now; ``None`` for nothing."""
