"""Shopify's product CSV: a product is a row with a title and the rows with the same handle that follow it.

Read are Handle, Title, Body (HTML), Vendor, Product Category (or Type), Published, Status, Option1 to 3 Name and Value,
Variant SKU, Variant Grams, Variant Price, Variant Inventory Qty; other columns are ignored, rows that only carry an
image skipped. The names of Shopify's newer exports (URL handle, SKU, Price, …) are understood as well.
"""

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import chain
from math import ceil

from domain.catalog import MOST_VARIANTS, ProductRecord, RowError, VariantRecord, derived_sku, parse_price
from domain.catalog_files import (
    BadCell,
    Entry,
    NumberedLine,
    Reading,
    category_path,
    checked_brand,
    checked_description,
    checked_name,
    checked_sku,
    checked_slug,
    checked_stock,
    checked_weight,
    decoded,
    not_seen_before,
    plain_text,
    why_not_storable,
)
from domain.money import Money

LONGEST_CELL = 1024 * 1024
MOST_ROWS = 10 * MOST_VARIANTS
"""Of one product, images and rows that cannot be read included; so that no file can fill the memory."""

HANDLE, TITLE, BODY, VENDOR = "Handle", "Title", "Body (HTML)", "Vendor"
CATEGORY, TYPE, PUBLISHED, STATUS = "Product Category", "Type", "Published", "Status"
SKU, GRAMS, PRICE, QUANTITY = "Variant SKU", "Variant Grams", "Variant Price", "Variant Inventory Qty"
IMAGE = "Image Src"
OPTIONS = [("Option1 Name", "Option1 Value"), ("Option2 Name", "Option2 Value"), ("Option3 Name", "Option3 Value")]
OF_A_PRODUCT = (HANDLE, TITLE, BODY, VENDOR, CATEGORY, TYPE, PUBLISHED, STATUS)
OF_A_VARIANT = (SKU, GRAMS, PRICE, QUANTITY, IMAGE, *chain.from_iterable(OPTIONS))

REQUIRED = (HANDLE, TITLE, PRICE)
NEWER_NAMES = {
    "url handle": HANDLE,
    "description": BODY,
    "published on online store": PUBLISHED,
    "sku": SKU,
    "weight value (grams)": GRAMS,
    "price": PRICE,
    "inventory quantity": QUANTITY,
    "product image url": IMAGE,
}
KNOWN_NAMES = NEWER_NAMES | {name.lower(): name for name in (*OF_A_PRODUCT, *OF_A_VARIANT)}
WEIGHT = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?")
TRUTHS = {"": True, "true": True, "false": False}
STATUSES = {"": True, "active": True, "draft": False, "archived": False, "unlisted": False}


@dataclass(slots=True)
class Row:
    line: int
    cells: list[str]
    positions: dict[str, int]

    def __getitem__(self, column: str) -> str:
        position = self.positions.get(column)
        return "" if position is None else self.cells[position].strip()

    def get(self, column: str) -> str | None:
        """The cell; ``None`` when the file has no such column."""
        return self[column] if column in self.positions else None


@dataclass(slots=True)
class Draft:
    """A product whose rows are still being read."""

    entry: Entry
    handle: str | None
    """``None`` for rows that cannot be read and follow no product."""
    row: Row | None = None
    """Its first; the others do not repeat what it says."""
    product: ProductRecord | None = None
    """``None`` when its first row was refused, and all of its rows with it."""
    option_names: list[str] = field(default_factory=list)

    def goes_on_with(self, handle: str | None) -> bool:
        return len(self.entry.rows) < MOST_ROWS and handle in (None, self.handle)

    def finished(self) -> Entry:
        if self.product is not None and self.product.variants:
            self.entry.records.append(self.product)
        return self.entry


def read(lines: Iterable[bytes], reading: Reading, currency: str) -> Iterator[ProductRecord | RowError]:
    """The products of the file and what is wrong with its rows, in the order of the file, one product at a time."""
    for entry in entries(enumerate(lines, start=1), reading, currency):
        yield from entry.records


def entries(lines: Iterable[NumberedLine], reading: Reading, currency: str) -> Iterator[Entry]:
    """The same, with where each product has its rows. Lines that cannot be read belong to the product before."""
    draft: Draft | None = None
    for row in _rows(lines, reading):
        handle = None if isinstance(row, RowError) else row[HANDLE]
        if draft is None or not draft.goes_on_with(handle):
            if draft is not None:
                yield draft.finished()
            draft = Draft(Entry(reading.first_line), handle)
        if not reading.is_given_up:
            draft.entry.rows.append((reading.first_line, reading.last_line))
        draft.entry.records += [row] if isinstance(row, RowError) else _wrong_in(draft, row, reading, currency)
    if draft is not None:
        yield draft.finished()


def _wrong_in(draft: Draft, row: Row, reading: Reading, currency: str) -> Iterator[RowError]:
    """Add the row to the product; what is wrong with it."""
    if draft.row is not None:
        yield from _one_more_variant(draft, draft.row, row, reading, currency)
        return
    draft.row, draft.option_names = row, [row[name] for name, _ in OPTIONS]
    try:
        draft.product = _product(row, reading)
    except BadCell as bad:
        yield bad.at(row.line)
    else:
        yield from _add_variant(draft, row, row, reading, currency)


def _one_more_variant(draft: Draft, first: Row, row: Row, reading: Reading, currency: str) -> Iterator[RowError]:
    if _is_image_only(row):
        return
    if draft.product is None:
        reason = f"belongs to the product on line {first.line}, which was refused"
        yield RowError(line=row.line, column=HANDLE, reason=reason)
    elif len(draft.product.variants) == MOST_VARIANTS:
        yield RowError(line=row.line, column=HANDLE, reason=f"is a product with more than {MOST_VARIANTS} variants")
    else:
        yield from _add_variant(draft, first, row, reading, currency)


def _is_image_only(row: Row) -> bool:
    return not (row[PRICE] or row[SKU] or row[QUANTITY] or any(row[value] for _, value in OPTIONS))


def _add_variant(draft: Draft, first: Row, row: Row, reading: Reading, currency: str) -> Iterator[RowError]:
    assert draft.product is not None  # noqa: S101 - for the type checker
    try:
        draft.product.variants.append(_variant(draft, first, row, reading, currency))
    except BadCell as bad:
        yield bad.at(row.line)


def _product(row: Row, reading: Reading) -> ProductRecord:
    slug = checked_slug(HANDLE, row[HANDLE])
    if not row[TITLE]:
        raise BadCell(TITLE, "is empty; the rows of one product must follow each other, the first with its title")
    product = ProductRecord(
        line=row.line,
        slug=slug,
        name=checked_name(TITLE, row[TITLE]),
        description=checked_description(BODY, body if (body := row.get(BODY)) is None else plain_text(body)),
        brand=checked_brand(VENDOR, row.get(VENDOR)),
        category=category_path(CATEGORY, row[CATEGORY]) or category_path(TYPE, row[TYPE]),
        is_active=_is_active(row),
        variants=[],
    )
    not_seen_before(HANDLE, "handle", slug, row.line, reading.slugs)
    return product


def _is_active(row: Row) -> bool | None:
    if PUBLISHED not in row.positions and STATUS not in row.positions:
        return None
    return _choice(row, PUBLISHED, TRUTHS) and _choice(row, STATUS, STATUSES)


def _choice(row: Row, column: str, choices: dict[str, bool]) -> bool:
    try:
        return choices[row[column].lower()]
    except KeyError:
        raise BadCell(column, f"must be one of {', '.join(word for word in choices if word)}") from None


def _variant(draft: Draft, first: Row, row: Row, reading: Reading, currency: str) -> VariantRecord:
    options = _options(draft, row)
    sku = checked_sku(SKU, row[SKU]) or derived_sku(first[HANDLE], options.values())
    says_options = OPTIONS[0][1] in row.positions
    variant = VariantRecord(
        line=row.line,
        sku=sku,
        name=" / ".join(options.values()) if says_options else None,
        options=options if says_options else None,
        price=_price(row, currency),
        stock=_quantity(row),
        weight_grams=_grams(row),
    )
    not_seen_before(SKU, "SKU", sku, row.line, reading.skus)
    return variant


def _options(draft: Draft, row: Row) -> dict[str, str]:
    """The options by name; only the first row of a product names them."""
    options: dict[str, str] = {}
    for name, (_, value_column) in zip(draft.option_names, OPTIONS, strict=True):
        value = checked_name(value_column, row[value_column]) if row[value_column] else ""
        if value and not (name.lower() == "title" and value.lower() == "default title"):
            options[name or value_column.removesuffix(" Value")] = value
    return options


def _price(row: Row, currency: str) -> Money:
    if not row[PRICE]:
        raise BadCell(PRICE, "is empty")
    try:
        return parse_price(row[PRICE], currency)
    except ValueError as error:
        raise BadCell(PRICE, str(error)) from None


def _quantity(row: Row) -> int | None:
    text = row[QUANTITY]
    if not text:
        return None
    if len(text) > 20 or not text.isascii() or not text.removeprefix("-").isdecimal():
        raise BadCell(QUANTITY, "is not a whole number")
    return checked_stock(QUANTITY, int(text))


def _grams(row: Row) -> int | None:
    """Rounded up: shops that weigh in pounds have fractions of grams in their files."""
    text = row[GRAMS]
    if not text:
        return None
    if not WEIGHT.fullmatch(text):
        raise BadCell(GRAMS, "is not a weight in grams")
    return checked_weight(GRAMS, ceil(Decimal(text)))


def _rows(lines: Iterable[NumberedLine], reading: Reading) -> Iterator[Row | RowError]:
    """The rows under the header; what cannot be read as a row is an error, and reading goes on with the next line."""
    csv.field_size_limit(LONGEST_CELL)
    reader = csv.reader(decoded(lines, reading))
    try:
        header = next(reader, [])
        positions = _positions(header)
    except BadCell as bad:
        reading.is_given_up = True
        yield bad.at(1)
        return
    except csv.Error as error:
        reading.is_given_up = True
        yield RowError(line=1, column="", reason=f"cannot be read as CSV: {error}")
        return
    reading.header_ends = reading.last_line
    while True:
        reading.first_line = 0
        reading.is_suspicious = False
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            reading.rows += 1
            yield RowError(line=reading.first_line, column="", reason=f"cannot be read as CSV: {error}")
            continue
        if not any(cells):
            continue
        reading.rows += 1
        line = reading.first_line
        if (wrong := _wrong_with(cells, header, reading)) is None:
            yield Row(line, cells, positions)
        else:
            yield wrong.at(line)


def _positions(header: list[str]) -> dict[str, int]:
    positions: dict[str, int] = {}
    for position, name in enumerate(header):
        if known := KNOWN_NAMES.get(name.strip().lower()):
            positions.setdefault(known, position)
    if missing := [name for name in REQUIRED if name not in positions]:
        raise BadCell(", ".join(missing), "is not among the columns; this is not Shopify's product CSV")
    return positions


def _wrong_with(cells: list[str], header: list[str], reading: Reading) -> BadCell | None:
    if len(cells) != len(header):
        return BadCell("", f"has {len(cells)} cells, the header has {len(header)}")
    if reading.is_suspicious:
        for name, cell in zip(header, cells, strict=True):
            if reason := why_not_storable(cell):
                return BadCell(name, reason)
    return None
