"""Which taxes are due on what goes where, and how much that is: exact rates, whole minor units, nothing forgotten."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Self
from uuid import UUID

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
    PROVIDER = "provider"
    """A partner is asked before an order is placed; carts are estimated by the table until then."""


class WhenSilent(StrEnum):
    """What a checkout does while the tax provider does not answer."""

    REFUSE = "refuse"
    """Nothing is sold."""
    TABLE = "table"
    """The shop's own table says what is due, and the order says so."""


class TaxSource(StrEnum):
    """Who said what is due."""

    NOBODY = "nobody"
    TABLE = "table"
    PROVIDER = "provider"
    TABLE_INSTEAD = "table_instead"
    """The table, because the provider was silent."""


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
    when_silent: WhenSilent = WhenSilent.REFUSE
    inclusive_countries: tuple[str, ...] = ()
    """Where prices contain their tax, as the provider is told; regions of the table say it for themselves."""
    answers_hold_seconds: int = 3600
    """How long what the provider has said of a content is believed."""

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
            when_silent=WhenSilent(told["when_silent"]),
            inclusive_countries=tuple(told["inclusive_countries"]),
            answers_hold_seconds=told["answers_hold_seconds"],
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
    answer: "TaxAnswer | None" = None
    """What the provider has said of exactly this content."""
    is_provider_silent: bool = False
    """It was asked, and did not answer for as long as a customer waits."""

    @property
    def is_table_final(self) -> bool:
        """What the table says is what will be due."""
        policy = self.policy
        is_instead = self.is_provider_silent and policy.when_silent is WhenSilent.TABLE
        return policy.mode is TaxMode.TABLE or is_instead

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
class TaxQuestion:
    """All that the taxes of a basket depend on: where it goes and what it costs. Nobody's name, and no street."""

    currency: str
    destination: Destination
    goods: tuple[Taxable, ...]
    """The lines in their order, and what shipping costs as the last."""
    is_inclusive: bool

    @property
    def fingerprint(self) -> str:
        """Two baskets with the same have the same taxes."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


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
class TaxAnswer:
    """What a provider says is due."""

    amounts: tuple[int, ...] = ()
    """One for each that was asked about, in the same order."""
    taxes: tuple[NamedTax, ...] = ()
    is_known: bool = True
    """It knows the place, and how such goods are taxed there."""
    reference: str | None = None
    """Under which it can be found there."""


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
    source: TaxSource = TaxSource.NOBODY
    reference: str | None = None
    """Of the provider's answer."""


@dataclass(frozen=True, kw_only=True)
class AskAboutTaxes:
    """Have the tax provider say what is due on a cart as it is now."""

    cart_id: UUID


@dataclass(frozen=True, kw_only=True)
class TaxesAsked:
    is_answered: bool
    """Otherwise there was nothing left to ask."""


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
    match rules.policy.mode:
        case TaxMode.NONE:
            return Assessment(dues=_nothing(goods))
        case TaxMode.PROVIDER if destination is not None and not rules.is_table_final:
            answered = _by_provider(goods, rules, destination, is_exempt=is_exempt)
            return answered or replace(_by_table(goods, rules, destination, is_exempt=is_exempt), is_final=False)
    return _by_table(goods, rules, destination, is_exempt=is_exempt)


def question(
    goods: Sequence[Taxable], policy: TaxPolicy, destination: Destination | None, currency: str, *, is_exempt: bool
) -> TaxQuestion | None:
    """What a provider has to be asked; ``None`` while there is no address, and where nothing is due in any case."""
    if policy.mode is not TaxMode.PROVIDER or destination is None:
        return None
    is_inclusive = destination.country in policy.inclusive_countries
    if is_exempt and not is_inclusive:
        return None
    return TaxQuestion(currency=currency, destination=destination, goods=tuple(goods), is_inclusive=is_inclusive)


def _nothing(goods: Sequence[Taxable]) -> tuple[Due, ...]:
    return tuple(Due() for _ in goods)


def _by_provider(
    goods: Sequence[Taxable], rules: TaxRules, destination: Destination, *, is_exempt: bool
) -> Assessment | None:
    """``None`` while it has not said."""
    answer, is_inclusive = rules.answer, destination.country in rules.policy.inclusive_countries
    if is_exempt and not is_inclusive:
        return Assessment(dues=_nothing(goods), is_exempt=True)
    if answer is None:
        return None
    told = Assessment(dues=_nothing(goods), source=TaxSource.PROVIDER, reference=answer.reference)
    if not answer.is_known:
        return replace(told, is_known=False, is_final=False)
    dues = _dues(answer.amounts, is_inclusive=is_inclusive, is_exempt=is_exempt)
    return replace(told, dues=dues, taxes=() if is_exempt else answer.taxes, is_exempt=is_exempt)


def _by_table(
    goods: Sequence[Taxable], rules: TaxRules, destination: Destination | None, *, is_exempt: bool
) -> Assessment:
    region = rules.region_of(destination)
    groups = _groups(goods, region) if region is not None else None
    source = TaxSource.TABLE if rules.policy.mode is TaxMode.TABLE else TaxSource.TABLE_INSTEAD
    if region is None or groups is None:
        return Assessment(dues=_nothing(goods), is_known=False, is_final=False, source=source)
    taxes: dict[int, int] = {}
    for group in groups:
        taxes |= _taxes_of(group, goods, region, rules.policy)
    names = () if is_exempt else tuple(_named(groups, goods, taxes, is_included=region.is_inclusive))
    return Assessment(
        dues=_dues([taxes[i] for i in range(len(goods))], is_inclusive=region.is_inclusive, is_exempt=is_exempt),
        taxes=names,
        is_final=destination is not None,
        is_exempt=is_exempt,
        source=source,
    )


def _dues(amounts: Iterable[int], *, is_inclusive: bool, is_exempt: bool) -> tuple[Due, ...]:
    """What prices contain is not added; what they contain and somebody does not owe is a relief."""
    if is_exempt:
        return tuple(Due(relief=amount) if is_inclusive else Due() for amount in amounts)
    return tuple(Due(included=amount) if is_inclusive else Due(added=amount) for amount in amounts)


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
