"""Writes `computed.json`: carts at random, always the same ones, with what the reference calculation says they cost.

`python -m tests.domain.priced_carts.make`
"""

import json
import random
from pathlib import Path
from typing import Any

from tests.domain.priced_carts.reference import Case, expected

HERE = Path(__file__).parent
CASES = 180
AT = "2026-03-15T12:00:00Z"
NOTHING_NAMED: Case = {"products": [], "categories": [], "brands": [], "tags": []}
PRICES = {"USD": (0, 25_000), "JPY": (1, 40_000), "KWD": (5, 99_999)}


def a_cart(dice: random.Random, number: int) -> Case:
    currency = dice.choice(["USD", "USD", "JPY", "KWD"])
    low, high = PRICES[currency]
    case: Case = {
        "name": f"cart {number}",
        "at": AT,
        "currency": currency,
        "lines": [
            {
                "id": line,
                "product": dice.randint(1, 5),
                "categories": sorted(dice.sample(range(1, 5), dice.randint(0, 2))),
                "brand": dice.choice([None, "Acme", "Bolt"]),
                "tags": dice.sample(["sale", "new"], dice.randint(0, 2)),
                "unit_price": dice.randint(low, high),
                "quantity": dice.choice([1, 1, 2, 3, 7]),
            }
            for line in range(1, dice.randint(1, 6) + 1)
        ],
        "shipping": dice.choice([0, 499, dice.randint(1, 3000)]),
        "shopper": {"groups": dice.sample(["trade", "staff"], dice.randint(0, 1)), "orders_before": dice.randint(0, 1)},
        "codes": sorted(dice.sample([f"CODE{number}" for number in range(1, 13)], 6)),
        "promotions": [a_promotion(dice, number, currency, high) for number in range(1, dice.randint(2, 12) + 1)],
        "tax_rules": None,
    }
    dice.shuffle(case["lines"])
    return case | {"expected": expected(case)}


def a_promotion(dice: random.Random, number: int, currency: str, high: int) -> Case:
    kind = dice.choice(["percent_off", "percent_off", "amount_off", "amount_off", "buy_and_get", "free_shipping"])
    on = {"percent_off": ["line", "order", "shipping"], "amount_off": ["unit", "line", "order", "shipping"]}
    is_bargain = kind == "buy_and_get"
    return {
        "id": number,
        "kind": kind,
        "on": dice.choice(on[kind]) if kind in on else None,
        "percent": dice.choice(["10", "12.5", "33.33", "50", "100"])
        if kind in ("percent_off", "buy_and_get")
        else None,
        "amounts": an_amount(dice, currency, high) if kind == "amount_off" else None,
        "buy": dice.randint(1, 3) if is_bargain else None,
        "get": dice.randint(1, 2) if is_bargain else None,
        "gets": dice.choice([None, some_items(dice)]) if is_bargain else None,
        "at_most": dice.choice([None, 1, 2]) if is_bargain else None,
        "items": dice.choice([NOTHING_NAMED, some_items(dice)]),
        "minimums": dice.choice([{}, {}, an_amount(dice, currency, high)]),
        "groups": dice.choice([[], [], [], [], [], ["trade"], ["trade", "staff"]]),
        "first_order": dice.random() < 0.15,
        "from": dice.choice([None, None, "2026-03-15T12:00:00Z", "2026-03-15T12:00:01Z"]),
        "until": dice.choice([None, None, "2026-03-15T12:00:01Z", "2026-03-15T12:00:00Z"]),
        "code": dice.choice([None, None, f"CODE{number}"]),
        "priority": dice.choice([0, 0, 0, 5, -5]),
        "combination": dice.choice(["with_others"] * 12 + ["best_of"] * 4 + ["exclusive"]),
    }


def an_amount(dice: random.Random, currency: str, high: int) -> dict[str, int]:
    return {dice.choice([currency] * 6 + ["EUR"]): dice.randint(1, high)}


def some_items(dice: random.Random) -> Case:
    named: dict[str, Any] = {
        "products": sorted(dice.sample(range(1, 6), 2)),
        "categories": sorted(dice.sample(range(1, 5), 2)),
        "brands": [dice.choice(["Acme", "Bolt"])],
        "tags": [dice.choice(["sale", "new"])],
    }
    kept = dice.choice(list(named))
    return NOTHING_NAMED | {kept: named[kept]}


def written() -> str:
    dice = random.Random(20260315)  # noqa: S311 (the same carts every time)
    lines = ",\n".join(json.dumps(a_cart(dice, number)) for number in range(1, CASES + 1))
    return f"[\n{lines}\n]\n"


if __name__ == "__main__":
    (HERE / "computed.json").write_text(written(), encoding="utf-8")
