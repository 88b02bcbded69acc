"""What units of an order were paid with, line by line: what parcels capture and refunds give back adds up to it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from domain.money import Money


@dataclass(frozen=True, kw_only=True, slots=True)
class LineCost:
    """What all units of an order line cost: their price, less the line's discount, plus the line's tax."""

    quantity: int
    cost: int
    """In minor units."""

    def of_staying(self, units: int) -> int:
        """What so many units that have not been sent, or never will be, are worth: their share, rounded down."""
        return self.cost * units // self.quantity

    def of_leaving(self, units: int) -> int:
        """What so many units that were sent cost: all of the line but the worth of the others."""
        return self.cost - self.of_staying(self.quantity - units)


def worth_of_staying(lines: Iterable[tuple[LineCost, int]]) -> int:
    """What so many units of these lines are worth that have not been sent, or never will be."""
    return sum(line.of_staying(units) for line, units in lines)


def worth_of_units(*, wanted: Mapping[UUID, int], refunded: Mapping[UUID, int], lines: Mapping[UUID, LineCost]) -> int:
    """What units that were sent are worth to a customer who gives them back, in minor units.

    It is told on the running sum over everything refunded so far, so that giving all units back one by one, in any
    order and whatever was cancelled in between, gives back exactly what was paid for them.
    """
    return sum(
        lines[line].of_leaving(refunded.get(line, 0) + quantity) - lines[line].of_leaving(refunded.get(line, 0))
        for line, quantity in wanted.items()
    )


def amount_to_capture(*, due: Money, unsent: int, captured: Money) -> Money:
    """What a parcel costs the card: what the customer owes once it has left, less what was captured before.

    Owed is what the payment is of (``due``) without the worth of the units that stay here (``unsent``): so credit pays
    for the first parcels, the costs of shipping go with the first, what parcels capture adds up to what is due less
    what the cancelled units were worth, to the cent, and a parcel that is sent again costs nothing again.
    """
    return max(due - Money(unsent, due.currency) - captured, Money.zero(due.currency))
