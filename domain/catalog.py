"""Words of the catalogue that have rules."""

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from domain.money import Money, minor_digits

LONGEST_NAME = 300
LONGEST_BRAND = 200
LONGEST_DESCRIPTION = 50_000
LONGEST_SKU = 100
LONGEST_SLUG = 255
DEEPEST_CATEGORY = 8
MOST_VARIANTS = 250
MOST_CURRENCIES = 50
"""In which one variant is sold."""
LARGEST_STOCK = 2_000_000_000
"""Fits the column with room to spare."""
HEAVIEST = 1_000_000
"""Of one unit, in grams: a tonne."""

PRICE_STEPS = [factor * 10**power for power in range(2, 8) for factor in (1, 2, 5)]
"""Where one price range of the facet ends and the next begins, in minor units: 1.00, 2.00, 5.00, 10.00 … dollars,
100, 200, 500, 1000 … yen. Those of the listed products are counted by Postgres, which knows the same steps."""

UUID_FORM = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
SLUG_FORM = re.compile(r"[\w.~!$'()*+,;=:@&-]+")


def slug_of(name: str) -> str:
    """A readable address for a name: lower-case ASCII words joined by hyphens; ``item`` when nothing is left."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")[:80].rstrip("-") or "item"


def is_slug(text: str) -> bool:
    """Can this be the last part of a product's address? What looks like an id cannot."""
    return len(text) <= LONGEST_SLUG and SLUG_FORM.fullmatch(text) is not None and not UUID_FORM.fullmatch(text)


def parse_price(text: str, currency: str) -> Money:
    """A price as people write it, ``5`` and ``5.5`` included; ``ValueError`` when it has digits to round."""
    text = text.strip()
    digits = minor_digits(currency)
    whole, _, fraction = text.partition(".")
    if whole.isdecimal() and len(fraction) < digits and (fraction.isdecimal() or text == whole):
        text = f"{whole}.{fraction.ljust(digits, '0')}"
    price = Money.parse(text, currency)
    if price.minor < 0:
        raise ValueError("a price is not below zero")
    return price


def derived_sku(slug: str, option_values: Iterable[str]) -> str:
    """The SKU of a variant that was given none: the same for the same product and options every time."""
    sku = "-".join([slug, *(slug_of(value) for value in option_values)])
    if len(sku) <= LONGEST_SKU:
        return sku
    return f"{sku[: LONGEST_SKU - 11]}-{hashlib.sha256(sku.encode()).hexdigest()[:10]}"


def search_words(text: str) -> list[str]:
    """The words of a search, at most ten; punctuation separates, and signs on letters belong to them."""
    spoken = (letter if letter.isalnum() or unicodedata.category(letter)[0] == "M" else " " for letter in text.lower())
    return "".join(spoken).split()[:10]


@dataclass(frozen=True, kw_only=True, slots=True)
class VariantRecord:
    """A variant as a file describes it; ``None`` where the file does not say, which leaves things as they are."""

    line: int
    sku: str
    price: Money
    other_prices: tuple[Money, ...] = ()
    """In other currencies."""
    options: dict[str, str] | None = None
    name: str | None = None
    stock: int | None = None
    """Units on hand."""
    weight_grams: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ProductRecord:
    """A product as a file describes it, known again by its slug, its variants by their SKUs.

    ``None`` where the file does not say, which leaves things as they are.
    """

    line: int
    slug: str
    name: str
    variants: list[VariantRecord]
    description: str | None = None
    brand: str | None = None
    """Empty for a product without a brand."""
    category: tuple[str, ...] = ()
    """Names from the root of the tree down; none leaves the product where it is."""
    is_active: bool | None = None
    tags: tuple[str, ...] | None = None
    attributes: dict[str, Any] | None = None
    """By their codes; what is not named stays as it is."""
    published_from: datetime | None = None
    published_until: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RowError:
    """Why a row of a file was not imported."""

    line: int
    column: str
    reason: str
