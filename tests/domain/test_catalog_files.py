"""Files that a catalogue is imported from: what is understood, and what is refused with line, column and reason."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import catalog_jsonl, shopify_csv
from domain.catalog import LONGEST_DESCRIPTION, MOST_VARIANTS, ProductRecord, RowError, VariantRecord
from domain.catalog_files import Reading, plain_text
from domain.money import Money

HEADER = (
    "Handle,Title,Body (HTML),Vendor,Type,Published,Option1 Name,Option1 Value,"
    "Variant SKU,Variant Price,Variant Inventory Qty,Image Src"
)

JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def from_csv(*rows: str | bytes, header: str = HEADER) -> list[ProductRecord | RowError]:
    lines = [row.encode() if isinstance(row, str) else row for row in (header, *rows)]
    file = b"".join(line + b"\n" for line in lines)
    return list(shopify_csv.read(file.splitlines(keepends=True), Reading(), "USD"))


def from_jsonl(*rows: Any) -> list[ProductRecord | RowError]:
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    return list(catalog_jsonl.read([line + b"\n" for line in lines], Reading(), "USD"))


def errors(found: list[ProductRecord | RowError]) -> list[tuple[int, str, str]]:
    return [(error.line, error.column, error.reason) for error in found if isinstance(error, RowError)]


def slugs(found: list[ProductRecord | RowError]) -> list[str]:
    return [product.slug for product in found if isinstance(product, ProductRecord)]


class TestShopifysCsv:
    def test_is_one_product_for_the_rows_of_one_handle(self) -> None:
        found = from_csv(
            'tee,T-shirt,"<p>Soft &amp; <b>warm</b></p>\n<p>Washable</p>",Acme,Clothing > Shirts,TRUE,Size,S,TEE-S,19,5,http://1',
            "tee,,,,,,,M,,19.50,,",
            "tee,,,,,,,,,,,http://2",
            "mug,Mug,,,,false,Title,Default Title,MUG,5.00,0,",
        )

        assert found == [
            ProductRecord(
                line=2,
                slug="tee",
                name="T-shirt",
                description="Soft & warm\nWashable",
                brand="Acme",
                category=("Clothing", "Shirts"),
                is_active=True,
                variants=[
                    VariantRecord(
                        line=2, sku="TEE-S", price=Money(1900, "USD"), name="S", options={"Size": "S"}, stock=5
                    ),
                    VariantRecord(
                        line=4, sku="tee-m", price=Money(1950, "USD"), name="M", options={"Size": "M"}, stock=None
                    ),
                ],
            ),
            ProductRecord(
                line=6,
                slug="mug",
                name="Mug",
                description="",
                brand="",
                is_active=False,
                variants=[VariantRecord(line=6, sku="MUG", price=Money(500, "USD"), name="", options={}, stock=0)],
            ),
        ]

    def test_says_nothing_about_what_it_has_no_column_for(self) -> None:
        (product,) = from_csv("mug,Mug,5", header="Handle,Title,Variant Price")

        assert isinstance(product, ProductRecord)
        assert (product.description, product.brand, product.category, product.is_active) == (None, None, (), None)
        assert (product.variants[0].name, product.variants[0].options, product.variants[0].stock) == (None, None, None)

    def test_may_use_the_names_of_newer_exports_and_a_byte_order_mark(self) -> None:
        found = from_csv(
            "mug,Mug,M-1,5.00,3,active", header="\ufeffURL handle,title,SKU,Price,Inventory quantity,Status"
        )

        assert slugs(found) == ["mug"]
        assert isinstance(found[0], ProductRecord)
        assert (found[0].variants[0].sku, found[0].variants[0].stock, found[0].is_active) == ("M-1", 3, True)

    @pytest.mark.parametrize(("grams", "weight"), [("", None), ("0", 0), ("200", 200), ("200.0", 200), ("907.18", 908)])
    def test_may_say_what_a_variant_weighs_in_fractions_of_grams(self, grams: str, weight: int | None) -> None:
        (product,) = from_csv(f"mug,Mug,5,{grams}", header="Handle,Title,Variant Price,Variant Grams")

        assert isinstance(product, ProductRecord)
        assert product.variants[0].weight_grams == weight

    @pytest.mark.parametrize(
        ("grams", "reason"),
        [
            ("-1", "is not a weight in grams"),
            ("2 lb", "is not a weight in grams"),
            ("1e9", "is not a weight in grams"),
            ("1000001", "must be between 0 and 1000000 grams"),
        ],
    )
    def test_may_not_say_that_it_weighs_anything_else(self, grams: str, reason: str) -> None:
        found = from_csv(f"mug,Mug,5,{grams}", header="Handle,Title,Variant Price,Variant Grams")

        assert errors(found) == [(2, "Variant Grams", reason)]

    def test_prefers_the_category_to_the_type(self) -> None:
        header = "Handle,Title,Variant Price,Type,Product Category"
        found = from_csv("a,A,1,Mugs,Home > Kitchen", "b,B,1,Mugs,", header=header)

        assert [product.category for product in found if isinstance(product, ProductRecord)] == [
            ("Home", "Kitchen"),
            ("Mugs",),
        ]

    @pytest.mark.parametrize(
        ("row", "column", "reason"),
        [
            ("x,X,,,,,,,,5.555,,", "Variant Price", "USD amounts have exactly 2 decimal places"),
            ("x,X,,,,,,,,$5,,", "Variant Price", "not a plain decimal number"),
            ("x,X,,,,,,,,,,", "Variant Price", "is empty"),
            ("x,X,,,,,,,,5,1.5,", "Variant Inventory Qty", "is not a whole number"),
            ("x,X,,,,,,,,5,-1,", "Variant Inventory Qty", "must be between 0 and 2000000000"),
            ("x,X,,,,,,,,5,99999999999,", "Variant Inventory Qty", "must be between 0 and 2000000000"),
            ("x,X,,,,maybe,,,,5,,", "Published", "must be one of true, false"),
            (",X,,,,,,,,5,,", "Handle", "is empty"),
            (
                "two words,X,,,,,,,,5,,",
                "Handle",
                "must be one word that can stand in an address, at most 255 characters long",
            ),
            (
                "x,,,,,,,,,5,,",
                "Title",
                "is empty; the rows of one product must follow each other, the first with its title",
            ),
            (f"x,{'X' * 301},,,,,,,,5,,", "Title", "is 301 characters long; 300 are allowed"),
            (f"x,X,,,,,,,{'S' * 101},5,,", "Variant SKU", "is 101 characters long; 100 are allowed"),
            (f"x,X,{'D' * 100_000},,,,,,,5,,", "Body (HTML)", "is 100000 characters long; 50000 are allowed"),
            ("x,X,,,a>b>c>d>e>f>g>h>i,,,,,5,,", "Type", "has more than 8 levels"),
            ("x,X,,,a>>b,,,,,5,,", "Type", "is empty"),
            ("x,X\0,,,,,,,,5,,", "Title", "holds a NUL character"),
            (b"x,caf\xe9,,,,,,,,5,,", "Title", "is not valid UTF-8"),
            ("x,X,5", "", "has 3 cells, the header has 12"),
        ],
    )
    def test_refuses_a_bad_row_and_goes_on(self, row: str | bytes, column: str, reason: str) -> None:
        found = from_csv("before,Before,,,,,,,,1,,", row, "after,After,,,,,,,,1,,")

        assert errors(found) == [(3, column, reason)]
        assert slugs(found) == ["before", "after"]

    def test_keeps_the_good_variants_of_a_product(self) -> None:
        found = from_csv("tee,Tee,,,,,Size,S,,x,,", "tee,,,,,,,M,,5,,")

        assert errors(found) == [(2, "Variant Price", "not a plain decimal number")]
        assert isinstance(found[1], ProductRecord)
        assert [variant.sku for variant in found[1].variants] == ["tee-m"]

    def test_refuses_all_rows_of_a_product_whose_first_row_is_bad(self) -> None:
        found = from_csv("tee,Tee,,,,maybe,Size,S,,5,,", "tee,,,,,,,M,,5,,", "tee,,,,,,,,,,,http://image")

        assert errors(found) == [
            (2, "Published", "must be one of true, false"),
            (3, "Handle", "belongs to the product on line 2, which was refused"),
        ]

    def test_refuses_handles_and_skus_that_come_twice(self) -> None:
        found = from_csv("a,A,,,,,,,S-1,1,,", "b,B,,,,,,,S-1,1,,", "a,A,,,,,,,S-2,1,,")

        assert errors(found) == [
            (3, "Variant SKU", "SKU 'S-1' was used on line 2 before"),
            (4, "Handle", "handle 'a' was used on line 2 before"),
        ]

    def test_refuses_more_variants_than_a_product_may_have(self) -> None:
        rows = [f"a,{'A' if n == 0 else ''},,,,,Size,{n},,1,," for n in range(MOST_VARIANTS + 1)]

        assert errors(from_csv(*rows)) == [(252, "Handle", "is a product with more than 250 variants")]

    def test_survives_a_quote_that_is_never_closed(self) -> None:
        found = from_csv("a,A,,,,,,,,1,,", 'b,"B,,,,,,,,1,,', *["c,C,,,,,,,,1,,"] * 3)

        assert slugs(found) == ["a"]
        assert errors(found) == [(3, "", "has 2 cells, the header has 12")]

    @pytest.mark.parametrize("header", ["", "a;b;c", "Handle,Title", "\0"])
    def test_needs_its_columns(self, header: str) -> None:
        (error,) = from_csv("x,X,1", header=header)

        assert isinstance(error, RowError)
        assert error.line == 1
        assert error.reason.startswith("is not among the columns")

    def test_is_not_read_as_utf_16(self) -> None:
        lines = f"{HEADER}\nmug,Mug\n".encode("utf-16").splitlines(keepends=True)

        assert errors(list(shopify_csv.read(lines, Reading(), "USD"))) == [
            (1, "", "the file is UTF-16; save it as UTF-8")
        ]

    @given(st.lists(st.binary(max_size=80), max_size=10))
    def test_turns_any_bytes_into_rows_or_errors(self, rows: list[bytes]) -> None:
        for found in from_csv(*rows):
            assert isinstance(found, ProductRecord | RowError)

    @given(st.lists(st.lists(st.text(max_size=10), min_size=12, max_size=12), max_size=5))
    def test_turns_any_cells_into_rows_or_errors(self, rows: list[list[str]]) -> None:
        for found in from_csv(*(",".join(row) for row in rows)):
            assert isinstance(found, ProductRecord | RowError)


class TestJsonLines:
    def test_have_the_shape_of_the_api(self) -> None:
        found = from_jsonl(
            {"name": "Coffee Mug", "category": "Kitchen > Cups", "sku": "MUG-1", "price": "7.5", "stock_quantity": 12},
            {
                "slug": "tee",
                "name": "T-shirt",
                "description": "Soft",
                "brand": "Acme",
                "category": ["Clothing", "Shirts & more"],
                "is_active": False,
                "variants": [{"price": {"amount": "19.00", "currency": "EUR"}, "options": {"size": "S"}}],
            },
            {"name": "Cup", "sku": "CUP", "price": "3.00", "prices": [{"amount": "2.80", "currency": "EUR"}]},
            {
                "name": "Jug",
                "sku": "JUG",
                "prices": [{"amount": "9", "currency": "JPY"}, {"amount": "8.00", "currency": "USD"}],
            },
        )

        assert found == [
            ProductRecord(
                line=1,
                slug="coffee-mug",
                name="Coffee Mug",
                category=("Kitchen", "Cups"),
                variants=[VariantRecord(line=1, sku="MUG-1", price=Money(750, "USD"), stock=12)],
            ),
            ProductRecord(
                line=2,
                slug="tee",
                name="T-shirt",
                description="Soft",
                brand="Acme",
                category=("Clothing", "Shirts & more"),
                is_active=False,
                variants=[
                    VariantRecord(line=2, sku="tee-s", price=Money(1900, "EUR"), name="S", options={"size": "S"})
                ],
            ),
            ProductRecord(
                line=3,
                slug="cup",
                name="Cup",
                variants=[VariantRecord(line=3, sku="CUP", price=Money(300, "USD"), other_prices=(Money(280, "EUR"),))],
            ),
            ProductRecord(
                line=4,
                slug="jug",
                name="Jug",
                variants=[VariantRecord(line=4, sku="JUG", price=Money(9, "JPY"), other_prices=(Money(800, "USD"),))],
            ),
        ]

    @pytest.mark.parametrize(
        ("row", "column", "reason"),
        [
            (
                b"{",
                "",
                "is not valid JSON: Expecting property name enclosed in double quotes: line 2 column 1 (char 2)",
            ),
            (b"[1]", "", "is not a JSON object"),
            (b"\xff", "", "is not valid JSON: Expecting value: line 1 column 1 (char 0)"),
            ({"price": "1"}, "/name", "is empty"),
            ({"name": "X"}, "/price", 'is not a string such as "19.99", nor an amount with its currency'),
            (
                {"name": "X", "price": 19.99},
                "/price",
                'is not a string such as "19.99", nor an amount with its currency',
            ),
            ({"name": "X", "price": {"amount": "1", "currency": "XXQ"}}, "/price", "'XXQ' is not a valid Currency"),
            (
                {"name": "X", "price": "1", "prices": [{"amount": "2", "currency": "USD"}]},
                "/prices",
                "has two prices in one currency",
            ),
            ({"name": "X", "prices": [{"amount": "x", "currency": "EUR"}]}, "/prices/0", "not a plain decimal number"),
            (
                {"name": "X", "price": "1", "prices": "2"},
                "/prices",
                "is not a list of at most 50 amounts with their currencies",
            ),
            ({"name": "X", "price": "1", "colour": "red"}, "/colour", "is not a field we know"),
            ({"name": "X", "price": "1", "variants": []}, "/price", "is not a field we know"),
            ({"name": "X", "variants": []}, "/variants", "must be a list of 1 to 250 variants"),
            ({"name": "X", "variants": [{"price": "1", "x": 1}]}, "/variants/0/x", "is not a field we know"),
            ({"name": "X", "variants": [1]}, "/variants/0", "is not a JSON object"),
            ({"name": "X", "variants": [{"price": "1"}] * 2}, "/variants", "two variants have the SKU 'x'"),
            ({"name": "X\0", "price": "1"}, "/name", "holds a NUL character"),
            ({"name": "X\ud800", "price": "1"}, "/name", "is not valid UTF-8"),
            ({"name": 5, "price": "1"}, "/name", "is not a string"),
            ({"name": "X", "price": "1", "is_active": "yes"}, "/is_active", "is not true or false"),
            ({"name": "X", "price": "1", "stock_quantity": 1.5}, "/stock_quantity", "is not a whole number"),
            ({"name": "X", "price": "1", "stock_quantity": True}, "/stock_quantity", "is not a whole number"),
            ({"name": "X", "price": "1", "options": {"size": 5}}, "/options", "is not a string"),
            ({"name": "X", "price": "1", "weight_grams": -1}, "/weight_grams", "must be between 0 and 1000000 grams"),
            ({"name": "X", "price": "1", "category": {"a": 1}}, "/category", "is not a string"),
            ({"name": "Before", "price": "1", "sku": "b"}, "/slug", "slug 'before' was used on line 1 before"),
            ({"name": "X", "price": "1", "sku": "before"}, "/variants/0/sku", "SKU 'before' was used on line 1 before"),
        ],
    )
    def test_that_are_bad_are_refused_and_the_others_read(self, row: Any, column: str, reason: str) -> None:
        found = from_jsonl({"name": "Before", "price": "1"}, row, {"name": "After", "price": "1"})

        assert errors(found) == [(2, column, reason)]
        assert slugs(found) == ["before", "after"]

    def test_may_be_nested_as_deep_as_they_like(self) -> None:
        assert errors(from_jsonl(b"[" * 100_000))[0][2].startswith("is not valid JSON: maximum recursion depth")

    @given(st.lists(st.binary(max_size=80), max_size=10))
    def test_turn_any_bytes_into_rows_or_errors(self, rows: list[bytes]) -> None:
        for found in from_jsonl(*rows):
            assert isinstance(found, ProductRecord | RowError)

    @given(st.dictionaries(st.sampled_from(["name", "price", "variants", "options", "category", "sku", "slug"]), JSON))
    def test_turn_any_fields_into_rows_or_errors(self, row: dict[str, Any]) -> None:
        for found in from_jsonl(row):
            assert isinstance(found, ProductRecord | RowError)


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("plain", "plain"),
        ("Hello <b>world</b>!", "Hello world!"),
        ("<p>one</p><p>two<br/>three</p>", "one\ntwo\nthree"),
        ("a&nbsp;&lt;b&gt; &amp;c", "a <b> &c"),
        ("<style>p{}</style>seen<script>var x = '<p>hidden</p>'</script>", "seen"),
        ("5 < 6 and 7 > 6", "5 < 6 and 7 > 6"),
    ],
)
def test_html_becomes_what_a_reader_would_see(html: str, text: str) -> None:
    assert plain_text(html) == text


@pytest.mark.timeout(10)
@pytest.mark.parametrize("piece", ["<", "<script>", "&", "<p", "<!--", "</"])
def test_html_takes_time_in_proportion_to_its_length(piece: str) -> None:
    plain_text(piece * (20 * LONGEST_DESCRIPTION // len(piece)))
