"""What an order waits for, since when, and how long that may take: for staff in hours, for customers in days."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from enum import StrEnum
from uuid import UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class Term:
    """So many days as customers count them: until the end of the last one, by the clocks where the shop is.

    A day there has 23 or 25 hours when clocks are changed. All instants that come out are in UTC.
    """

    days: int
    """None leaves no time at all."""
    zone: tzinfo

    def end(self, since: datetime) -> datetime:
        """The first instant at which it is over."""
        if self.days == 0:
            return since
        return start_of_day(since.astimezone(self.zone).date() + timedelta(days=self.days + 1), self.zone)

    def reaches_back_to(self, now: datetime) -> datetime:
        """What was at this instant or later has not come to its end now."""
        if self.days == 0:
            return now
        return start_of_day(now.astimezone(self.zone).date() - timedelta(days=self.days), self.zone)


def start_of_day(day: date, zone: tzinfo) -> datetime:
    """When midnight is skipped, because clocks are put forward there, that instant; when it comes twice, the first."""
    return datetime.combine(day, time.min, zone).astimezone(UTC)


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
