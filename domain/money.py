"""Money as whole minor units of one currency. No float ever enters or leaves."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from functools import lru_cache
from math import floor
from typing import Self

from iso4217 import Currency

LARGEST_AMOUNT_MINOR = 10**15
"""More than any order is worth, far less than a Postgres ``bigint`` holds."""
LARGEST_AMOUNT_DIGITS = 40
"""Longer than any amount that could pass, short enough to be turned into a number at no cost."""
PLAIN_DECIMAL = re.compile(r"(-)?([0-9]+)(?:\.([0-9]+))?")


@lru_cache(maxsize=512)
def minor_digits(currency: str) -> int:
    """Digits after the decimal point that ISO 4217 gives the currency; ``ValueError`` for an unknown code."""
    exponent = Currency(currency).exponent
    if exponent is None:
        raise ValueError(f"{currency} has no minor unit and cannot be charged")
    return int(exponent)


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in minor units (cents for USD, yen for JPY) of an ISO 4217 currency."""

    minor: int
    currency: str

    def __post_init__(self) -> None:
        if type(self.minor) is not int:
            raise TypeError("Money counts whole minor units")

    @classmethod
    def zero(cls, currency: str) -> Self:
        return cls(0, currency)

    @classmethod
    def parse(cls, amount: str, currency: str) -> Self:
        """Money from a decimal string with exactly the currency's digits; ``ValueError`` for anything else."""
        digits = minor_digits(currency)
        plain = PLAIN_DECIMAL.fullmatch(amount)
        if plain is None:
            raise ValueError("not a plain decimal number")
        sign, whole, fraction = plain.groups(default="")
        if len(fraction) != digits:
            raise ValueError(f"{currency} amounts have exactly {digits} decimal places")
        if len(whole) > LARGEST_AMOUNT_DIGITS or (minor := int(whole + fraction)) > LARGEST_AMOUNT_MINOR:
            raise ValueError("amount is too large")
        return cls(-minor if sign else minor, currency)

    @property
    def amount(self) -> str:
        """The decimal string the API speaks, with exactly the currency's digits."""
        return f"{Decimal(self.minor).scaleb(-minor_digits(self.currency)):f}"

    def __add__(self, other: "Money") -> "Money":
        return Money(self.minor + self._same_currency(other).minor, self.currency)

    def __sub__(self, other: "Money") -> "Money":
        return Money(self.minor - self._same_currency(other).minor, self.currency)

    def __mul__(self, factor: int) -> "Money":
        return Money(self.minor * factor, self.currency)

    def __lt__(self, other: "Money") -> bool:
        return self.minor < self._same_currency(other).minor

    def __le__(self, other: "Money") -> bool:
        return self.minor <= self._same_currency(other).minor

    def __str__(self) -> str:
        return f"{self.currency} {self.amount}"

    def _same_currency(self, other: "Money") -> "Money":
        if other.currency != self.currency:
            raise ValueError(f"cannot mix {self.currency} and {other.currency}")
        return other


def split(total: int, weights: Sequence[int]) -> list[int]:
    """Shares of ``total`` in proportion to ``weights`` that add up to ``total`` exactly.

    The units that rounding down leaves over go to the largest remainders, the earlier one first.
    """
    whole = sum(weights)
    if whole <= 0 or min(weights) < 0:
        raise ValueError("weights must be non-negative and not all zero")
    shares = [total * weight // whole for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda i: (-(total * weights[i] % whole), i))
    for i in by_remainder[: total - sum(shares)]:
        shares[i] += 1
    return shares


class Rounding(StrEnum):
    """Where exactly half a minor unit goes; anything else goes to the nearer one."""

    HALF_UP = "half_up"
    """Away from zero, as shops and tax offices mostly do."""
    HALF_EVEN = "half_even"
    """To the even neighbour, so that many roundings do not add up in one direction."""


def rounded(exact: Fraction, rounding: Rounding) -> int:
    """The whole minor units of an exact amount."""
    return of_parts(exact.numerator, exact.denominator, rounding)


def of_parts(amount: int, parts: int, rounding: Rounding) -> int:
    """The same of ``amount / parts``, without making a fraction. Nothing else rounds money to the nearest."""
    whole, rest = divmod(abs(amount), parts)
    is_half_up = rounding is Rounding.HALF_UP or whole % 2 == 1
    nearest = whole + (2 * rest > parts or (2 * rest == parts and is_half_up))
    return nearest if amount >= 0 else -nearest


def apportioned(total: int, exact: Sequence[Fraction]) -> list[int]:
    """Shares of ``total``, which the exact amounts come to once rounded: each is one of the two neighbours of its own.

    What rounding down leaves over goes to the largest remainders, the earlier one first.
    """
    shares = [floor(amount) for amount in exact]
    by_remainder = sorted(range(len(exact)), key=lambda i: (shares[i] - exact[i], i))
    for i in by_remainder[: total - sum(shares)]:
        shares[i] += 1
    return shares
