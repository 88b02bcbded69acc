"""Whatever bytes come: what reads them answers with what it read or with what is wrong, and with nothing else."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain import catalog_jsonl, shopify_csv
from domain.catalog import ProductRecord, RowError, parse_price, search_words, slug_of
from domain.catalog_files import Reading, plain_text
from domain.limits import Quota

DEEP = [part * 3000 for part in (b"[", b'{"a":', b"9")]
NASTY = st.sampled_from(
    [
        b"\x00",
        b"\xff\xfe",
        b'"',
        b'""',
        b"\r",
        b"\xef\xbb\xbf",
        b"\xed\xa0\x80",
        *(part * 3000 for part in (b"[", b'{"a":', b"9")),
    ]
)
LINES = st.lists(st.one_of(st.binary(max_size=60), NASTY), max_size=8).map(
    lambda parts: [part + b"\n" for part in parts]
)
KEYS = st.sampled_from(sorted(catalog_jsonl.OF_A_PRODUCT | catalog_jsonl.OF_A_VARIANT | {"variants"})) | st.text(
    max_size=5
)
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=8,
)
PRODUCTS = st.dictionaries(KEYS, ANYTHING, max_size=8)
HEADER = b"Handle,Title,Variant SKU,Variant Price,Variant Inventory Qty,Option1 Name,Option1 Value,Published,Tags\n"
CELLS = st.lists(st.text(max_size=12) | st.sampled_from(["", "1.00", "true", "-1", "1e9", "é", "\u0000"]), max_size=10)
ROWS = st.lists(CELLS.map(lambda cells: (",".join(cells) + "\n").encode("utf-8", "surrogatepass")), max_size=6)


def read_all(read: Any, lines: list[bytes]) -> None:
    for found in read(lines, Reading(), "USD"):
        assert isinstance(found, ProductRecord | RowError)


@given(LINES)
@settings(deadline=None, max_examples=50)
@pytest.mark.parametrize("read", [catalog_jsonl.read, shopify_csv.read])
def test_files_of_any_bytes_are_read_to_their_end(read: Any, lines: list[bytes]) -> None:
    read_all(read, lines)


@given(st.lists(PRODUCTS | ANYTHING, max_size=4))
@settings(deadline=None, max_examples=50)
def test_json_lines_of_any_shape_are_read_to_their_end(products: list[Any]) -> None:
    read_all(catalog_jsonl.read, [json.dumps(product).encode() + b"\n" for product in products])


@given(ROWS)
@settings(deadline=None, max_examples=50)
def test_rows_of_any_cells_are_read_to_their_end(rows: list[bytes]) -> None:
    read_all(shopify_csv.read, [HEADER, *rows])


@given(st.text(max_size=200))
def test_words_of_any_kind_are_words_or_none(text: str) -> None:
    assert all(search_words(text))
    assert isinstance(slug_of(text), str)
    assert isinstance(plain_text(text), str)
    for read in (lambda: parse_price(text, "USD"), lambda: Quota.of(text)):
        with suppress(ValueError):
            read()
