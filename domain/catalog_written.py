"""A catalogue written down, so that an import of what is written changes nothing."""

import csv
import json
from collections.abc import Callable, Iterable, Mapping
from html import escape
from itertools import chain, permutations
from typing import Any, TextIO

from domain import shopify_csv as shopify
from domain.imports import FileFormat
from domain.money import Money

CSV_COLUMNS = [
    *(shopify.HANDLE, shopify.TITLE, shopify.BODY, shopify.VENDOR, shopify.CATEGORY, shopify.PUBLISHED),
    *chain.from_iterable(shopify.OPTIONS),
    *(shopify.SKU, shopify.GRAMS, shopify.PRICE, shopify.QUANTITY),
]


class TooMuch(ValueError):
    """A file of this format cannot hold the product."""


Write = Callable[[Mapping[str, Any]], None]
"""Writes one product; raises ``TooMuch``, and writes nothing, when the format cannot hold it."""


def writer_of(file_format: FileFormat, sink: TextIO, currency: str) -> Write:
    """Writes the header of the format, if it has one, and then products."""
    return _csv_writer(sink, currency) if file_format is FileFormat.CSV else _jsonl_writer(sink, currency)


def _priced_variants(product: Mapping[str, Any], currency: str) -> list[dict[str, Any]]:
    variants: list[dict[str, Any]] = product["variants"] or []
    if not variants or any(variant["amount"] is None for variant in variants):
        raise TooMuch(f"not all of its variants have a price in {currency}")
    return variants


def _jsonl_writer(sink: TextIO, currency: str) -> Write:
    def write(product: Mapping[str, Any]) -> None:
        record = {
            "slug": product["slug"],
            "name": product["name"],
            "description": product["description"],
            "brand": product["brand"] or "",
            "category": product["category"],
            "is_active": product["is_active"],
            "tags": product["tags"],
            "attributes": product["attributes"],
            "published_from": _time(product["published_from"]),
            "published_until": _time(product["published_until"]),
            "variants": [
                {
                    "sku": variant["sku"],
                    "name": variant["name"],
                    "price": _amount(variant["amount"], currency),
                    **_other_prices(variant),
                    "stock_quantity": variant["stock"],
                    "options": variant["options"],
                    "weight_grams": variant["weight_grams"],
                }
                for variant in _priced_variants(product, currency)
            ],
        }
        given = {key: value for key, value in record.items() if value is not None}
        sink.write(json.dumps(given, ensure_ascii=False, separators=(",", ":")) + "\n")

    return write


def _amount(minor: int, currency: str) -> dict[str, str]:
    return {"amount": Money(minor, currency).amount, "currency": currency}


def _other_prices(variant: Mapping[str, Any]) -> dict[str, Any]:
    others = variant["other_amounts"] or {}
    return {"prices": [_amount(minor, currency) for currency, minor in sorted(others.items())]} if others else {}


def _time(moment: Any) -> str | None:
    return None if moment is None else str(moment.isoformat())


def _csv_writer(sink: TextIO, currency: str) -> Write:
    """Shopify's columns. The rows of one product follow each other; only the first names it and its options."""
    writer = csv.writer(sink)
    writer.writerow(CSV_COLUMNS)

    def write(product: Mapping[str, Any]) -> None:
        variants = _priced_variants(product, currency)
        names = _options_for_csv(product, variants)
        for number, variant in enumerate(variants):
            is_first = number == 0
            described = _described(product) if is_first else [""] * 5
            options = [(name if is_first else "", variant["options"].get(name, "")) for name in names]
            options += [("", "")] * (len(shopify.OPTIONS) - len(names))
            price = Money(variant["amount"], currency).amount
            sold = (variant["sku"], variant["weight_grams"], price, variant["stock"])
            writer.writerow([product["slug"], *described, *chain.from_iterable(options), *sold])

    return write


def _described(product: Mapping[str, Any]) -> list[str]:
    lines = (escape(line, quote=False) for line in product["description"].split("\n"))
    path = " > ".join(product["category"] or ())
    return [product["name"], "<br>".join(lines), product["brand"] or "", path, str(product["is_active"]).lower()]


def _options_for_csv(product: Mapping[str, Any], variants: list[dict[str, Any]]) -> tuple[str, ...]:
    """The names of the options, in the order in which the variants are called by them; or what a CSV cannot hold."""
    if product["tags"] or product["attributes"] or product["published_from"] or product["published_until"]:
        raise TooMuch("it has tags, attributes or times; JSON lines can hold them")
    if any(">" in name for name in product["category"] or ()):
        raise TooMuch("its category has a > in its name; JSON lines can hold it")
    names = dict.fromkeys(chain.from_iterable(variant["options"] for variant in variants))
    if len(names) > len(shopify.OPTIONS):
        raise TooMuch(f"it has more than {len(shopify.OPTIONS)} options; JSON lines can hold them")
    for order in permutations(names):
        if all(variant["name"] == _called_by(variant["options"], order) for variant in variants):
            return order
    raise TooMuch("its variants have names of their own; JSON lines can hold them")


def _called_by(options: Mapping[str, str], order: Iterable[str]) -> str:
    return " / ".join(options[name] for name in order if name in options)
