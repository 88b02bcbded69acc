"""What clients send and get of carts."""

from collections.abc import Mapping
from dataclasses import asdict
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from api.cart_warnings import CartWarning
from api.schemas import Amount, CardCode, CurrencyCode, Email, Input, Output, VersionedOutput, amount, money
from db import carts
from db.baskets import PricedCart
from domain.carts import LARGEST_QUANTITY
from domain.credit import Obstacle, Share, Tender
from domain.errors import Refusal
from domain.pricing import PricedLine
from domain.promotions import LONGEST_CODE, Applied, NotApplied, Reason
from domain.shipping_rates import Option

Quantity = Annotated[int, Field(ge=1, le=LARGEST_QUANTITY, strict=True)]


class NewCart(Input):
    currency: CurrencyCode


class NewItem(Input):
    variant_id: UUID
    quantity: Quantity


class ItemChange(Input):
    quantity: Quantity


class CartEmail(Input):
    email: Email


class ShippingAddress(Input):
    name: Annotated[str, Field(min_length=1, max_length=200)]
    line1: Annotated[str, Field(min_length=1, max_length=200)]
    line2: Annotated[str | None, Field(max_length=200)] = None
    city: Annotated[str, Field(min_length=1, max_length=100)]
    region: Annotated[str | None, Field(max_length=100)] = None
    postal_code: Annotated[str, Field(min_length=1, max_length=20)]
    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$", description="ISO 3166-1 alpha-2", examples=["US"])]
    phone: Annotated[str | None, Field(max_length=40)] = None


class SavedAddress(Input):
    address_id: UUID = Field(description="From the caller's address book")


class ShippingChoice(Input):
    code: Annotated[str, Field(min_length=1, max_length=50)]


class EnteredCode(Input):
    code: Annotated[str, Field(min_length=1, max_length=LONGEST_CODE, examples=["SPRING10"])]


class EnteredCard(Input):
    code: CardCode = Field(description="Upper and lower case, blanks and dashes do not matter")


class StoreCreditChoice(Input):
    use: Annotated[bool, Field(strict=True)]


class GiftCardShareOut(Output):
    id: UUID
    last4: str = Field(description="How its code ends")
    amount: Amount = Field(description="What it pays")
    obstacle: Obstacle | None = Field(description="Why it cannot pay for this cart; a checkout would be refused")


class CartItemOut(Output):
    id: UUID
    variant_id: UUID
    sku: str
    name: str
    quantity: int
    unit_price: Amount
    base_price: Amount | None = Field(description="What a unit costs without the price list that applies")
    price_list: str | None = Field(description="The price list that made the unit price")
    line_total: Amount = Field(description="Before its discount and its tax")
    discount: Amount = Field(description="Also its share of what is taken off the whole")
    tax: Amount = Field(description="What is added to its price; nothing, where prices contain their tax")


class TotalsOut(Output):
    subtotal: Amount
    discount: Amount
    shipping: Amount
    tax: Amount
    included_tax: Amount = Field(description="What of the total is tax, where prices contain their tax")
    total: Amount


class TaxOut(Output):
    name: str = Field(examples=["California"])
    percent: str = Field(examples=["7.25"])
    base: Amount = Field(description="What it is due on, without any tax")
    amount: Amount
    is_included: bool = Field(description="It is part of the prices, and not added to them")


class ReducedItemOut(Output):
    item_id: UUID
    amount: Amount


class AppliedPromotionOut(Output):
    code: str | None = Field(description="`null`: it needs none")
    name: str
    amount: Amount
    lines: list[ReducedItemOut]
    shipping: Amount = Field(description="What of it lowers the costs of shipping")


class NotAppliedPromotionOut(Output):
    code: str | None
    name: str | None = Field(description="`null`: no promotion stands behind the code")
    reason: Reason
    detail: str


class CartOut(VersionedOutput):
    id: UUID
    currency: str
    email: str | None
    items: list[CartItemOut]
    shipping_address: ShippingAddress | None
    shipping_method: str | None
    shipping_method_available: bool | None = Field(
        description="`false`: the chosen method does not carry these goods to this address, so another one has to be "
        "chosen; `null`: none is chosen"
    )
    promotion_codes: list[str] = Field(description="What was entered")
    promotions: list[AppliedPromotionOut] = Field(description="What is taken off, in that order")
    not_applied: list[NotAppliedPromotionOut] = Field(description="Codes that take nothing off, and why")
    totals: TotalsOut
    gift_cards: list[GiftCardShareOut] = Field(description="They pay in this order")
    uses_store_credit: bool
    store_credit: Amount = Field(description="What store credit pays, after the gift cards")
    amount_due: Amount = Field(description="What is left of the total for the payment provider")
    taxes: list[TaxOut]
    tax_is_final: bool = Field(
        description="`false`: an estimate for the shop's home, or nothing yet, since it is not known what is due where "
        "the cart goes"
    )
    status: Annotated[str, Field(pattern="^(open|completed)$")]
    reminder_consent: bool = Field(description="Whether its customer agrees to be reminded of it by mail")
    warnings: list[CartWarning] = Field(
        description="What changed since things were put in; nothing of it hinders a change of the cart"
    )
    version: int = Field(description="One more with each change; the `ETag` carries it for `If-Match`")


class PricedShippingOut(Output):
    price: Amount
    discount: Amount
    tax: Amount
    included_tax: Amount
    total: Amount


class ObstacleOut(Output):
    code: str = Field(description="What a checkout would be refused with", examples=["cart_incomplete"])
    detail: str


class PreviewOut(CartOut):
    """What a checkout would charge now, with every rule that had a say in it."""

    not_applied: list[NotAppliedPromotionOut] = Field(
        description="Promotions that take nothing off, and why: of codes, and for staff also of those that need none"
    )
    shipping: PricedShippingOut
    obstacle: ObstacleOut | None = Field(description="`null`: nothing of the cart itself stands in its way")


class ShippingOption(Output):
    code: str
    name: str
    price: Amount
    estimated_days: int = Field(description="At most")
    estimated_days_min: int


class ShippingOptions(Output):
    items: list[ShippingOption]


def cart_out(found: PricedCart) -> CartOut:
    cart, priced = found.cart, found.priced
    totals = priced.totals
    return CartOut.model_validate(
        {
            **cart,
            "items": [_item_out(line) for line in priced.lines],
            "shipping_method_available": found.is_shipping_offered if cart["shipping_method"] else None,
            "warnings": [],
            "taxes": [taxes_out(tax, cart["currency"]) for tax in map(asdict, priced.taxes.taxes)],
            "tax_is_final": priced.taxes.is_final,
            "promotions": [_applied_out(each) for each in priced.applied],
            "not_applied": [not_applied_out(each) for each in priced.not_applied if each.code is not None],
            "status": "completed" if cart["completed_at"] else "open",
            "totals": {
                "subtotal": money(totals.subtotal),
                "discount": money(totals.discount),
                "shipping": money(totals.shipping),
                "tax": money(totals.tax),
                "included_tax": money(priced.included_tax),
                "total": money(totals.total),
            },
            "gift_cards": [_card_out(share, found.tender) for share in found.tender.cards],
            "store_credit": amount(found.tender.store_credit, cart["currency"]),
            "amount_due": money(found.tender.due),
        }
    )


def _item_out(priced: PricedLine) -> dict[str, Any]:
    line = priced.line
    return {
        "id": line.id,
        "variant_id": line.variant_id,
        "sku": line.sku,
        "name": line.name,
        "quantity": line.quantity,
        "unit_price": money(line.unit_price),
        "base_price": money(line.base_price) if line.base_price else None,
        "price_list": line.price_list,
        "line_total": money(line.total),
        "discount": money(priced.discount),
        "tax": money(priced.tax),
    }


def _applied_out(applied: Applied) -> dict[str, Any]:
    return {
        "code": applied.code,
        "name": applied.promotion.name,
        "amount": money(applied.amount),
        "lines": [{"item_id": line, "amount": money(amount)} for line, amount in applied.lines.items()],
        "shipping": money(applied.shipping),
    }


def not_applied_out(no: NotApplied) -> dict[str, Any]:
    name = no.promotion.name if no.promotion else None
    return {"code": no.code, "name": name, "reason": no.reason, "detail": no.detail}


def _card_out(share: Share, paid: Tender) -> dict[str, Any]:
    return {
        "id": share.purse.account_id,
        "last4": share.purse.last4,
        "amount": amount(share.amount, paid.total.currency),
        "obstacle": paid.obstacle_of(share),
    }


def taxes_out(tax: Mapping[str, Any], currency: str) -> dict[str, Any]:
    """One tax, as it is due now or as an order keeps it."""
    return {
        **tax,
        "percent": f"{Decimal(tax['percent']).normalize():f}",
        **{name: amount(tax[name], currency) for name in ("base", "amount")},
    }


def preview_out(cart: CartOut, found: PricedCart, *, is_whole: bool) -> PreviewOut:
    priced = found.priced
    shipping = {name: money(getattr(priced.shipping, name)) for name in PricedShippingOut.model_fields}
    return PreviewOut.model_validate(
        {
            **cart.model_dump(),
            "not_applied": [not_applied_out(no) for no in priced.not_applied if is_whole or no.code is not None],
            "shipping": shipping,
            "obstacle": obstacle_of(found),
        }
    )


def obstacle_of(found: PricedCart) -> dict[str, str] | None:
    try:
        found.check_can_be_ordered()
        carts.check_can_pay(found.tender)
    except Refusal as refusal:
        return {"code": refusal.code, "detail": refusal.detail}
    return None


def option_out(option: Option, currency: str) -> ShippingOption:
    return ShippingOption(
        code=option.tariff.code,
        name=option.tariff.name,
        price=Amount(**amount(option.price, currency)),
        estimated_days=option.tariff.estimated_days,
        estimated_days_min=option.tariff.estimated_days_min,
    )
