"""What an order costs. Pure arithmetic on whole minor units."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

from domain.baskets import Basket, Line
from domain.money import Money
from domain.promotions import Applied, NotApplied, Promotion, Reduction, reduction
from domain.taxes import NO_TAXES, SHIPPING, Assessment, Due, Taxable, TaxRules, assess


@dataclass(frozen=True, kw_only=True, slots=True)
class Totals:
    subtotal: Money
    discount: Money
    shipping: Money
    tax: Money

    @property
    def total(self) -> Money:
        return self.subtotal - self.discount + self.shipping + self.tax


@dataclass(frozen=True, kw_only=True, slots=True)
class PricedLine:
    """A line, what is taken off it, and its tax: what is added, or what of its price is tax already."""

    line: Line
    discount: Money
    tax: Money
    included_tax: Money

    @property
    def total(self) -> Money:
        return self.line.total - self.discount + self.tax


@dataclass(frozen=True, kw_only=True, slots=True)
class PricedShipping:
    price: Money
    discount: Money
    tax: Money
    included_tax: Money

    @property
    def total(self) -> Money:
        return self.price - self.discount + self.tax


Part = TypeVar("Part", PricedLine, PricedShipping)


@dataclass(frozen=True, kw_only=True, slots=True)
class Priced:
    """All that a basket costs, and why."""

    lines: tuple[PricedLine, ...]
    shipping: PricedShipping
    taxes: Assessment
    applied: tuple[Applied, ...] = ()
    """Which promotion gave how much on what, in the order in which they were taken off."""
    not_applied: tuple[NotApplied, ...] = ()

    @property
    def totals(self) -> Totals:
        nothing = Money.zero(self.shipping.price.currency)
        return Totals(
            subtotal=sum((priced.line.total for priced in self.lines), start=nothing),
            discount=sum((priced.discount for priced in self.lines), start=self.shipping.discount),
            shipping=self.shipping.price,
            tax=sum((priced.tax for priced in self.lines), start=self.shipping.tax),
        )

    @property
    def included_tax(self) -> Money:
        """What of the total is tax, where prices contain it."""
        return sum((priced.included_tax for priced in self.lines), start=self.shipping.included_tax)


def price(basket: Basket, promotions: Iterable[Promotion] = (), taxes: TaxRules = NO_TAXES) -> Priced:
    """What the basket costs once these promotions are taken off and these taxes are taken."""
    return taxed(discounted(basket, reduction(basket, promotions)), basket, taxes)


def discounted(basket: Basket, less: Reduction) -> Priced:
    """What it costs before taxes."""
    nothing = basket.nothing
    lines = [
        PricedLine(
            line=line,
            discount=Money(less.lines.get(line.id, 0), basket.currency),
            tax=nothing,
            included_tax=nothing,
        )
        for line in basket.lines
    ]
    off_shipping = Money(less.shipping, basket.currency)
    shipping = PricedShipping(price=basket.shipping, discount=off_shipping, tax=nothing, included_tax=nothing)
    return Priced(
        lines=tuple(lines),
        shipping=shipping,
        taxes=Assessment(dues=()),
        applied=less.applied,
        not_applied=less.not_applied,
    )


def taxables(priced: Priced) -> list[Taxable]:
    """What is left of each line after all discounts, and of shipping as the last: on these taxes are due."""
    goods = [
        Taxable(amount=(one.line.total - one.discount).minor, tax_class=one.line.tax_class) for one in priced.lines
    ]
    return [*goods, Taxable(amount=(priced.shipping.price - priced.shipping.discount).minor, tax_class=SHIPPING)]


def taxed(priced: Priced, basket: Basket, rules: TaxRules) -> Priced:
    due = assess(taxables(priced), rules, basket.destination, is_exempt=basket.shopper.is_tax_exempt)
    *of_lines, of_shipping = due.dues
    return replace(
        priced,
        lines=tuple(_with(one, tax) for one, tax in zip(priced.lines, of_lines, strict=True)),
        shipping=_with(priced.shipping, of_shipping),
        taxes=due,
    )


def _with(part: Part, due: Due) -> Part:
    """What a price contains of a tax that somebody does not owe is taken off it like any other discount."""
    currency = part.discount.currency
    return replace(
        part,
        discount=part.discount + Money(due.relief, currency),
        tax=Money(due.added, currency),
        included_tax=Money(due.included, currency),
    )
