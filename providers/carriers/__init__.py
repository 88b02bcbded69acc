"""Carriers: who is asked about parcels, and who tells how far they are."""

from providers.carriers.base import Carrier, CarrierMessages, CarrierSilent, MessageForged
from providers.carriers.easypost import CARRIER_SILENCE, EasyPost, EasyPostMessages, easypost_carrier
from providers.carriers.manual import ManualCarrier

__all__ = [
    "CARRIER_SILENCE",
    "Carrier",
    "CarrierMessages",
    "CarrierSilent",
    "EasyPost",
    "EasyPostMessages",
    "ManualCarrier",
    "MessageForged",
    "easypost_carrier",
]
