"""What is about to be bought, with everything that a rule about its price may look at."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from domain.money import Money, Rounding


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """Units of one variant."""

    id: UUID
    """The cart item's."""
    variant_id: UUID
    product_id: UUID
    sku: str
    name: str
    quantity: int
    unit_price: Money
    base_price: Money | None = None
    """What a unit costs without price lists; ``None`` where none of them decided."""
    price_list: str | None = None
    """The list that made the unit price."""
    categories: frozenset[UUID] = frozenset()
    """Its product's category and all above it."""
    brand: str | None = None
    tags: frozenset[str] = frozenset()
    tax_class: str = "standard"
    weight_grams: int = 0

    @property
    def total(self) -> Money:
        return self.unit_price * self.quantity


@dataclass(frozen=True, kw_only=True, slots=True)
class Shopper:
    """Who buys, as far as prices care."""

    user_id: UUID | None = None
    groups: frozenset[str] = frozenset()
    orders_before: int = 0
    """Orders of theirs that were not cancelled; a guest is known by the e-mail address."""
    is_tax_exempt: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Destination:
    country: str
    region: str | None = None
    postal_code: str = ""


@dataclass(frozen=True, slots=True)
class Code:
    """What the customer has entered, and the promotion that it stands for."""

    text: str
    promotion_id: UUID | None = None
    is_used_up: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Basket:
    currency: str
    lines: tuple[Line, ...]
    shipping: Money
    """Zero until a way of shipping is chosen."""
    at: datetime
    """The moment for which it is priced."""
    shopper: Shopper = Shopper()
    destination: Destination | None = None
    codes: tuple[Code, ...] = ()
    used_up: frozenset[UUID] = frozenset()
    """Promotions that have been used as often as they can be."""
    used_up_by_shopper: frozenset[UUID] = frozenset()
    rounding: Rounding = Rounding.HALF_UP
    """Where half a minor unit of a discount goes."""

    @property
    def weight_grams(self) -> int:
        return sum(line.weight_grams * line.quantity for line in self.lines)

    @property
    def nothing(self) -> Money:
        return Money.zero(self.currency)
