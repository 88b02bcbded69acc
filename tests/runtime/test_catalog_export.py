"""A catalogue written to a file and read again is the same catalogue."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from rich.console import Console
from sqlalchemy import text

from db import catalog_attributes, migrations
from db.catalog_import import import_records
from db.engine import sessions_of
from deploy import embedded
from domain.catalog import ProductRecord, VariantRecord
from domain.catalog_attributes import Attribute, AttributeKind
from domain.money import Money
from runtime.catalog import connected, import_file
from runtime.catalog_export import export_file
from runtime.settings import Database, Settings

COLOUR = Attribute(code="colour", name="Colour", kind=AttributeKind.CHOICE, choices=("red", "green"))
WEIGHT = Attribute(code="weight", name="Weight", kind=AttributeKind.NUMBER)
ORGANIC = Attribute(code="organic", name="Organic", kind=AttributeKind.BOOLEAN)


@pytest.fixture
async def shops(stack: embedded.Running) -> AsyncIterator[list[Settings]]:
    """Two empty shops beside each other."""
    made = [
        Settings(
            database=Database.model_validate({"url": stack.database_url, "shop_schema": f"shop_{uuid4().hex[:8]}"})
        )
        for _ in range(2)
    ]
    for settings in made:
        await asyncio.to_thread(migrations.upgrade, stack.database_url, shop_schema=settings.database.shop_schema)
    yield made
    async with connected(made[0]) as engine, engine.begin() as connection:
        for settings in made:
            await connection.execute(text(f'DROP SCHEMA "{settings.database.shop_schema}" CASCADE'))


async def fill(settings: Settings, *records: ProductRecord) -> None:
    async with connected(settings) as engine:
        async with sessions_of(engine).begin() as session:
            for attribute in (COLOUR, WEIGHT, ORGANIC):
                await catalog_attributes.put(session, attribute)
        async for imported in import_records(engine, records):
            assert imported.errors == []


def a_record(slug: str, **wanted: Any) -> ProductRecord:
    variants = wanted.pop("variants", [a_variant(slug)])
    return ProductRecord(line=1, slug=slug, name=slug.title(), variants=variants, **wanted)


def a_variant(sku: str, **wanted: Any) -> VariantRecord:
    given: dict[str, Any] = {"price": Money(1999, "USD"), "options": {}, "name": "", "stock": 3, **wanted}
    return VariantRecord(line=1, sku=sku, **given)


PLAIN = a_record("plain", description="Two < three\n& a line", brand="Söhne & Co", category=("Home", "Kitchen / Cups"))
SIZED = a_record(
    "sized",
    is_active=False,
    variants=[
        a_variant(
            f"sized-{size}-{colour}", options={"size": size, "col": colour}, name=f"{size} / {colour}", weight_grams=250
        )
        for size, colour in (("S", "red"), ("L", "blue"))
    ],
)
RICH = a_record(
    "rich",
    category=("A > B",),
    tags=("new", "sale"),
    attributes={"colour": "red", "weight": 1.25, "organic": True},
    variants=[a_variant("rich", name="Named by hand", stock=0, price=Money(5, "USD"), other_prices=(Money(4, "EUR"),))],
)


async def test_json_lines_bring_back_the_same_catalogue(shops: list[Settings], tmp_path: Path) -> None:
    here, there = shops
    await fill(here, PLAIN, SIZED, RICH)
    await fill(there)
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"

    assert await export_file(here, first, "USD") == (3, {})
    report = await import_file(there, first, currency=None, errors=None, console=Console(quiet=True))
    assert await export_file(there, second, "USD") == (3, {})
    again = await import_file(here, first, currency=None, errors=None, console=Console(quiet=True))

    assert (report.imported.errors, report.imported.products.created, report.imported.variants.created) == ([], 3, 4)
    assert second.read_bytes() == first.read_bytes()
    assert (again.imported.products.unchanged, again.imported.variants.unchanged) == (3, 4)


async def test_a_csv_brings_back_what_it_can_hold_and_names_what_it_cannot(
    shops: list[Settings], tmp_path: Path
) -> None:
    here, there = shops
    await fill(here, PLAIN, SIZED, RICH)
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"

    written = await export_file(here, first, "USD")
    await import_file(there, first, currency=None, errors=None, console=Console(quiet=True))
    again = await import_file(here, first, currency=None, errors=None, console=Console(quiet=True))

    assert written == (2, {"rich": "it has tags, attributes or times; JSON lines can hold them"})
    assert await export_file(there, second, "USD") == (2, {})
    assert second.read_bytes() == first.read_bytes()
    assert (again.imported.products.unchanged, again.imported.variants.unchanged) == (2, 3)


async def test_what_is_not_sold_in_the_currency_is_left_out_and_named(shops: list[Settings], tmp_path: Path) -> None:
    await fill(shops[0], PLAIN)

    assert await export_file(shops[0], tmp_path / "all.jsonl", "EUR") == (
        0,
        {"plain": "not all of its variants have a price in EUR"},
    )


async def test_what_the_shop_cannot_say_is_refused_with_its_line(shops: list[Settings], tmp_path: Path) -> None:
    await fill(shops[0])
    file = tmp_path / "all.jsonl"
    file.write_text(
        '{"name": "One", "price": "1.00", "attributes": {"colour": "blue"}}\n'
        '{"name": "Two", "price": "1.00", "attributes": {"smell": "none"}}\n'
        '{"name": "Three", "price": "1.00", "attributes": {"colour": "green"}}\n'
    )

    report = await import_file(shops[0], file, currency=None, errors=None, console=Console(quiet=True))

    assert [(error.line, error.column, error.reason) for error in report.imported.errors] == [
        (1, "/attributes/colour", "must be one of red, green"),
        (2, "/attributes/smell", "There is no such attribute."),
    ]
    assert report.imported.products.created == 1
