"""What it costs to price a cart, by its lines and by the shop's promotions: ``python -m benchmarks.pricing``.

The floor is what no promotion can spare: adding up the lines. Ratios to it hold on any machine; of the time only the
processor's is counted, so that the machine may have other things to do.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from time import process_time
from timeit import repeat
from uuid import UUID

from rich.console import Console
from rich.table import Table

from benchmarks.report import keep_text
from db.base import new_id
from domain.baskets import Basket, Line
from domain.money import Money
from domain.pricing import Priced, price
from domain.promotions import AmountOff, Benefit, BuyAndGet, Items, On, PercentOff, Promotion, PromotionIndex

TIMES, ROUNDS = 5, 7
LINES = (1, 10, 50, 100)
PROMOTIONS = (0, 10, 100, 1000)
PRODUCTS = tuple(new_id() for _ in range(20_000))
CATEGORIES = tuple(new_id() for _ in range(200))
BENEFITS: tuple[Benefit, ...] = (
    PercentOff(percent=Decimal("12.5"), on=On.LINE),
    AmountOff(amounts={"USD": 100}, on=On.ORDER),
    BuyAndGet(buy=2, get=1),
    PercentOff(percent=Decimal(100), on=On.SHIPPING),
)


def a_basket(lines: int) -> Basket:
    return Basket(
        currency="USD",
        lines=tuple(
            Line(
                id=new_id(),
                variant_id=PRODUCTS[number],
                product_id=PRODUCTS[number],
                sku=f"SKU-{number}",
                name="Thing",
                quantity=1 + number % 3,
                unit_price=Money(500 + number, "USD"),
                categories=frozenset(CATEGORIES[number % 200 : number % 200 + 1]),
                brand=f"Brand {number % 50}",
            )
            for number in range(lines)
        ),
        shipping=Money(499, "USD"),
        at=datetime(2026, 3, 15, tzinfo=UTC),
    )


def promotions(count: int) -> list[Promotion]:
    """As shops have them: nine of ten look at a few products, a brand or a category, the tenth at the whole cart."""
    return [
        Promotion(id=new_id(), name=f"Promotion {number}", benefit=BENEFITS[number % 4], items=items_of(number))
        for number in range(count)
    ]


def items_of(number: int) -> Items:
    match number % 10:
        case 0:
            return Items()
        case 1 | 2:
            return Items(categories=frozenset({CATEGORIES[number % 200]}))
        case 3 | 4:
            return Items(brands=frozenset({f"Brand {number % 100}"}))
    return Items(products=frozenset(some_products(number)))


def some_products(number: int) -> Sequence[UUID]:
    return [PRODUCTS[(number * 37 + step * 11) % len(PRODUCTS)] for step in range(20)]


def microseconds(what: Callable[[], object]) -> float:
    return min(repeat(what, number=TIMES, repeat=ROUNDS, timer=process_time)) / TIMES * 1e6


def priced(basket: Basket, index: PromotionIndex) -> Priced:
    return price(basket, index.for_lines(basket.lines))


def added_up(basket: Basket) -> Money:
    return sum((line.total for line in basket.lines), start=basket.shipping)


def main() -> None:
    table = Table("lines", "promotions", "that look at them", "pricing, µs", "adding up, µs", "ratio")
    for lines in LINES:
        basket = a_basket(lines)
        floor = microseconds(partial(added_up, basket))
        for count in PROMOTIONS:
            index = PromotionIndex(promotions(count))
            spent = microseconds(partial(priced, basket, index))
            near = len(index.for_lines(basket.lines))
            table.add_row(str(lines), str(count), str(near), f"{spent:.0f}", f"{floor:.1f}", f"{spent / floor:.0f}")
    Console().print(table)
    keep_text(table, "pricing")


if __name__ == "__main__":
    main()
