"""What a cart costs, calculated once more in another way: unit by unit, with fractions, from the words of a case.

It shares nothing with `domain/`. It is slow and plain on purpose; `make.py` writes down what it finds.
"""

from fractions import Fraction
from math import floor
from typing import Any

Case = dict[str, Any]
Unit = dict[str, Any]

STAGES = {"unit": 0, "line": 0, "order": 1, "shipping": 2}


def expected(case: Case) -> Case:
    """The amounts of each line, of shipping and of the whole, and which promotions gave how much."""
    chosen = promotions_that_count(case)
    lines = {line["id"]: line["unit_price"] * line["quantity"] for line in case["lines"]}
    shipping = case["shipping"]
    gave = []
    for promotion in sorted(chosen, key=lambda p: (STAGES[stage_of(p)], -p["priority"], p["id"])):
        off_lines, off_shipping = gives(promotion, case, lines, shipping)
        lines = {line: rest - off_lines.get(line, 0) for line, rest in lines.items()}
        shipping -= off_shipping
        if (amount := sum(off_lines.values()) + off_shipping) > 0:
            gave.append([promotion["id"], amount])
    full = {line["id"]: line["unit_price"] * line["quantity"] for line in case["lines"]}
    discounts = {line: full[line] - lines[line] for line in full}
    return {
        "discounts": [discounts[line["id"]] for line in case["lines"]],
        "taxes": [0 for _ in case["lines"]],
        "shipping_discount": case["shipping"] - shipping,
        "shipping_tax": 0,
        "included_tax": 0,
        "subtotal": sum(full.values()),
        "total": sum(lines.values()) + shipping,
        "applied": gave,
    }


def stage_of(promotion: Case) -> str:
    match promotion["kind"]:
        case "free_shipping":
            return "shipping"
        case "buy_and_get":
            return "line"
        case _:
            return str(promotion["on"])


def promotions_that_count(case: Case) -> list[Case]:
    possible = [promotion for promotion in case["promotions"] if may_apply(promotion, case)]
    alone = {promotion["id"]: alone_gives(promotion, case) for promotion in possible}
    exclusive = [p for p in possible if p["combination"] == "exclusive" and alone[p["id"]] > 0]
    if exclusive:
        top = max(p["priority"] for p in exclusive)
        rivals = [p for p in possible if p["combination"] != "exclusive" and alone[p["id"]] > 0]
        if all(p["priority"] <= top for p in rivals):
            contest = [p for p in exclusive if p["priority"] == top]
            return [min(contest, key=lambda p: (-alone[p["id"]], p["id"]))]
    friendly = [p for p in possible if p["combination"] == "with_others"]
    contest = [p for p in possible if p["combination"] == "best_of"]
    best = [min(contest, key=lambda p: (-alone[p["id"]], -p["priority"], p["id"]))] if contest else []
    return friendly + best


def may_apply(promotion: Case, case: Case) -> bool:
    shopper = case["shopper"]
    eligible = [line for line in case["lines"] if matches(line, promotion["items"])]
    currency = case["currency"]
    return (
        (promotion["code"] is None or promotion["code"] in case["codes"])
        and (promotion["from"] is None or promotion["from"] <= case["at"])
        and (promotion["until"] is None or case["at"] < promotion["until"])
        and (not promotion["groups"] or any(group in shopper["groups"] for group in promotion["groups"]))
        and not (promotion["first_order"] and shopper["orders_before"] > 0)
        and bool(eligible)
        and (promotion["amounts"] is None or currency in promotion["amounts"])
        and (not promotion["minimums"] or currency in promotion["minimums"])
        and sum(line["unit_price"] * line["quantity"] for line in eligible) >= promotion["minimums"].get(currency, 0)
        and (promotion["kind"] != "buy_and_get" or bool(cheaper_units(promotion, case)))
    )


def matches(line: Case, items: Case) -> bool:
    return (
        (not items["products"] or line["product"] in items["products"])
        and (not items["categories"] or any(category in items["categories"] for category in line["categories"]))
        and (not items["brands"] or line["brand"] in items["brands"])
        and (not items["tags"] or any(tag in items["tags"] for tag in line["tags"]))
    )


def alone_gives(promotion: Case, case: Case) -> int:
    full = {line["id"]: line["unit_price"] * line["quantity"] for line in case["lines"]}
    off_lines, off_shipping = gives(promotion, case, full, case["shipping"])
    return sum(off_lines.values()) + off_shipping


def gives(promotion: Case, case: Case, lines: dict[int, int], shipping: int) -> tuple[dict[int, int], int]:
    """What it takes off lines and shipping that still cost so much."""
    eligible = [line for line in case["lines"] if matches(line, promotion["items"])]
    amount: int = (promotion["amounts"] or {}).get(case["currency"], 0)
    rate = Fraction(promotion["percent"] or "0") / 100
    match promotion["kind"], promotion.get("on"):
        case "free_shipping", _:
            return {}, shipping
        case "percent_off", "shipping":
            return {}, half_up(shipping * rate)
        case "amount_off", "shipping":
            return {}, min(amount, shipping)
        case "percent_off", "line":
            return {line["id"]: half_up(lines[line["id"]] * rate) for line in eligible}, 0
        case "amount_off", "line":
            return {line["id"]: min(amount, lines[line["id"]]) for line in eligible}, 0
        case "amount_off", "unit":
            return {line["id"]: min(amount * line["quantity"], lines[line["id"]]) for line in eligible}, 0
        case "percent_off", "order":
            worth = sum(lines[line["id"]] for line in eligible)
            return shared(half_up(worth * rate), {line["id"]: lines[line["id"]] for line in eligible}), 0
        case "amount_off", "order":
            worth = sum(lines[line["id"]] for line in eligible)
            return shared(min(amount, worth), {line["id"]: lines[line["id"]] for line in eligible}), 0
        case "buy_and_get", _:
            off: dict[int, int] = {}
            quantity = {line["id"]: line["quantity"] for line in case["lines"]}
            counts: dict[int, int] = {}
            for unit in cheaper_units(promotion, case):
                counts[unit["line"]] = counts.get(unit["line"], 0) + 1
            for line, count in counts.items():
                off[line] = half_up(Fraction(lines[line], quantity[line]) * count * rate)
            return off, 0
    raise AssertionError(promotion)


def half_up(amount: Fraction | int) -> int:
    return floor(Fraction(amount) + Fraction(1, 2))


def shared(amount: int, weights: dict[int, int]) -> dict[int, int]:
    """Each gets the whole units of its share; then one unit each for those who were cut most, until all is shared."""
    whole = sum(weights.values())
    if whole == 0:
        return {}
    exact = {line: Fraction(amount * weight, whole) for line, weight in weights.items()}
    shares = {line: floor(share) for line, share in exact.items()}
    while sum(shares.values()) < amount:
        most_cut = max(sorted(exact), key=lambda line: exact[line] - shares[line])
        shares[most_cut] += 1
    return shares


def cheaper_units(promotion: Case, case: Case) -> list[Unit]:
    """The units that become cheaper, found by trying: as many times over as there are units enough to pay for."""
    units = [
        {"line": line["id"], "price": line["unit_price"], "of": line}
        for line in case["lines"]
        for _ in range(line["quantity"])
    ]
    gets_items = promotion["gets"] or promotion["items"]
    buys = [matches(unit["of"], promotion["items"]) for unit in units]
    gets = [matches(unit["of"], gets_items) for unit in units]
    cheapest_first = sorted(
        (i for i in range(len(units)) if gets[i]), key=lambda i: (units[i]["price"], units[i]["line"])
    )
    most = promotion["at_most"] if promotion["at_most"] is not None else len(units)
    for times in range(most, 0, -1):
        taken: list[int] = []
        for i in cheapest_first:
            if len(taken) < times * promotion["get"] and possible([*taken, i], buys, gets, promotion, times):
                taken.append(i)
        if len(taken) == times * promotion["get"] and possible(taken, buys, gets, promotion, times):
            return [units[i] for i in taken]
    return []


def possible(taken: list[int], buys: list[bool], gets: list[bool], promotion: Case, times: int) -> bool:
    """Can the rest still be found, once these are taken: what has to be bought, and what is still to be got?"""
    rest = [i for i in range(len(buys)) if i not in taken]
    to_buy, to_get = times * promotion["buy"], times * promotion["get"] - len(taken)
    if to_get < 0:
        return False
    only_buy = sum(1 for i in rest if buys[i] and not gets[i])
    only_get = sum(1 for i in rest if gets[i] and not buys[i])
    both = sum(1 for i in rest if buys[i] and gets[i])
    return bool(max(0, to_buy - only_buy) + max(0, to_get - only_get) <= both)
