"""What the shop expects of whoever brings its parcels, or tells it how far they are."""

from collections.abc import Mapping
from typing import Protocol

from domain.carriers import Followed, ParcelToFollow
from domain.tracking import CarrierNews


class CarrierSilent(Exception):
    """There was no answer, or none that could be believed; what was asked may have been done. It is asked again.

    It says nothing of what was asked: names and addresses are in there, and this is written into histories.
    """


class MessageForged(Exception):
    """The message was not signed by the carrier."""


class Carrier(Protocol):
    """A partner who knows carriers. Every call is safe to repeat with the same request.

    An answer that the partner gave is returned, also a refusal; ``CarrierSilent`` is raised when there was none.
    """

    name: str
    tells: bool
    """Whether it can be asked to tell of parcels."""

    async def follow(self, parcel: ParcelToFollow) -> Followed:
        """Have the shop told of the parcel, whoever labelled it; content when that was asked before."""


class CarrierMessages(Protocol):
    name: str

    def read_webhook(self, body: bytes, headers: Mapping[str, str]) -> CarrierNews | None:
        """What a signed message says; ``None`` when it is about no parcel. Raises ``MessageForged``."""
