"""What a cart's answer warns of."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from pydantic import Field

from api.schemas import Amount, Output, amount
from domain.carts import ItemNow, Warned


class CartWarning(Output):
    code: Warned = Field(
        description="`price_changed` since it was put in or its quantity was set; `not_sold` any more, or not in this "
        "currency; `short_stock`: fewer are left than are wanted"
    )
    item_id: UUID
    was: Amount | None = Field(description="Of a `price_changed`: the price that the customer knows")
    now: Amount | None = Field(description="Of a `price_changed`: the price at which it would be ordered")
    quantity: int = Field(description="How many are wanted")
    available: int | None = Field(description="Of a `short_stock`: how many are left")


def warnings_about(items: Sequence[ItemNow], prices: Mapping[UUID, Amount]) -> list[CartWarning]:
    """``prices`` are those of one unit, by item."""
    return [
        _warning(code, item, prices[item.id])
        for item in items
        if item.id in prices
        for code in item.warnings(prices[item.id].as_money().minor)
    ]


def _warning(code: Warned, item: ItemNow, price: Amount) -> CartWarning:
    is_about_price, is_about_stock = code is Warned.PRICE_CHANGED, code is Warned.SHORT_STOCK
    was = amount(item.noted_price or 0, price.currency) if is_about_price else None
    return CartWarning(
        code=code,
        item_id=item.id,
        was=Amount.model_validate(was) if was else None,
        now=price if is_about_price else None,
        quantity=item.quantity,
        available=item.available if is_about_stock else None,
    )
