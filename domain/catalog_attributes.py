"""What a shop says about its products in its own words: attributes with a kind, and what each kind takes."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any

from domain.catalog_files import why_not_storable

LONGEST_VALUE = 200
MOST_CHOICES = 500
MOST_ATTRIBUTES_OF_A_PRODUCT = 100
LONGEST_TAG = 50
MOST_TAGS = 50
MOST_DIGITS = 15
"""As many as a number in JSON keeps everywhere."""


class AttributeKind(StrEnum):
    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"
    CHOICE = "choice"
    DATE = "date"


@dataclass(frozen=True, kw_only=True, slots=True)
class Attribute:
    code: str
    name: str
    kind: AttributeKind
    choices: tuple[str, ...] = ()


def written(attribute: Attribute, value: Any) -> str:
    """The value as it is stored and compared: one text for what is equal. ``ValueError`` says why it is none."""
    match attribute.kind:
        case AttributeKind.TEXT:
            return _text(value)
        case AttributeKind.NUMBER:
            return _number(value)
        case AttributeKind.BOOLEAN:
            return _boolean(value)
        case AttributeKind.CHOICE:
            return _choice(value, attribute.choices)
        case AttributeKind.DATE:
            return _date(value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not (text := value.strip()):
        raise ValueError("must be a text that is not empty")
    if len(text) > LONGEST_VALUE:
        raise ValueError(f"is longer than {LONGEST_VALUE} characters")
    if reason := why_not_storable(text):
        raise ValueError(reason)
    return text


def _number(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("must be a number")
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise ValueError("must be a number") from None
    if not number.is_finite() or len(number.as_tuple().digits) > MOST_DIGITS or abs(number.adjusted()) > MOST_DIGITS:
        raise ValueError(f"must be a number of at most {MOST_DIGITS} digits")
    plain = f"{number:f}"
    plain = plain.rstrip("0").rstrip(".") if "." in plain else plain
    return "0" if plain in ("-0", "") else plain


def _boolean(value: Any) -> str:
    if value not in (True, False, "true", "false") or (isinstance(value, int | float) and not isinstance(value, bool)):
        raise ValueError("must be true or false")
    return str(value).lower()


def _choice(value: Any, choices: Collection[str]) -> str:
    if value not in choices:
        raise ValueError(f"must be one of {', '.join(choices)}")
    return str(value)


def _date(value: Any) -> str:
    try:
        return date.fromisoformat(value).isoformat()
    except (TypeError, ValueError):
        raise ValueError("must be a date such as 2026-01-31") from None


def tag_of(text: str) -> str:
    """A tag as it is stored: without capitals and spaces around it."""
    tag = " ".join(text.lower().split())
    if not 1 <= len(tag) <= LONGEST_TAG:
        raise ValueError(f"has between 1 and {LONGEST_TAG} characters")
    if reason := why_not_storable(tag):
        raise ValueError(reason)
    return tag
