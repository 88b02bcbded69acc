"""Carts with promotions cost what a calculation of its own says, and what was reckoned by hand."""

import json
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from domain.baskets import Basket, Code, Destination, Line, Shopper
from domain.money import Money, Rounding
from domain.pricing import Priced, price
from domain.promotions import AmountOff, Benefit, BuyAndGet, Combination, Items, On, PercentOff, Promotion
from domain.taxes import NO_TAXES, Rate, Region, RoundedBy, TaxMode, TaxPolicy, TaxRules
from tests.domain.priced_carts import make, make_taxed

FILES = Path(__file__).parent / "priced_carts"
Case = dict[str, Any]

EMPTY: Case = {
    "at": "2026-03-15T12:00:00Z",
    "shipping": 0,
    "shopper": {"groups": [], "orders_before": 0},
    "codes": [],
    "promotions": [],
}
LINE: Case = {"product": 1, "categories": [], "brand": None, "tags": [], "quantity": 1, "tax_class": "standard"}
PROMOTION: Case = {
    "on": None,
    "percent": None,
    "amounts": None,
    "buy": None,
    "get": None,
    "gets": None,
    "at_most": None,
    "items": {},
    "minimums": {},
    "groups": [],
    "first_order": False,
    "from": None,
    "until": None,
    "code": None,
    "priority": 0,
    "combination": "with_others",
}


def cases_in(name: str) -> list[Case]:
    cases: list[Case] = json.loads((FILES / name).read_text())
    return cases


@pytest.mark.parametrize("case", cases_in("by_hand.json"), ids=lambda case: case["name"])
def test_a_cart_costs_what_was_reckoned_by_hand(case: Case) -> None:
    assert_costs(case)


@pytest.mark.parametrize("case", cases_in("computed.json"), ids=lambda case: case["name"])
def test_a_cart_costs_what_another_calculation_says(case: Case) -> None:
    assert_costs(case)


@pytest.mark.parametrize("case", cases_in("by_hand_with_taxes.json"), ids=lambda case: case["name"])
def test_a_cart_with_taxes_costs_what_was_reckoned_by_hand(case: Case) -> None:
    assert_costs(case)


TAXED = json.loads((FILES / "taxed.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", TAXED["carts"], ids=lambda case: case["name"])
def test_a_cart_with_promotions_and_taxes_costs_what_another_calculation_says(case: Case) -> None:
    assert_costs({**case, "regions": [TAXED["world"][place] for place in case["regions"]]})


def test_the_other_calculations_say_what_is_written_down() -> None:
    assert make.written() == (FILES / "computed.json").read_text(encoding="utf-8")
    assert make_taxed.written() == (FILES / "taxed.json").read_text(encoding="utf-8")


def test_the_other_calculations_share_nothing_with_what_they_check() -> None:
    imported = [
        line
        for name in ("reference", "tax_reference", "make", "make_taxed")
        for line in (FILES / f"{name}.py").read_text(encoding="utf-8").splitlines()
        if line.startswith(("import ", "from "))
    ]
    ours = {line.split()[1].split(".")[0] for line in imported} - {"tests"}
    assert ours == {"fractions", "json", "math", "pathlib", "random", "typing"}


def assert_costs(case: Case) -> None:
    basket = basket_of({**EMPTY, **case})
    promotions = [promotion_of(promotion) for promotion in case.get("promotions", ())]
    priced = price(basket, promotions, tax_rules_of(case) if case.get("regions") else NO_TAXES)
    expected = case["expected"]
    assert {name: value for name, value in told(priced).items() if name in expected} == expected


def told(priced: Priced) -> Case:
    return {
        "discounts": [line.discount.minor for line in priced.lines],
        "taxes": [line.tax.minor for line in priced.lines],
        "included_taxes": [line.included_tax.minor for line in priced.lines],
        "shipping_discount": priced.shipping.discount.minor,
        "shipping_tax": priced.shipping.tax.minor,
        "included_tax": priced.included_tax.minor,
        "subtotal": priced.totals.subtotal.minor,
        "tax": priced.totals.tax.minor,
        "total": priced.totals.total.minor,
        "applied": [[applied.promotion.id.int, applied.amount.minor] for applied in priced.applied],
        "names": sorted([tax.name, f"{tax.percent}", tax.base, tax.amount] for tax in priced.taxes.taxes),
    }


def basket_of(case: Case) -> Basket:
    behind = {promotion["code"]: promotion["id"] for promotion in case["promotions"] if promotion.get("code")}
    return Basket(
        currency=case["currency"],
        lines=tuple(line_of({**LINE, **line}, case["currency"]) for line in case["lines"]),
        shipping=Money(case["shipping"], case["currency"]),
        at=datetime.fromisoformat(case["at"]),
        shopper=Shopper(
            groups=frozenset(case["shopper"]["groups"]),
            orders_before=case["shopper"]["orders_before"],
            is_tax_exempt=case.get("is_exempt", False),
        ),
        destination=Destination(**case["destination"]) if "destination" in case else None,
        codes=tuple(Code(code, UUID(int=behind[code]) if code in behind else None) for code in case["codes"]),
    )


def line_of(line: Case, currency: str) -> Line:
    return Line(
        id=UUID(int=line["id"]),
        variant_id=UUID(int=line["id"]),
        product_id=UUID(int=line["product"]),
        sku=f"SKU-{line['id']}",
        name="Thing",
        quantity=line["quantity"],
        unit_price=Money(line["unit_price"], currency),
        categories=ids(line["categories"]),
        brand=line["brand"],
        tags=frozenset(line["tags"]),
        tax_class=line["tax_class"],
    )


def tax_rules_of(case: Case) -> TaxRules:
    chosen = case["tax"]
    policy = TaxPolicy(
        mode=TaxMode.TABLE,
        rounding=Rounding(chosen["rounding"]),
        rounded_by=RoundedBy(chosen["rounded_by"]),
    )
    return TaxRules(policy=policy, regions=tuple(region_of(region) for region in case["regions"]))


def region_of(told: Case) -> Region:
    rates = (Rate(name=name, percent=Decimal(percent), tax_class=of) for name, percent, of in told["rates"])
    return Region(**{**told, "rates": tuple(rates)})


def promotion_of(case: Case) -> Promotion:
    case = {**PROMOTION, **case}
    return Promotion(
        id=UUID(int=case["id"]),
        name=f"Promotion {case['id']}",
        benefit=benefit_of(case),
        items=items_of(case["items"]),
        minimums=case["minimums"],
        groups=frozenset(case["groups"]),
        is_for_first_order=case["first_order"],
        starts_at=datetime.fromisoformat(case["from"]) if case["from"] else None,
        ends_at=datetime.fromisoformat(case["until"]) if case["until"] else None,
        needs_code=case["code"] is not None,
        priority=case["priority"],
        combination=Combination(case["combination"]),
    )


def benefit_of(case: Case) -> Benefit:
    match case["kind"]:
        case "percent_off":
            return PercentOff(percent=Decimal(case["percent"]), on=On(case["on"]))
        case "amount_off":
            return AmountOff(amounts=case["amounts"], on=On(case["on"]))
        case "free_shipping":
            return PercentOff(percent=Decimal(100), on=On.SHIPPING)
    return BuyAndGet(
        buy=case["buy"],
        get=case["get"],
        percent=Decimal(case["percent"]),
        gets=items_of(case["gets"]) if case["gets"] else None,
        at_most=case["at_most"],
    )


def items_of(named: Mapping[str, Any]) -> Items:
    return Items(
        products=ids(named.get("products", ())),
        categories=ids(named.get("categories", ())),
        brands=frozenset(named.get("brands", ())),
        tags=frozenset(named.get("tags", ())),
    )


def ids(numbers: list[int] | tuple[int, ...]) -> frozenset[UUID]:
    return frozenset(UUID(int=number) for number in numbers)
