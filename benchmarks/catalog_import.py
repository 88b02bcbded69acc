"""How fast a catalogue is imported, against the floor: a bare COPY of the same rows, already parsed, in the same run.

python -m benchmarks.catalog_import [PRODUCTS]          # straight into the database
python -m benchmarks.catalog_import [PRODUCTS] --sent   # sent over HTTP to a whole shop that runs beside
"""

import asyncio
import csv
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp
from rich.console import Console

from benchmarks.shop import shop
from db import migrations
from db.catalog_import import batches, importing, product_rows, variant_rows
from db.catalog_import_sql import PRODUCT_COLUMNS, VARIANT_COLUMNS
from deploy import embedded
from deploy.visitor import OPERATOR
from domain import catalog_jsonl, shopify_csv
from domain.catalog import ProductRecord
from domain.catalog_files import Reading
from runtime.catalog import connected, import_file, lines_of
from runtime.settings import Database, Demo, Settings

WORDS = ["amber", "brass", "cedar", "delta", "ember", "flint", "grove", "harbor", "iron", "juniper", "kite", "lunar"]


def products(count: int) -> list[dict[str, Any]]:
    """One variant for two products of three, three sizes for the third; some sixty words of description."""
    dice = random.Random(7)
    return [
        {
            "slug": f"product-{number}",
            "name": " ".join(dice.choices(WORDS, k=3)).title(),
            "description": " ".join(dice.choices(WORDS, k=60)),
            "brand": f"Brand {dice.randrange(200)}",
            "category": f"Department {number % 10} > Aisle {number % 100} > Shelf {number % 500}",
            "variants": [
                {
                    "sku": f"SKU-{number}-{size}",
                    "price": f"{dice.randrange(1, 200)}.{dice.randrange(100):02}",
                    "stock_quantity": dice.randrange(500),
                    "options": {"Size": size},
                }
                for size in (("S", "M", "L") if number % 3 == 0 else ("One",))
            ],
        }
        for number in range(count)
    ]


def write_csv(path: Path, made: list[dict[str, Any]]) -> None:
    header = [
        *("Handle", "Title", "Body (HTML)", "Vendor", "Product Category", "Tags", "Published", "Option1 Name"),
        *("Option1 Value", "Variant SKU", "Variant Price", "Variant Inventory Qty", "Image Src", "Status"),
    ]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for product in made:
            first = [
                product["name"],
                f"<p>{product['description']}</p>",
                product["brand"],
                product["category"],
                "",
                "true",
                "Size",
            ]
            for variant in product["variants"]:
                cells = [
                    variant["options"]["Size"],
                    variant["sku"],
                    variant["price"],
                    variant["stock_quantity"],
                    "",
                    "active",
                ]
                writer.writerow([product["slug"], *first, *cells])
                first = [""] * 7


def write_jsonl(path: Path, made: list[dict[str, Any]]) -> None:
    path.write_text("".join(f"{json.dumps(product)}\n" for product in made), encoding="utf-8")


async def floor(settings: Settings, records: list[ProductRecord]) -> float:
    """Seconds of COPY alone, into the tables that an import copies into as well, in its batches."""
    async with connected(settings) as engine, importing(engine) as connection:
        portions = [
            (list(product_rows(batch.products, NO_CATEGORIES)), list(variant_rows(batch.products)))
            for batch in batches(records)
        ]
        started = time.perf_counter()
        for staged_products, staged_variants in portions:
            async with connection.transaction():
                await connection.copy_records_to_table(
                    "staged_products", records=staged_products, columns=PRODUCT_COLUMNS
                )
                await connection.copy_records_to_table(
                    "staged_variants", records=staged_variants, columns=VARIANT_COLUMNS
                )
        return time.perf_counter() - started


class NoCategories(dict[Any, Any]):
    def __missing__(self, _: Any) -> None:
        return None


NO_CATEGORIES = NoCategories()


async def measure(settings: Settings, file: Path, console: Console) -> None:
    first = await imported(settings, file, console, "new")
    await imported(settings, file, console, "again")
    parser = shopify_csv.read if file.suffix == ".csv" else catalog_jsonl.read
    with file.open("rb") as source:
        started = time.perf_counter()
        records = [record for record in parser(lines_of(source), Reading(), "USD") if isinstance(record, ProductRecord)]
        parsing = time.perf_counter() - started
    bare = await floor(settings, records)
    console.print(f"{file.name}: parsing alone {parsing:.2f} s, COPY alone {bare:.2f} s: {first / bare:.1f} times that")


async def imported(settings: Settings, file: Path, console: Console, run: str) -> float:
    report = await import_file(settings, file, currency=None, errors=None, console=console)
    assert report.is_clean, report.imported.errors[:3]
    rows, variants = report.reading.rows, report.imported.variants
    console.print(
        f"{file.name}, {run}: {rows:,} rows in {report.seconds:.2f} s, {rows / report.seconds:,.0f} rows/s; "
        f"{variants.created:,} variants created, {variants.unchanged:,} unchanged"
    )
    return report.seconds


async def sent(made: list[dict[str, Any]], console: Console) -> None:
    """Through the API, the engine and a worker, into a shop that has its six thousand products already."""
    async with shop() as running, aiohttp.ClientSession(running.api_url) as http:
        password = Demo().password.get_secret_value()
        signed_in = await http.post("/v1/auth/login", json={"email": OPERATOR, "password": password})
        operator = {"Authorization": f"Bearer {(await signed_in.json())['access_token']}"}
        with tempfile.TemporaryDirectory() as directory:
            for name, write in FORMATS.items():
                file = Path(directory) / name
                write(file, made)
                for run in ("new", "again") if name.endswith(".csv") else ("the same as JSON lines",):
                    await sent_once(http, operator, file, console, run)


async def sent_once(
    http: aiohttp.ClientSession, operator: dict[str, str], file: Path, console: Console, run: str
) -> None:
    kind = {"Content-Type": "text/csv" if file.suffix == ".csv" else "application/x-ndjson"}
    started = time.perf_counter()
    answer = await http.post("/v1/admin/catalog/imports", data=file.read_bytes(), headers={**operator, **kind})
    answer.raise_for_status()
    where, received = answer.headers["Location"], time.perf_counter() - started
    while (seen := await (await http.get(where, headers=operator)).json())["status"] in ("waiting", "running"):
        await asyncio.sleep(0.1)
    took = time.perf_counter() - started
    assert (seen["status"], seen["failed"]) == ("completed", 0), seen
    console.print(
        f"{file.name}, {run}: {seen['rows']:,} rows in {took:.2f} s ({received:.2f} s to send them), "
        f"{seen['rows'] / took:,.0f} rows/s; {seen['variants']['created']:,} variants created, "
        f"{seen['variants']['unchanged']:,} unchanged"
    )


FORMATS = {"catalog.csv": write_csv, "catalog.jsonl": write_jsonl}


def main() -> None:
    numbers = [argument for argument in sys.argv[1:] if argument.isdigit()]
    console, made = Console(width=200), products(int(numbers[0]) if numbers else 50_000)
    if "--sent" in sys.argv:
        asyncio.run(sent(made, console))
        return
    for name, write in FORMATS.items():
        with embedded.stack() as running, tempfile.TemporaryDirectory() as directory:
            migrations.upgrade(running.database_url)
            settings = Settings(database=Database.model_validate({"url": running.database_url}))
            file = Path(directory) / name
            write(file, made)
            asyncio.run(measure(settings, file, console))


if __name__ == "__main__":
    main()
