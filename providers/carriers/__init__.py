"""Carriers that tell how far parcels are."""

from providers.carriers.base import CarrierMessages, MessageForged
from providers.carriers.easypost import EasyPostMessages

__all__ = ["CarrierMessages", "EasyPostMessages", "MessageForged"]
