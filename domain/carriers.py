"""Who carries parcels, and where customers can see how far they are."""

from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import quote
from uuid import UUID

NUMBER = "{number}"
"""Stands for the tracking number in the address of a carrier's page."""


def tracking_url(template: str | None, number: str | None) -> str | None:
    """The page about one parcel; ``None`` for carriers of which no page is known."""
    return template.replace(NUMBER, quote(number, safe="")) if template and number else None


@dataclass(frozen=True, kw_only=True)
class FollowParcel:
    """A parcel has left: its carrier shall tell how far it is."""

    order_id: UUID
    order_number: str
    fulfillment_id: UUID


class Following(StrEnum):
    """What became of the wish to be told of a parcel."""

    FOLLOWED = "followed"
    NOT_ASKED = "not_asked"
    """Nobody is known who could tell of it."""
    REFUSED = "refused"
    UNANSWERED = "unanswered"
    """Nobody answered for as long as was tried."""


@dataclass(frozen=True, kw_only=True)
class ParcelFollowed:
    outcome: Following


@dataclass(frozen=True, kw_only=True)
class LeaveParcel:
    """Nobody will tell of the parcel, and whoever looks at its order shall see that."""

    order_id: UUID
    fulfillment_id: UUID
    why: Following


@dataclass(frozen=True, kw_only=True)
class ParcelToFollow:
    carrier: str
    """As the partner calls it."""
    tracking_number: str


@dataclass(frozen=True, kw_only=True)
class Followed:
    """A partner's answer."""

    is_followed: bool
    refusal: str | None = None
