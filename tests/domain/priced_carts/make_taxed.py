"""Writes `taxed.json`: carts at random, always the same ones, with promotions and taxes, and what the reference says.

`python -m tests.domain.priced_carts.make_taxed`
"""

import json
import random
from pathlib import Path

from tests.domain.priced_carts.make import AT, a_cart
from tests.domain.priced_carts.tax_reference import Case, expected

FILE = Path(__file__).parent / "taxed.json"
CASES = 180
SALES_TAX = {"is_inclusive": False}
VAT = {"is_inclusive": True}
WORLD: list[Case] = [
    {"country": "US", "region": "CA", "postal_prefix": "", **SALES_TAX}
    | {"rates": [["California", "7.25", "standard"], ["California", "0", "shipping"]]},
    {"country": "US", "region": "CA", "postal_prefix": "941", **SALES_TAX}
    | {"rates": [["California", "7.25", "standard"], ["San Francisco", "1.375", "standard"], ["Food", "0", "food"]]},
    {"country": "US", "region": "NY", "postal_prefix": "", **SALES_TAX}
    | {"rates": [["State", "4", "standard"], ["City", "4.5", "standard"], ["MCTD", "0.375", "standard"]]},
    {"country": "CA", "region": "", "postal_prefix": "", **SALES_TAX}
    | {"rates": [["GST", "5", "standard"], ["QST", "9.975", "standard"], ["GST", "5", "books"]]},
    {"country": "DE", "region": "", "postal_prefix": "", **VAT}
    | {"rates": [["VAT", "19", "standard"], ["VAT reduced", "7", "food"], ["VAT reduced", "7", "books"]]},
    {"country": "FR", "region": "", "postal_prefix": "", **VAT}
    | {"rates": [["TVA", "20", "standard"], ["TVA réduite", "5.5", "food"], ["TVA", "2.1", "books"]]},
    {"country": "JP", "region": "", "postal_prefix": "", **VAT}
    | {"rates": [["JCT", "10", "standard"], ["JCT reduced", "8", "food"]]},
    {"country": "KW", "region": "", "postal_prefix": "", **SALES_TAX}
    | {"rates": [["VAT", "5", "standard"], ["VAT", "0", "food"]]},
]
PLACES: dict[str, list[Case]] = {
    "USD": [
        {"country": "US", "region": "CA", "postal_code": "90001"},
        {"country": "US", "region": "ca", "postal_code": "941-10"},
        {"country": "US", "region": "NY", "postal_code": "10001"},
        {"country": "CA", "region": "QC", "postal_code": "h2x 1y4"},
        {"country": "DE", "region": "", "postal_code": "10115"},
    ],
    "EUR": [
        {"country": "DE", "region": "BE", "postal_code": "10115"},
        {"country": "FR", "region": "", "postal_code": "75001"},
        {"country": "US", "region": "NY", "postal_code": "10001"},
    ],
    "JPY": [
        {"country": "JP", "region": "", "postal_code": "100-0001"},
        {"country": "CA", "region": "QC", "postal_code": "H2X 1Y4"},
    ],
    "KWD": [
        {"country": "KW", "region": "", "postal_code": "13001"},
        {"country": "FR", "region": "", "postal_code": "75001"},
    ],
}


def carts() -> list[Case]:
    dice = random.Random(20261126)  # noqa: S311 (the same carts every time)
    found: list[Case] = []
    while len(found) < CASES:
        cart = a_taxed_cart(dice, len(found) + 1)
        if has_both(cart):
            found.append(cart)
    return found


def has_both(cart: Case) -> bool:
    """Something is taken off, and a tax is due, or somebody does not owe it."""
    told = cart["expected"]
    return bool(told["applied"]) and bool(told["tax"] or told["included_tax"] or cart["is_exempt"])


def a_taxed_cart(dice: random.Random, number: int) -> Case:
    case = a_cart(dice, number)
    if case["currency"] == "USD" and dice.random() < 0.4:
        case = in_euros(case)
    for line in case["lines"]:
        line["tax_class"] = dice.choice(["standard", "standard", "food", "books"])
    case["promotions"] = case["promotions"][:4]  # more of them leave little that could be taxed
    there = dice.choice(PLACES[case["currency"]])
    case |= {
        "name": f"cart {number} to {there['country']} in {case['currency']}",
        "destination": there,
        "regions": [region for region in WORLD if region["country"] == there["country"]],
        "tax": {"rounding": dice.choice(["half_up", "half_even"]), "rounded_by": dice.choice(["line", "order"])},
        "is_exempt": dice.random() < 0.1,
    }
    return case | {"expected": expected(case)}


def in_euros(case: Case) -> Case:
    """The same amounts, also where promotions name them."""
    text = json.dumps(case).replace('"USD"', '"EUR"')
    changed: Case = json.loads(text)
    return changed


def short(case: Case) -> Case:
    """Without what is said of a promotion or of a line because there is nothing to say, and without the world."""
    names = {json.dumps(region): place for place, region in enumerate(WORLD)}
    return {
        **{name: told for name, told in case.items() if name not in ("at", "tax_rules", "regions")},
        "lines": [plain(line) for line in case["lines"]],
        "promotions": [plain(promotion) for promotion in case["promotions"]],
        "regions": [names[json.dumps(region)] for region in case["regions"]],
    }


def plain(facts: Case) -> Case:
    told = {name: plain(fact) if isinstance(fact, dict) else fact for name, fact in facts.items()}
    return {name: fact for name, fact in told.items() if fact == 0 or fact}


def written() -> str:
    lines = ",\n".join(json.dumps(short(case), ensure_ascii=False) for case in carts())
    regions = ",\n".join(json.dumps(region, ensure_ascii=False) for region in WORLD)
    return f'{{"at": "{AT}",\n"world": [\n{regions}\n],\n"carts": [\n{lines}\n]}}\n'


if __name__ == "__main__":
    FILE.write_text(written(), encoding="utf-8")
