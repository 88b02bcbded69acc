"""What each kind of attribute takes, and how it is written down."""

from typing import Any

import pytest

from domain.catalog_attributes import Attribute, AttributeKind, tag_of, written


def of(kind: str) -> Attribute:
    return Attribute(code="a", name="A", kind=AttributeKind(kind), choices=("red", "light green"))


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("text", "  cotton ", "cotton"),
        ("number", 0, "0"),
        ("number", -0.0, "0"),
        ("number", 1.50, "1.5"),
        ("number", "1.50", "1.5"),
        ("number", 1200, "1200"),
        ("number", 1e3, "1000"),
        ("number", -0.25, "-0.25"),
        ("boolean", True, "true"),
        ("boolean", "false", "false"),
        ("choice", "light green", "light green"),
        ("date", "2026-01-31", "2026-01-31"),
    ],
)
def test_equal_values_are_written_alike(kind: str, value: Any, text: str) -> None:
    assert written(of(kind), value) == text


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        ("text", " ", "must be a text that is not empty"),
        ("text", 5, "must be a text that is not empty"),
        ("text", "x" * 201, "is longer than 200 characters"),
        ("text", "a\0", "holds a NUL character"),
        ("number", "many", "must be a number"),
        ("number", True, "must be a number"),
        ("number", "nan", "must be a number of at most 15 digits"),
        ("number", 12345678901234567, "must be a number of at most 15 digits"),
        ("number", 1e300, "must be a number of at most 15 digits"),
        ("boolean", 1, "must be true or false"),
        ("boolean", "yes", "must be true or false"),
        ("choice", "blue", "must be one of red, light green"),
        ("date", "2026-02-30", "must be a date such as 2026-01-31"),
        ("date", 20260131, "must be a date such as 2026-01-31"),
    ],
)
def test_what_is_of_another_kind_is_refused(kind: str, value: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        written(of(kind), value)


def test_tags_know_no_capitals_and_no_spaces_around_them() -> None:
    assert tag_of("  Summer   SALE ") == "summer sale"
    for wrong in ("", "  ", "x" * 51, "a\0"):
        with pytest.raises(ValueError):  # noqa: PT011
            tag_of(wrong)
