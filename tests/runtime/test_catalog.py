"""``sutler catalog``, as people call it."""

import asyncio
import csv
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

import pytest
from rich.console import Console

from domain import catalog_jsonl, shopify_csv
from providers.complete_journey import all_goods, best_sellers
from runtime.catalog import import_demo, import_file, parser_of
from runtime.settings import Settings


def sutler(*argv: str, environment: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "cli", "catalog", *argv],
        env={"PATH": "", "COLUMNS": "200", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def test_an_import_tells_what_it_did_and_fails_when_a_row_failed(
    environment: dict[str, str], tmp_path: Path
) -> None:
    mark = uuid4().hex[:8]
    file, errors = tmp_path / "products.csv", tmp_path / "errors.csv"
    file.write_text(f"Handle,Title,Variant Price\nmug-{mark},Mug,5\nbad-{mark},Bad,5.555\n")

    done = await asyncio.to_thread(sutler, "import", str(file), "--errors", str(errors), environment=environment)

    assert (done.returncode, done.stderr) == (1, "")
    assert "USD amounts have exactly 2 decimal places" in done.stdout
    assert "2 rows in" in done.stdout
    with errors.open(newline="") as written:
        assert list(csv.reader(written)) == [
            ["line", "column", "reason"],
            ["3", "Variant Price", "USD amounts have exactly 2 decimal places"],
        ]


async def test_a_clean_import_succeeds(environment: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "products.jsonl"
    file.write_text(f'{{"name": "Mug", "slug": "mug-{uuid4().hex[:8]}", "price": "5"}}\n')

    done = await asyncio.to_thread(sutler, "import", str(file), environment=environment)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("argv", "problem"),
    [(["/no/such/file"], "does not exist"), (["pyproject.toml", "--currency", "XXQ"], "not a valid Currency")],
)
async def test_a_wrong_call_is_explained(environment: dict[str, str], argv: list[str], problem: str) -> None:
    done = await asyncio.to_thread(sutler, "import", *argv, environment=environment)

    assert done.returncode == 2
    assert problem in done.stderr


@pytest.mark.parametrize(
    "content",
    [b"", b"\0\0\0\0", b"\xff\xfeH\0a\0", b"\x89PNG\r\n\x1a\n\0\0", b"Handle,Title,Variant Price\n" + b'"' * 5_000_000],
)
async def test_a_file_of_something_else_is_an_error_not_an_accident(
    settings: Settings, tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "products.csv"
    file.write_bytes(content)

    report = await import_file(settings, file, currency=None, errors=None, console=Console(quiet=True))

    assert not report.is_clean
    assert report.imported.products.created == 0


@pytest.mark.parametrize(
    ("name", "content", "parser"),
    [
        ("a.csv", b"{", shopify_csv.read),
        ("a.JSONL", b"Handle", catalog_jsonl.read),
        ("a.txt", b'\xef\xbb\xbf {"name"', catalog_jsonl.read),
        ("a.txt", b"Handle", shopify_csv.read),
    ],
)
def test_a_file_is_known_by_its_name_or_its_beginning(
    tmp_path: Path, name: str, content: bytes, parser: object
) -> None:
    (tmp_path / name).write_bytes(content)

    with (tmp_path / name).open("rb") as source:
        assert parser_of(tmp_path / name, source) is parser
        assert source.tell() == 0


class TestTheDemo:
    def test_is_made_of_real_products(self) -> None:
        products = best_sellers(6000, "USD")

        assert len(products) == 6000
        for key in ("slug", "name"):
            assert len({getattr(product, key) for product in products}) == 6000
        bananas = products[0]
        assert (bananas.name, bananas.brand, bananas.category) == (
            *("Bananas, 40 lb", "National 2"),
            ("Produce", "Tropical Fruit", "Bananas"),
        )
        (variant,) = bananas.variants
        assert (variant.sku, str(variant.price), variant.options, variant.stock) == (
            *("CJ-1082185", "USD 1.01"),
            {"size": "40 lb"},
            2000,
        )
        assert {len(product.category) for product in products} == {3}
        assert min(product.variants[0].price.minor for product in products) > 0

    def test_is_the_same_every_time_and_for_every_length(self) -> None:
        assert best_sellers(100, "USD") == best_sellers(150, "USD")[:100]

    def test_can_be_everything_the_best_sellers_first_and_then_what_nobody_bought(self) -> None:
        everything = all_goods("USD")

        assert len(everything) == 91_515
        assert everything[:6000] == best_sellers(6000, "USD")
        assert len({product.slug for product in everything}) == 91_515
        never_bought = [product for product in everything if "Bought 0 times" in (product.description or "")]
        assert never_bought == everything[-23_840:]
        assert min(product.variants[0].price.minor for product in everything) >= 5

    async def test_fills_a_shop_only_once(self, settings: Settings) -> None:
        quiet = Console(quiet=True)
        await import_demo(settings, 50, if_empty=False, console=quiet)

        again = await import_demo(settings, 50, if_empty=False, console=quiet)
        if_empty = await import_demo(settings, 50, if_empty=True, console=quiet)

        assert again is not None
        assert (again.imported.products.unchanged, again.imported.variants.unchanged) == (50, 50)
        assert if_empty is None
