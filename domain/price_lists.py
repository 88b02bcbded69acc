"""Price lists, and which price wins.

Of the lists that apply now to this shopper, the one with the highest priority decides; among equals the lowest price.
Of each list counts the step that the quantity of the line has reached. Where no list has a say, the base price holds.
A list makes things cheaper, never dearer, unless it overrides the base price.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from domain.money import Money

MOST_ENTRIES_AT_ONCE = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class PriceList:
    code: str
    priority: int = 0
    groups: frozenset[str] = frozenset()
    """Whom it is for: who is in one of them; none means everybody."""
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    is_active: bool = True
    overrides: bool = False
    """Do its prices hold even where the base price is lower?"""

    def applies(self, groups: frozenset[str], at: datetime) -> bool:
        """From the first instant on, and not at the last one any more."""
        return (
            self.is_active
            and (not self.groups or not self.groups.isdisjoint(groups))
            and (self.valid_from is None or self.valid_from <= at)
            and (self.valid_until is None or at < self.valid_until)
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class ListPrice:
    """What a list asks for one unit, from so many units on."""

    of: PriceList
    min_quantity: int
    price: Money


@dataclass(frozen=True, kw_only=True, slots=True)
class UnitPrice:
    price: Money
    base: Money
    price_list: str | None = None
    """The code of the list that decided; ``None`` where the base price holds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """What a unit costs from so many units on."""

    min_quantity: int
    unit: UnitPrice


def unit_price(
    base: Money, quantity: int, prices: Iterable[ListPrice], *, groups: frozenset[str], at: datetime
) -> UnitPrice:
    """What one unit costs this shopper, in a line of so many."""
    reached = _steps_reached([one for one in prices if one.of.applies(groups, at)], quantity)
    if not reached:
        return UnitPrice(price=base, base=base)
    highest = max(one.of.priority for one in reached)
    offers = [_offer(one, base) for one in reached if one.of.priority == highest]
    return min(offers, key=lambda offer: (offer.price.minor, offer.price_list or ""))


def steps(base: Money, prices: Sequence[ListPrice], *, groups: frozenset[str], at: datetime) -> list[Step]:
    """The quantities at which the price changes for this shopper, and what a unit costs from there on."""
    found: list[Step] = []
    for quantity in sorted({1, *(one.min_quantity for one in prices)}):
        unit = unit_price(base, quantity, prices, groups=groups, at=at)
        if not found or found[-1].unit != unit:
            found.append(Step(min_quantity=quantity, unit=unit))
    return found


def _steps_reached(prices: Iterable[ListPrice], quantity: int) -> list[ListPrice]:
    """Of each list the entry for the most units that are no more than these."""
    reached: dict[str, ListPrice] = {}
    for one in prices:
        before = reached.get(one.of.code)
        if one.min_quantity <= quantity and (before is None or before.min_quantity < one.min_quantity):
            reached[one.of.code] = one
    return list(reached.values())


def _offer(one: ListPrice, base: Money) -> UnitPrice:
    if base < one.price and not one.of.overrides:
        return UnitPrice(price=base, base=base)
    return UnitPrice(price=one.price, base=base, price_list=one.of.code)
