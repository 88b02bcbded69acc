"""Which taxes are due on what goes where, and how much that is: exact rates, whole minor units, nothing forgotten."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Self

from domain.baskets import Destination
from domain.money import Rounding, apportioned, rounded, split

STANDARD = "standard"
"""The class of goods of which nobody says anything else."""
SHIPPING = "shipping"
"""The class of what shipping costs."""
PERCENT_DIGITS = 6
"""Decimal places of a rate in per cent: more than any tax has."""


class TaxMode(StrEnum):
    NONE = "none"
    """The shop takes no taxes."""
    TABLE = "table"
    """The shop's own table of regions and rates says what is due."""


class Elsewhere(StrEnum):
    """What a destination of which the table knows nothing means."""

    REFUSE = "refuse"
    """Nothing is sold there."""
    HOME = "home"
    """It is taxed like the shop's home."""


class RoundedBy(StrEnum):
    LINE = "line"
    """Each line's tax is rounded by itself."""
    ORDER = "order"
    """The tax of all lines with the same rates is rounded once, and then given to the lines."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TaxPolicy:
    """How this shop sees to taxes."""

    mode: TaxMode = TaxMode.NONE
    elsewhere: Elsewhere = Elsewhere.REFUSE
    home: Destination | None = None
    """By which a cart without an address is estimated."""
    rounding: Rounding = Rounding.HALF_UP
    rounded_by: RoundedBy = RoundedBy.LINE

    @property
    def written(self) -> str:
        """As one line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, written: str) -> Self:
        told = json.loads(written)
        return cls(
            mode=TaxMode(told["mode"]),
            elsewhere=Elsewhere(told["elsewhere"]),
            home=Destination(**told["home"]) if told["home"] else None,
            rounding=Rounding(told["rounding"]),
            rounded_by=RoundedBy(told["rounded_by"]),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Rate:
    """One tax by its name, such as a state's or a city's."""

    name: str
    percent: Decimal
    tax_class: str = STANDARD


@dataclass(frozen=True, kw_only=True, slots=True)
class Region:
    """Where the same rates hold: a country, or what of it has a region, or postal codes that begin alike, or both."""

    country: str
    region: str = ""
    postal_prefix: str = ""
    is_inclusive: bool = False
    """Prices contain their tax here."""
    rates: tuple[Rate, ...] = ()

    def covers(self, destination: Destination) -> bool:
        return (
            self.country == destination.country
            and self.region in ("", plain(destination.region or ""))
            and plain(destination.postal_code).startswith(self.postal_prefix)
        )

    @property
    def specificity(self) -> tuple[int, bool]:
        return len(self.postal_prefix), bool(self.region)

    def rates_of(self, tax_class: str) -> tuple[Rate, ...]:
        """All rates of the class; those of the standard class where it has none. A class without tax has one of 0."""
        return self._named(tax_class) or self._named(STANDARD)

    def _named(self, tax_class: str) -> tuple[Rate, ...]:
        return tuple(rate for rate in self.rates if rate.tax_class == tax_class)


def plain(code: str) -> str:
    """Regions and postal codes as they are compared: ``sw1a 1aa`` is ``SW1A1AA``."""
    return code.replace(" ", "").replace("-", "").upper()


@dataclass(frozen=True, kw_only=True, slots=True)
class TaxRules:
    policy: TaxPolicy
    regions: tuple[Region, ...] = ()
    """Those that can matter for a basket: whatever covers its destination or the shop's home."""

    def region_of(self, destination: Destination | None) -> Region | None:
        """The most specific region that covers the destination; what else the policy says where there is none."""
        home, policy = self._most_specific(self.policy.home), self.policy
        if destination is None:
            return home
        return self._most_specific(destination) or (home if policy.elsewhere is Elsewhere.HOME else None)

    def _most_specific(self, destination: Destination | None) -> Region | None:
        covering = [region for region in self.regions if destination is not None and region.covers(destination)]
        return max(covering, key=lambda region: region.specificity, default=None)


NO_TAXES = TaxRules(policy=TaxPolicy())


@dataclass(frozen=True, kw_only=True, slots=True)
class Taxable:
    amount: int
    """What it costs after discounts, in minor units."""
    tax_class: str = STANDARD


@dataclass(frozen=True, kw_only=True, slots=True)
class Due:
    added: int = 0
    """Comes on top of the price."""
    included: int = 0
    """Is part of the price."""
    relief: int = 0
    """Was part of the price, and is not to be paid by whoever is exempt."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NamedTax:
    """One tax of a whole order, as an invoice names it."""

    name: str
    percent: Decimal
    base: int
    """What it is due on, without any tax."""
    amount: int
    is_included: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Assessment:
    dues: tuple[Due, ...]
    """One for each that was asked about, in the same order."""
    taxes: tuple[NamedTax, ...] = ()
    is_known: bool = True
    """The shop knows what is due; otherwise it does not sell."""
    is_final: bool = True
    """It is what will be due, and not an estimate for want of an address."""
    is_exempt: bool = False


@dataclass(slots=True)
class _Group:
    """Everything with the same rates."""

    rates: tuple[Rate, ...]
    members: list[int] = field(default_factory=list)

    @property
    def percent(self) -> Fraction:
        return sum((Fraction(rate.percent) for rate in self.rates), start=Fraction(0))


def assess(
    goods: Sequence[Taxable], rules: TaxRules, destination: Destination | None, *, is_exempt: bool = False
) -> Assessment:
    """What is due on these, if they go there.

    Rates of one region add up, and their sum is what is rounded; the named taxes share it by their rates.
    """
    nothing = tuple(Due() for _ in goods)
    if rules.policy.mode is TaxMode.NONE:
        return Assessment(dues=nothing)
    region = rules.region_of(destination)
    groups = _groups(goods, region) if region is not None else None
    if region is None or groups is None:
        return Assessment(dues=nothing, is_known=False, is_final=False)
    is_final = destination is not None
    taxes: dict[int, int] = {}
    for group in groups:
        taxes |= _taxes_of(group, goods, region, rules.policy)
    if is_exempt:
        dues = (Due(relief=taxes[i]) if region.is_inclusive else Due() for i in range(len(goods)))
        return Assessment(dues=tuple(dues), is_final=is_final, is_exempt=True)
    dues = (Due(included=taxes[i]) if region.is_inclusive else Due(added=taxes[i]) for i in range(len(goods)))
    return Assessment(
        dues=tuple(dues), taxes=tuple(_named(groups, goods, taxes, is_included=region.is_inclusive)), is_final=is_final
    )


def _groups(goods: Sequence[Taxable], region: Region) -> list[_Group] | None:
    """``None`` if there is something of which the region does not say how it is taxed."""
    groups: dict[tuple[tuple[str, Decimal], ...], _Group] = {}
    for i, taxable in enumerate(goods):
        rates = region.rates_of(taxable.tax_class)
        if not rates:
            return None
        groups.setdefault(tuple((rate.name, rate.percent) for rate in rates), _Group(rates)).members.append(i)
    return list(groups.values())


def _taxes_of(group: _Group, goods: Sequence[Taxable], region: Region, policy: TaxPolicy) -> dict[int, int]:
    percent = group.percent
    share = percent / (100 + percent) if region.is_inclusive else percent / 100
    exact = [goods[i].amount * share for i in group.members]
    if policy.rounded_by is RoundedBy.LINE:
        taxes = [rounded(tax, policy.rounding) for tax in exact]
    else:
        taxes = apportioned(rounded(sum(exact, start=Fraction(0)), policy.rounding), exact)
    return dict(zip(group.members, taxes, strict=True))


def _named(
    groups: Iterable[_Group], goods: Sequence[Taxable], taxes: Mapping[int, int], *, is_included: bool
) -> Iterable[NamedTax]:
    """Taxes of the same name and rate are one tax, also where goods of one class pay it with others and some alone."""
    sums: dict[tuple[str, Decimal], tuple[int, int]] = {}
    for group in groups:
        whole = sum(taxes[i] for i in group.members)
        base = sum(goods[i].amount for i in group.members) - (whole if is_included else 0)
        weights = [int(rate.percent.scaleb(PERCENT_DIGITS)) for rate in group.rates]
        amounts = split(whole, weights) if any(weights) else [0] * len(weights)
        for rate, amount in zip(group.rates, amounts, strict=True):
            so_far = sums.get((rate.name, rate.percent), (0, 0))
            sums[rate.name, rate.percent] = so_far[0] + base, so_far[1] + amount
    for (name, percent), (base, amount) in sums.items():
        yield NamedTax(name=name, percent=percent, base=base, amount=amount, is_included=is_included)
