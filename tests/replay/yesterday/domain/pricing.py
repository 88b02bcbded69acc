"""What an order costs. Pure arithmetic on whole minor units."""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.replay.yesterday.domain.money import Money


@dataclass(frozen=True, kw_only=True, slots=True)
class Totals:
    subtotal: Money
    discount: Money
    shipping: Money
    tax: Money

    @property
    def total(self) -> Money:
        return self.subtotal - self.discount + self.shipping + self.tax

    @property
    def for_goods(self) -> Money:
        """What of the total was paid for goods: a discount lowers this first, and only then what shipping costs."""
        return max(self.subtotal - self.discount + self.tax, Money.zero(self.subtotal.currency))

    @property
    def for_shipping(self) -> Money:
        return self.total - self.for_goods

    def paid_for(self, price: Money) -> Money:
        """What goods of this price cost their customer: their share, by price, of what was paid for all goods.

        Never a minor unit too much: it is rounded down. What the others cost is rounded up with it.
        """
        if self.subtotal.minor == 0:
            return price
        return Money(price.minor * self.for_goods.minor // self.subtotal.minor, self.subtotal.currency)


def totals_of(lines: Sequence[tuple[Money, int]], *, shipping: Money) -> Totals:
    """Totals of lines of (unit price, quantity) plus the costs of shipping."""
    nothing = Money.zero(shipping.currency)
    subtotal = sum((price * quantity for price, quantity in lines), start=nothing)
    return Totals(subtotal=subtotal, discount=nothing, shipping=shipping, tax=nothing)
