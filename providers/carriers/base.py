"""What the shop expects of whoever tells it how far parcels are."""

from collections.abc import Mapping
from typing import Protocol

from domain.tracking import CarrierNews


class MessageForged(Exception):
    """The message was not signed by the carrier."""


class CarrierMessages(Protocol):
    name: str

    def read_webhook(self, body: bytes, headers: Mapping[str, str]) -> CarrierNews | None:
        """What a signed message says; ``None`` when it is about no parcel. Raises ``MessageForged``."""
