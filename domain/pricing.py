"""What an order costs. Pure arithmetic on whole minor units."""

from collections.abc import Sequence
from dataclasses import dataclass

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


def totals_of(lines: Sequence[tuple[Money, int]], *, shipping: Money) -> Totals:
    """Totals of lines of (unit price, quantity) plus the costs of shipping."""
    nothing = Money.zero(shipping.currency)
    subtotal = sum((price * quantity for price, quantity in lines), start=nothing)
    return Totals(subtotal=subtotal, discount=nothing, shipping=shipping, tax=nothing)
