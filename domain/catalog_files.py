"""What the files that a catalogue can be imported from have in common."""

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from html import unescape

from domain.catalog import (
    DEEPEST_CATEGORY,
    HEAVIEST,
    LARGEST_STOCK,
    LONGEST_BRAND,
    LONGEST_DESCRIPTION,
    LONGEST_NAME,
    LONGEST_SKU,
    ProductRecord,
    RowError,
    is_slug,
)

NumberedLine = tuple[int, bytes]
"""A line of a file and its number there, from 1 on."""

UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class BadCell(Exception):
    """A value of a row that cannot be imported, and why."""

    def __init__(self, column: str, reason: str) -> None:
        super().__init__(column, reason)
        self.column = column
        self.reason = reason

    def at(self, line: int) -> RowError:
        return RowError(line=line, column=self.column, reason=self.reason)


@dataclass(slots=True)
class Reading:
    """How far a file has been read, and which keys it has used so far."""

    rows: int = 0
    bytes: int = 0
    first_line: int = 0
    last_line: int = 0
    """Of the row that was read last."""
    header_ends: int = 0
    """The last line of the header, in formats that have one."""
    is_given_up: bool = False
    """This is not a file of its kind, and nothing more of it is read."""
    is_suspicious: bool = False
    """The lines read since this was last cleared hold bytes that no row may hold."""
    slugs: dict[str, int] = field(default_factory=dict)
    skus: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Entry:
    """What a file says of one product: where its rows are, and what was made of them."""

    line: int
    rows: list[tuple[int, int]] = field(default_factory=list)
    """The first and the last line of each."""
    records: list[ProductRecord | RowError] = field(default_factory=list)


def decoded(lines: Iterable[NumberedLine], reading: Reading) -> Iterator[str]:
    """The lines as text; a byte that is not UTF-8 survives as a lone surrogate, for its row to be refused."""
    for number, line in lines:
        reading.bytes += len(line)
        reading.last_line = number
        if not reading.first_line:
            reading.first_line = number
        if number == 1:
            if line.startswith(UTF_16):
                raise BadCell("", "the file is UTF-16; save it as UTF-8")
            line = line.removeprefix(codecs.BOM_UTF8)
        if b"\0" in line:
            reading.is_suspicious = True
        try:
            yield line.decode()
        except UnicodeDecodeError:
            reading.is_suspicious = True
            yield line.decode(errors="surrogateescape")


def why_not_storable(text: str) -> str | None:
    """Why Postgres could not keep the text; ``None`` when it can."""
    if "\0" in text:
        return "holds a NUL character"
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return "is not valid UTF-8"
    return None


def checked_name(column: str, text: str) -> str:
    return _not_longer(column, _not_empty(column, text), LONGEST_NAME)


def checked_slug(column: str, text: str) -> str:
    slug = _not_empty(column, text)
    if not is_slug(slug):
        raise BadCell(column, "must be one word that can stand in an address, at most 255 characters long")
    return slug


def checked_sku(column: str, text: str) -> str:
    return _not_longer(column, text, LONGEST_SKU)


def checked_brand(column: str, text: str | None) -> str | None:
    return None if text is None else _not_longer(column, text, LONGEST_BRAND)


def checked_description(column: str, text: str | None) -> str | None:
    return None if text is None else _not_longer(column, text, LONGEST_DESCRIPTION)


def checked_stock(column: str, quantity: int) -> int:
    if not 0 <= quantity <= LARGEST_STOCK:
        raise BadCell(column, f"must be between 0 and {LARGEST_STOCK}")
    return quantity


def checked_weight(column: str, grams: int) -> int:
    if not 0 <= grams <= HEAVIEST:
        raise BadCell(column, f"must be between 0 and {HEAVIEST} grams")
    return grams


def checked_category(column: str, path: Iterable[str]) -> tuple[str, ...]:
    names = tuple(checked_name(column, name.strip()) for name in path)
    if len(names) > DEEPEST_CATEGORY:
        raise BadCell(column, f"has more than {DEEPEST_CATEGORY} levels")
    return names


def category_path(column: str, text: str) -> tuple[str, ...]:
    """``A > B > C`` as names from the root down."""
    return checked_category(column, text.split(">")) if text else ()


def not_seen_before(column: str, what: str, key: str, line: int, seen: dict[str, int]) -> None:
    """Note the key of this line; a key that an earlier line used is a mistake of the file."""
    if (first := seen.setdefault(key, line)) != line:
        raise BadCell(column, f"{what} {key!r} was used on line {first} before")


def _not_empty(column: str, text: str) -> str:
    if not text:
        raise BadCell(column, "is empty")
    return text


def _not_longer(column: str, text: str, longest: int) -> str:
    if len(text) > longest:
        raise BadCell(column, f"is {len(text)} characters long; {longest} are allowed")
    return text


SPACES = re.compile(r"\s+")
TAG = re.compile(r"(<[a-zA-Z/!?][^<>]*>)")
BLOCK = re.compile(r"</?(?:p|div|br|li|ul|ol|h[1-6]|tr|table|section|article|hr|blockquote)\b", re.IGNORECASE)
UNSEEN = re.compile(r"<(/?)(?:script|style)\b", re.IGNORECASE)


def plain_text(html: str) -> str:
    """What a reader of the HTML would see, a block a line. Takes time in proportion to the length, whatever it is."""
    if "<" not in html and "&" not in html:
        return html.strip()
    seen: list[str] = []
    is_hidden = False
    for number, piece in enumerate(TAG.split(html)):
        if number % 2 == 0:  # between two tags
            if not is_hidden:
                seen.append(SPACES.sub(" ", unescape(piece)))
        elif unseen := UNSEEN.match(piece):
            is_hidden = not unseen[1]
        elif BLOCK.match(piece):
            seen.append("\n")
    lines = (" ".join(line.split()) for line in "".join(seen).split("\n"))
    return "\n".join(line for line in lines if line)
