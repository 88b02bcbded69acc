"""What an order waits for, since when, and how long that may take before somebody must look."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID


class Waiting(StrEnum):
    TO_BE_APPROVED = "to_be_approved"
    TO_BE_PACKED = "to_be_packed"
    TO_BE_SHIPPED = "to_be_shipped"
    TO_BE_DELIVERED = "to_be_delivered"
    TO_BE_CAPTURED = "to_be_captured"


AUTHORIZATION_LASTS = timedelta(days=7)
"""So long a card's money is held. Stripe cancels what was not captured after 7 days unless the card's network and the
account allow more: https://docs.stripe.com/payments/place-a-hold-on-a-payment-method"""

PATIENCE = {
    # Cards' own challenges end after 15 minutes at most, and nobody else can buy the goods meanwhile.
    Waiting.TO_BE_APPROVED: timedelta(minutes=30),
    # Packing and shipping are work of the same or the next day; what takes longer was overlooked, or cannot be found.
    Waiting.TO_BE_PACKED: timedelta(hours=24),
    Waiting.TO_BE_SHIPPED: timedelta(hours=24),
    # Carriers take one to four days, and search a parcel only for so long.
    Waiting.TO_BE_DELIVERED: timedelta(days=5),
    # A working day is left to send what is missing, or to ask the customer.
    Waiting.TO_BE_CAPTURED: AUTHORIZATION_LASTS - timedelta(days=1),
}


@dataclass(frozen=True, kw_only=True)
class Wait:
    """Units of an order, or one of its parcels, with which somebody has to do something."""

    what: Waiting
    since: datetime
    units: int
    fulfillment_id: UUID | None = None

    @property
    def deadline(self) -> datetime:
        return self.since + PATIENCE[self.what]

    def is_late(self, now: datetime) -> bool:
        return self.deadline <= now

    @property
    def words(self) -> str:
        since = f"since {self.since:%d %b %H:%M} UTC"
        match self.what:
            case Waiting.TO_BE_APPROVED:
                return f"the payment has waited for its customer {since}"
            case Waiting.TO_BE_PACKED:
                return f"{self.units} units have waited to be packed {since}"
            case Waiting.TO_BE_SHIPPED:
                return f"parcel {self.fulfillment_id} is packed and has waited to be shipped {since}"
            case Waiting.TO_BE_DELIVERED:
                return f"parcel {self.fulfillment_id} has been on its way {since} and was not delivered"
            case Waiting.TO_BE_CAPTURED:
                until = f"until {self.since + AUTHORIZATION_LASTS:%d %b %H:%M} UTC"
                return f"the card's money has been held {since} and can be captured {until}; {self.units} units wait"
