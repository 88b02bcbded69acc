"""What carriers tell of parcels. They repeat themselves, and older news may come after newer ones."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class TrackingStatus(StrEnum):
    ANNOUNCED = "announced"
    """The carrier knows of it and does not have it."""
    IN_TRANSIT = "in_transit"
    OUT_FOR_DELIVERY = "out_for_delivery"
    AWAITS_PICKUP = "awaits_pickup"
    DELIVERED = "delivered"
    RETURNING = "returning"
    """On its way back to the shop."""
    FAILED = "failed"
    """It could not be delivered, or something is wrong with it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CarrierNews:
    """A message of a carrier, as far as the shop acts on it."""

    message_id: str
    carrier: str
    tracking_number: str
    status: TrackingStatus | None
    """``None`` when it says nothing that the shop has a word for."""
    at: datetime
    """When the carrier noticed it."""


class Outcome(StrEnum):
    """What became of a message."""

    NOTED = "noted"
    OUTDATED = "outdated"
    """Newer ones came before it."""
    NO_NEWS = "no_news"
    REFUSED = "refused"
    """The parcel is not on its way any more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrival:
    """A parcel has arrived, and its order has not heard of it."""

    provider: str
    message_id: str
    order_id: UUID
    fulfillment_id: UUID


def is_outdated(news: TrackingStatus, at: datetime, *, known: TrackingStatus | None, known_at: datetime | None) -> bool:
    """Delivered is final, and what is older than what is known changes nothing."""
    if known is None or known_at is None or news is TrackingStatus.DELIVERED is known:
        return False
    return known is TrackingStatus.DELIVERED or at < known_at
