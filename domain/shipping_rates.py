"""What it costs to send a cart somewhere: methods are priced in bands, by what it weighs or by what its goods cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

ANYWHERE = "*"
"""In place of a country: all that no other zone has."""


class PricedBy(StrEnum):
    WEIGHT = "weight"
    """Of all units, in grams."""
    GOODS = "goods"
    """What is paid for the goods, after discounts and before taxes, in minor units."""


@dataclass(frozen=True, slots=True)
class Band:
    """From here on, up to where the next one starts."""

    starts_at: int
    price: int | None
    """In minor units; ``None``: nothing is carried from here on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tariff:
    """A shipping method in one zone and one currency."""

    code: str
    name: str
    zone: str
    priced_by: PricedBy
    bands: Sequence[Band]
    """Each starts behind the one before it."""
    free_from: int | None = None
    """What has to be paid for the goods, after discounts, for shipping to cost nothing."""
    estimated_days_min: int = 0
    estimated_days: int = 0

    def price(self, *, weight_grams: int, goods: int) -> int | None:
        """What it costs, in minor units; ``None`` when this method does not carry it."""
        measured = weight_grams if self.priced_by is PricedBy.WEIGHT else goods
        price = next((band.price for band in reversed(self.bands) if band.starts_at <= measured), None)
        is_free = self.free_from is not None and goods >= self.free_from
        return 0 if is_free and price is not None else price


@dataclass(frozen=True, slots=True)
class Option:
    """What a cart may choose."""

    tariff: Tariff
    price: int


def options(tariffs: Sequence[Tariff], *, weight_grams: int, goods: int) -> list[Option]:
    """The methods that carry it, each with its price, in the order of the tariffs."""
    priced = ((tariff, tariff.price(weight_grams=weight_grams, goods=goods)) for tariff in tariffs)
    return [Option(tariff, price) for tariff, price in priced if price is not None]


def plain_region(region: str | None) -> str:
    """Regions are compared by this."""
    return (region or "").strip().upper()


def plain_postal_code(code: str | None) -> str:
    """Postal codes are compared by this: people write them with and without spaces."""
    return "".join((code or "").split()).upper()
