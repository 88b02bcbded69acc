"""What a cart costs with its taxes, calculated once more from the words of a case and of `docs/taxes.md`.

Like `reference.py`, which says what promotions take off, it shares nothing with `domain/`. All money is whole minor
units, all in between are fractions.
"""

from fractions import Fraction
from math import floor
from typing import Any

from tests.domain.priced_carts import reference

Case = dict[str, Any]


def expected(case: Case) -> Case:
    """Every amount of the cart: what promotions left is taxed, line by line and shipping as the last."""
    before = reference.expected(case)
    prices = [line["unit_price"] * line["quantity"] for line in case["lines"]]
    left = [price - off for price, off in zip(prices, before["discounts"], strict=True)]
    left.append(case["shipping"] - before["shipping_discount"])
    region = region_of(case)
    rates = [rates_of(region, line["tax_class"]) for line in case["lines"]] + [rates_of(region, "shipping")]
    taxes = taxes_of(left, rates, region, case["tax"])
    is_contained, is_exempt = region["is_inclusive"], case["is_exempt"]
    relief = taxes if is_contained and is_exempt else [0] * len(taxes)
    added = taxes if not is_contained and not is_exempt else [0] * len(taxes)
    included = taxes if is_contained and not is_exempt else [0] * len(taxes)
    return {
        "discounts": [off + less for off, less in zip(before["discounts"], relief, strict=False)],
        "taxes": added[:-1],
        "included_taxes": included[:-1],
        "shipping_discount": before["shipping_discount"] + relief[-1],
        "shipping_tax": added[-1],
        "included_tax": sum(included),
        "subtotal": sum(prices),
        "tax": sum(added),
        "total": sum(left) - sum(relief) + sum(added),
        "applied": before["applied"],
        "names": [] if is_exempt else names_of(left, taxes, rates, is_contained=is_contained),
    }


def region_of(case: Case) -> Case:
    """The longest beginning of a postal code goes first, then the region, then the country."""
    there = case["destination"]
    fitting = [
        region
        for region in case["regions"]
        if region["country"] == there["country"]
        and region["region"] in ("", bare(there["region"]))
        and bare(there["postal_code"]).startswith(region["postal_prefix"])
    ]
    fitting.sort(key=lambda region: (len(region["postal_prefix"]), region["region"] != ""))
    found: Case = fitting[-1]
    return found


def bare(code: str) -> str:
    return "".join(letter for letter in code.upper() if letter not in " -")


def rates_of(region: Case, tax_class: str) -> list[tuple[str, str]]:
    """Names and percentages: those of the class, or of `standard` where it has none."""
    own = [(name, percent) for name, percent, of in region["rates"] if of == tax_class]
    return own or [(name, percent) for name, percent, of in region["rates"] if of == "standard"]


def taxes_of(left: list[int], rates: list[list[tuple[str, str]]], region: Case, tax: Case) -> list[int]:
    exact = [exact_tax(amount, whole(own), region) for amount, own in zip(left, rates, strict=True)]
    if tax["rounded_by"] == "line":
        return [to_whole(one, tax["rounding"]) for one in exact]
    taxes = [0] * len(left)
    for same in unique(rates):
        places = [place for place, own in enumerate(rates) if own == same]
        together = to_whole(sum((exact[place] for place in places), Fraction(0)), tax["rounding"])
        for place, share in zip(places, dealt(together, [exact[place] for place in places]), strict=True):
            taxes[place] = share
    return taxes


def exact_tax(amount: int, percent: Fraction, region: Case) -> Fraction:
    return amount * percent / (100 + percent) if region["is_inclusive"] else amount * percent / 100


def whole(rates: list[tuple[str, str]]) -> Fraction:
    return sum((Fraction(percent) for _, percent in rates), Fraction(0))


def unique(rates: list[list[tuple[str, str]]]) -> list[list[tuple[str, str]]]:
    return [own for place, own in enumerate(rates) if own not in rates[:place]]


def to_whole(exact: Fraction, rounding: str) -> int:
    below = floor(exact)
    rest = exact - below
    if rest == Fraction(1, 2):
        return below + 1 if rounding == "half_up" or below % 2 else below
    return below + 1 if rest > Fraction(1, 2) else below


def dealt(total: int, exact: list[Fraction]) -> list[int]:
    """Whole parts first; then one each to those who were cut most, the earlier of equal ones first."""
    shares = [floor(one) for one in exact]
    while sum(shares) < total:
        most_cut = max(range(len(exact)), key=lambda place: (exact[place] - shares[place], -place))
        shares[most_cut] += 1
    return shares


def names_of(
    left: list[int], taxes: list[int], rates: list[list[tuple[str, str]]], *, is_contained: bool
) -> list[list[Any]]:
    """Each tax once, with what it is due on and how much it is: goods with the same rates share their sum by them."""
    sums: dict[tuple[str, str], list[int]] = {}
    for same in unique(rates):
        places = [place for place, own in enumerate(rates) if own == same]
        tax = sum(taxes[place] for place in places)
        base = sum(left[place] for place in places) - (tax if is_contained else 0)
        percent = whole(same)
        exact = [tax * Fraction(own) / percent if percent else Fraction(0) for _, own in same]
        for rate, amount in zip(same, dealt(tax, exact), strict=True):
            known = sums.setdefault(rate, [0, 0])
            known[0] += base
            known[1] += amount
    return sorted([name, percent, base, amount] for (name, percent), (base, amount) in sums.items())
