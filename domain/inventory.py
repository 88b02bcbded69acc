"""Stock: what is asked for, and what happens when there is not enough."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from domain.errors import Refusal

MAIN_LOCATION = "main"


class Allocation(StrEnum):
    """Which location gives the units of an order, among those that have all of them, or else among all."""

    PRIORITY = "priority"
    MOST_STOCK = "most_stock"


@dataclass(frozen=True, kw_only=True)
class StockRules:
    """What a shop decides about its stock."""

    low_stock: int = 5
    """So many units of a variant, or fewer, are few."""
    allocation: Allocation = Allocation.PRIORITY


@dataclass(frozen=True, kw_only=True)
class Shortage:
    """A variant of which fewer units can be sold than were asked for."""

    variant_id: UUID
    sku: str
    requested: int
    available: int


def out_of_stock(shortages: Iterable[Shortage]) -> Refusal:
    """The refusal that names each short variant and how many units are left of it."""
    items = [
        {"variant_id": str(s.variant_id), "sku": s.sku, "requested": s.requested, "available": s.available}
        for s in shortages
    ]
    return Refusal("out_of_stock", "Some items are not available in the quantity asked for.", items=items)


class StockState(StrEnum):
    """How much of a variant can be sold, in one word."""

    IN = "in"
    LOW = "low"
    """Some, but no more than the line below which units are few."""
    OUT = "out"


@dataclass(frozen=True, kw_only=True)
class StockLevel:
    on_hand: int
    reserved: int

    @property
    def available(self) -> int:
        return self.on_hand - self.reserved
