"""What an order costs. Pure arithmetic on whole minor units."""

from dataclasses import dataclass

from domain.baskets import Basket, Line
from domain.money import Money


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Priced:
    """All that a basket costs, and why."""

    lines: tuple[PricedLine, ...]
    shipping: PricedShipping

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


def price(basket: Basket) -> Priced:
    nothing = basket.nothing
    return Priced(
        lines=tuple(
            PricedLine(line=line, discount=nothing, tax=nothing, included_tax=nothing) for line in basket.lines
        ),
        shipping=PricedShipping(price=basket.shipping, discount=nothing, tax=nothing, included_tax=nothing),
    )
