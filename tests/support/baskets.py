"""Baskets for pure rules."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from domain.baskets import Basket, Line
from domain.money import Money

AT = datetime(2026, 3, 15, 12, tzinfo=UTC)


def a_line(unit_price: int, quantity: int = 1, *, currency: str = "USD", **otherwise: Any) -> Line:
    variant: UUID = otherwise.pop("variant_id", None) or uuid4()
    facts: dict[str, Any] = {
        "id": uuid4(),
        "variant_id": variant,
        "product_id": uuid4(),
        "sku": f"SKU-{variant}",
        "name": "Thing",
        "quantity": quantity,
        "unit_price": Money(unit_price, currency),
    }
    return Line(**{**facts, **otherwise})


def a_basket(*lines: Line, shipping: int = 0, currency: str = "USD", **otherwise: Any) -> Basket:
    facts: dict[str, Any] = {
        "currency": currency,
        "lines": lines,
        "shipping": Money(shipping, currency),
        "at": AT,
    }
    return Basket(**{**facts, **otherwise})
