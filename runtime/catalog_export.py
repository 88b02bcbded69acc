"""Writing the catalogue into a file: what ``sutler catalog export`` does."""

import asyncio
import csv
import json
import os
from collections.abc import Callable, Iterable, Mapping
from html import escape
from itertools import chain, permutations
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console

from db.catalog_export import exported
from domain import shopify_csv as shopify
from domain.money import Money, minor_digits
from runtime.catalog import connected
from runtime.settings import Settings

CSV_COLUMNS = [
    *(shopify.HANDLE, shopify.TITLE, shopify.BODY, shopify.VENDOR, shopify.CATEGORY, shopify.PUBLISHED),
    *chain.from_iterable(shopify.OPTIONS),
    *(shopify.SKU, shopify.PRICE, shopify.QUANTITY),
]


class TooMuch(ValueError):
    """A file of this format cannot hold the product."""


def run_export(file: Path, *, currency: str | None) -> int:
    """The exit code of ``sutler catalog export``."""
    settings, console = Settings(), Console(stderr=True)
    wanted = currency or settings.shop.currency
    try:
        minor_digits(wanted)
    except ValueError as error:
        console.print(f"--currency: {error}")
        return 2
    written, left_out = asyncio.run(export_file(settings, file, wanted))
    console.print(f"{written:,} products written to {file}", highlight=False)
    for slug, reason in left_out.items():
        console.print(f"left out: {slug}: {reason}", markup=False, highlight=False)
    return 1 if left_out else 0


async def export_file(settings: Settings, file: Path, currency: str) -> tuple[int, dict[str, str]]:
    """Write all products but the archived: how many, and which could not be written and why.

    The file appears when it is complete. What it does not hold of a product is never left out in silence.
    """
    is_csv = file.suffix.lower() == ".csv"
    written, left_out = 0, dict[str, str]()
    unfinished = file.with_name(f"{file.name}.unfinished")
    with unfinished.open("w", newline="", encoding="utf-8") as sink:
        write = _csv_writer(sink, currency) if is_csv else _jsonl_writer(sink, currency)
        async with connected(settings) as engine:
            async for product in exported(engine, currency):
                try:
                    write(dict(product))
                    written += 1
                except TooMuch as reason:
                    left_out[product["slug"]] = str(reason)
        sink.flush()
        os.fsync(sink.fileno())
    unfinished.rename(file)
    return written, left_out


Write = Callable[[Mapping[str, Any]], None]


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
                    "price": {"amount": Money(variant["amount"], currency).amount, "currency": currency},
                    "stock_quantity": variant["stock"],
                    "options": variant["options"],
                }
                for variant in _priced_variants(product, currency)
            ],
        }
        given = {key: value for key, value in record.items() if value is not None}
        sink.write(json.dumps(given, ensure_ascii=False, separators=(",", ":")) + "\n")

    return write


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
            writer.writerow(
                [product["slug"], *described, *chain.from_iterable(options), variant["sku"], price, variant["stock"]]
            )

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
