"""A small world of taxes: who asks what is due is told, by a few countries and states that have rates here."""

from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import Any

from sandbox import clock
from sandbox.errors import StripeError, no_such
from sandbox.objects import TaxCalculation, new_id
from sandbox.params import CalculateTaxes, ListLineItems
from sandbox.shelves import Shelves


@dataclass(frozen=True, slots=True)
class Rate:
    percent: str
    type: str


FOOD = "txcd_40060003"
CARRIAGE = "txcd_92010001"
EXEMPT = {("US", CARRIAGE), ("US", FOOD)}
"""Of these kinds nothing is taken there."""
RATES = {
    ("DE", ""): Rate("19.0", "vat"),
    ("FR", ""): Rate("20.0", "vat"),
    ("GB", ""): Rate("20.0", "vat"),
    ("JP", ""): Rate("10.0", "jct"),
    ("US", "CA"): Rate("7.25", "sales_tax"),
    ("US", "NY"): Rate("8.875", "sales_tax"),
}
REDUCED = {("DE", FOOD): Rate("7.0", "vat"), ("JP", FOOD): Rate("8.0", "jct")}
NO_PLACE = "ZZ"
"""A country whose addresses cannot be told apart."""


class Taxes:
    def __init__(self, shelves: Shelves) -> None:
        self._shelves = shelves

    def calculate(self, wish: CalculateTaxes) -> TaxCalculation:
        address = wish.customer_details.address
        if address.country == NO_PLACE:
            raise StripeError(
                400,
                "We could not determine the customer's tax location based on the provided customer address.",
                code="customer_tax_location_invalid",
                param="customer_details[address]",
            )
        lines = [
            _line(one.amount, one.tax_behavior, one.tax_code, address.country, address.state or "")
            | {"id": new_id("tax_li"), "object": "tax.calculation_line_item", "livemode": False}
            | {"reference": one.reference or f"L{place}", "quantity": one.quantity}
            for place, one in enumerate(wish.line_items)
        ]
        shipping = None
        if (cost := wish.shipping_cost) is not None:
            shipping = _line(cost.amount, cost.tax_behavior, cost.tax_code, address.country, address.state or "")
        parts = [*lines, *([shipping] if shipping else [])]
        breakdown = _breakdown(parts, address.country, address.state or "")
        for part in parts:
            del part["rate"]
        added = sum(part["amount_tax"] for part in parts if part["tax_behavior"] == "exclusive")
        made = TaxCalculation(
            id=new_id("taxcalc"),
            created=int(clock.now()),
            amount_total=sum(part["amount"] for part in parts) + added,
            currency=wish.currency.lower(),
            customer_details={"address": {"country": address.country, "state": address.state or None}},
            expires_at=int(clock.now()) + 90 * 24 * 3600,
            lines=lines,
            shipping_cost=shipping,
            tax_amount_exclusive=added,
            tax_amount_inclusive=sum(part["amount_tax"] for part in parts if part["tax_behavior"] == "inclusive"),
            tax_breakdown=breakdown,
            tax_date=int(clock.now()),
        )
        self._shelves.tax_calculations.put(made)
        return made

    def shown(self, made: TaxCalculation, *, with_lines: bool) -> dict[str, Any]:
        """As it goes over the wire: its lines are told where they are wanted, ten of them at first."""
        told = {name: getattr(made, name) for name in made.__struct_fields__ if name not in ("lines", "created")}
        return {**told, "line_items": self._page(made, 0, 10) if with_lines else None}

    def line_items(self, calculation_id: str, wish: ListLineItems) -> dict[str, Any]:
        made = self._shelves.tax_calculations.find(calculation_id)
        if made is None:
            raise no_such("tax calculation", calculation_id, status=404)
        places = [line["id"] for line in made.lines]
        return self._page(made, places.index(wish.starting_after) + 1 if wish.starting_after else 0, wish.limit)

    def _page(self, made: TaxCalculation, first: int, limit: int) -> dict[str, Any]:
        return {
            "object": "list",
            "url": f"/v1/tax/calculations/{made.id}/line_items",
            "has_more": len(made.lines) > first + limit,
            "data": made.lines[first : first + limit],
        }


def _line(amount: int, behaviour: str, code: str, country: str, state: str) -> dict[str, Any]:
    rate = _rate(code, country, state)
    percent = Fraction(rate.percent) if rate else Fraction(0)
    share = percent / (100 + percent) if behaviour == "inclusive" else percent / 100
    tax = floor(amount * share + Fraction(1, 2))
    return {"amount": amount, "amount_tax": tax, "tax_behavior": behaviour, "tax_code": code, "rate": rate}


def _rate(code: str, country: str, state: str) -> Rate | None:
    """``None`` where the shop is not registered, so that nothing is collected."""
    if (country, code) in EXEMPT:
        return Rate("0.0", "sales_tax")
    return REDUCED.get((country, code)) or RATES.get((country, state)) or RATES.get((country, ""))


def _breakdown(parts: list[dict[str, Any]], country: str, state: str) -> list[dict[str, Any]]:
    sums: dict[tuple[Rate | None, bool], tuple[int, int]] = {}
    for part in parts:
        is_inclusive = part["tax_behavior"] == "inclusive"
        base, tax = sums.get((part["rate"], is_inclusive), (0, 0))
        net = part["amount"] - (part["amount_tax"] if is_inclusive else 0)
        sums[part["rate"], is_inclusive] = base + net, tax + part["amount_tax"]
    return [
        {
            "amount": tax,
            "inclusive": is_inclusive,
            "tax_rate_details": {
                "country": country,
                "state": state or None,
                "percentage_decimal": rate.percent if rate else "0.0",
                "rate_type": "percentage",
                "tax_type": rate.type if rate else None,
                "flat_amount": None,
            },
            "taxability_reason": ("standard_rated" if tax else "product_exempt") if rate else "not_collecting",
            "taxable_amount": base if tax else 0,
        }
        for (rate, is_inclusive), (base, tax) in sums.items()
    ]
