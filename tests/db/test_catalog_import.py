"""Products merged into the catalogue in batches."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import uuid4

from sqlalchemy import text

from db import catalog_import
from db.catalog_import import Imported, Tally, import_records
from domain.catalog import ProductRecord, RowError, VariantRecord
from domain.inventory import StockLevel
from domain.money import Money
from runtime.resources import Resources
from tests.support.catalog import a_product, ledger_of, stock_of, unique


def a_record(line: int = 2, *, stock: int | None = 5, sizes: str = "", **otherwise: Any) -> ProductRecord:
    slug = f"product-{uuid4().hex[:12]}"
    variants = [
        VariantRecord(
            line=line + number,
            sku=f"{slug}-{size}",
            price=Money(1999, "USD"),
            name=size,
            options={"size": size} if size else {},
            stock=stock,
        )
        for number, size in enumerate(sizes or [""])
    ]
    return replace(
        ProductRecord(line=line, slug=slug, name="Mug", description="Holds coffee", variants=variants), **otherwise
    )


def with_first_variant(record: ProductRecord, **changes: Any) -> ProductRecord:
    return replace(record, variants=[replace(record.variants[0], **changes), *record.variants[1:]])


async def imported(resources: Resources, *records: ProductRecord | RowError) -> Imported:
    total = Imported()
    async for batch in import_records(resources.engine, records):
        total += batch
    return total


async def rows(resources: Resources, query: str, **values: Any) -> Sequence[Any]:
    async with resources.sessions() as session:
        return (await session.execute(text(query), values)).all()


async def product_row(resources: Resources, slug: str) -> Any:
    return (await rows(resources, "SELECT * FROM products WHERE slug = :slug", slug=slug))[0]


async def variant_id(resources: Resources, sku: str) -> Any:
    return (await rows(resources, "SELECT id FROM variants WHERE sku = :sku", sku=sku))[0].id


async def test_a_new_product_comes_with_its_variants_prices_stock_and_categories(resources: Resources) -> None:
    top, leaf = unique("Kitchen"), unique("Cups")
    record = a_record(sizes="SL", brand="Acme", category=(top, leaf))

    total = await imported(resources, record)

    assert total.products == Tally(created=1)
    assert total.variants == Tally(created=2)
    assert total.errors == []
    product = await product_row(resources, record.slug)
    assert (product.name, product.description, product.brand, product.is_active, product.version) == (
        *("Mug", "Holds coffee", "Acme", True),
        1,
    )
    tree = await rows(
        resources,
        "SELECT child.name, parent.name, parent.parent_id FROM categories child "
        "JOIN categories parent ON parent.id = child.parent_id WHERE child.id = :id",
        id=product.category_id,
    )
    assert tree == [(leaf, top, None)]
    variants = await rows(
        resources,
        "SELECT v.id, v.sku, v.name, v.options, v.position, p.currency, p.amount FROM variants v "
        "JOIN prices p ON p.variant_id = v.id WHERE v.product_id = :id ORDER BY v.position",
        id=product.id,
    )
    assert [tuple(row)[1:] for row in variants] == [
        (f"{record.slug}-S", "S", {"size": "S"}, 0, "USD", 1999),
        (f"{record.slug}-L", "L", {"size": "L"}, 1, "USD", 1999),
    ]
    for row in variants:
        assert await stock_of(resources.sessions, row.id) == StockLevel(on_hand=5, reserved=0)
        assert await ledger_of(resources.sessions, row.id) == StockLevel(on_hand=5, reserved=0)


async def test_the_same_records_again_change_nothing(resources: Resources) -> None:
    records = [a_record(sizes="SML", category=(unique("A"), "B")) for _ in range(3)]
    await imported(resources, *records)
    before = await everything(resources, records)
    assert [len(found) for found in before[1:]] == [3, 9, 9, 9, 9]

    total = await imported(resources, *records)

    assert (total.products, total.variants) == (Tally(unchanged=3), Tally(unchanged=9))
    assert await everything(resources, records) == before


async def everything(resources: Resources, records: Sequence[ProductRecord]) -> list[Any]:
    """That is theirs, as it was last written; what other tests have left in the shop may change at any time."""
    slugs = [record.slug for record in records]
    return [await rows(resources, f"SELECT t, xmin FROM {table} ORDER BY t", slugs=slugs) for table in THEIRS]  # noqa: S608


THEIR_PRODUCTS = "(SELECT id FROM products WHERE slug = ANY(:slugs))"
THEIR_VARIANTS = f"(SELECT id FROM variants WHERE product_id IN {THEIR_PRODUCTS})"  # noqa: S608
THEIRS = (
    "categories t",
    f"products t WHERE id IN {THEIR_PRODUCTS}",
    f"variants t WHERE id IN {THEIR_VARIANTS}",
    *(f"{table} t WHERE variant_id IN {THEIR_VARIANTS}" for table in ("prices", "stock", "stock_movements")),
)


async def test_a_changed_product_gets_a_new_version(resources: Resources) -> None:
    record = a_record()
    await imported(resources, record)
    before = await product_row(resources, record.slug)

    total = await imported(resources, replace(record, name="Large Mug"))

    after = await product_row(resources, record.slug)
    assert (total.products, total.variants) == (Tally(updated=1), Tally(unchanged=1))
    assert (after.id, after.name, after.version) == (before.id, "Large Mug", 2)
    assert after.updated_at > before.updated_at


async def test_a_changed_price_gives_its_product_a_new_version(resources: Resources) -> None:
    record = a_record(sizes="SL")
    await imported(resources, record)

    total = await imported(resources, with_first_variant(record, price=Money(2500, "USD")))

    assert (total.products, total.variants) == (Tally(updated=1), Tally(updated=1, unchanged=1))
    assert (await product_row(resources, record.slug)).version == 2
    prices = "SELECT amount FROM prices WHERE variant_id = :id"
    assert await rows(resources, prices, id=await variant_id(resources, record.variants[0].sku)) == [(2500,)]


async def test_a_second_currency_is_added_to_the_first(resources: Resources) -> None:
    record = a_record()
    await imported(resources, record)

    await imported(resources, with_first_variant(record, price=Money(2000, "JPY")))

    prices = "SELECT currency, amount FROM prices WHERE variant_id = :id ORDER BY 1"
    found = await rows(resources, prices, id=await variant_id(resources, record.variants[0].sku))
    assert found == [("JPY", 2000), ("USD", 1999)]


async def test_prices_in_several_currencies_come_at_once_and_a_changed_one_counts_once(resources: Resources) -> None:
    record = with_first_variant(a_record(), other_prices=(Money(1850, "EUR"), Money(2900, "JPY")))
    await imported(resources, record)

    again = await imported(resources, record)
    changed = await imported(resources, with_first_variant(record, other_prices=(Money(1800, "EUR"),)))

    prices = "SELECT currency, amount FROM prices WHERE variant_id = :id ORDER BY 1"
    found = await rows(resources, prices, id=await variant_id(resources, record.variants[0].sku))
    assert (again.products, again.variants) == (Tally(unchanged=1), Tally(unchanged=1))
    assert (changed.products, changed.variants) == (Tally(updated=1), Tally(updated=1))
    assert found == [("EUR", 1800), ("JPY", 2900), ("USD", 1999)]


async def test_what_the_file_does_not_say_stays_as_it_is(resources: Resources) -> None:
    record = a_record(brand="Acme", category=(unique("A"),), is_active=False)
    await imported(resources, record)
    before = await product_row(resources, record.slug)
    silent = with_first_variant(
        ProductRecord(line=2, slug=record.slug, name=record.name, variants=record.variants),
        name=None,
        options=None,
        stock=None,
    )

    total = await imported(resources, silent)

    assert (total.products, total.variants) == (Tally(unchanged=1), Tally(unchanged=1))
    assert await product_row(resources, record.slug) == before


async def test_an_empty_brand_takes_the_brand_away(resources: Resources) -> None:
    record = a_record(brand="Acme")
    await imported(resources, record)

    await imported(resources, replace(record, brand=""))

    assert (await product_row(resources, record.slug)).brand is None


async def test_stock_moves_by_the_difference(resources: Resources) -> None:
    record = a_record(stock=5)
    await imported(resources, record)
    found = await variant_id(resources, record.variants[0].sku)

    total = await imported(resources, with_first_variant(record, stock=3))

    assert (total.products, total.variants) == (Tally(unchanged=1), Tally(updated=1))
    ledger = "SELECT on_hand_change, reason FROM stock_movements WHERE variant_id = :id ORDER BY id"
    assert await rows(resources, ledger, id=found) == [(5, "import"), (-2, "import")]
    assert await stock_of(resources.sessions, found) == StockLevel(on_hand=3, reserved=0)


async def test_stock_is_never_set_below_what_orders_have_reserved(resources: Resources) -> None:
    record, other = a_record(line=2, stock=5), a_record(line=3, stock=5)
    await imported(resources, record, other)
    found = await variant_id(resources, record.variants[0].sku)
    async with resources.sessions.begin() as session:
        await session.execute(text("UPDATE stock SET reserved = 4 WHERE variant_id = :id"), {"id": found})

    total = await imported(
        resources,
        with_first_variant(replace(record, name="New"), stock=3, price=Money(1, "USD")),
        with_first_variant(other, stock=3),
    )

    assert total.errors == [
        RowError(line=2, column="stock", reason="3 is less than the 4 units that orders have reserved")
    ]
    assert (total.products, total.variants) == (Tally(unchanged=1), Tally(updated=1))
    assert await stock_of(resources.sessions, found) == StockLevel(on_hand=5, reserved=4)
    assert (await product_row(resources, record.slug)).name == "Mug"
    assert await rows(resources, "SELECT amount FROM prices WHERE variant_id = :id", id=found) == [(1999,)]


async def test_a_line_with_several_variants_is_imported_as_a_whole_or_not_at_all(resources: Resources) -> None:
    record = a_record(sizes="SL", stock=5)
    record = replace(record, variants=[replace(variant, line=2) for variant in record.variants])
    await imported(resources, record)
    small, large = [await variant_id(resources, variant.sku) for variant in record.variants]
    async with resources.sessions.begin() as session:
        await session.execute(text("UPDATE stock SET reserved = 5 WHERE variant_id = :id"), {"id": small})

    total = await imported(resources, replace(record, variants=[replace(v, stock=1) for v in record.variants]))

    assert [error.line for error in total.errors] == [2]
    assert (await stock_of(resources.sessions, large)).on_hand == 5
    assert (await ledger_of(resources.sessions, large)).on_hand == 5


async def test_a_sku_of_another_product_is_refused(resources: Resources) -> None:
    taken = await a_product(resources.sessions)
    stranger, good = a_record(line=2), a_record(line=3)

    total = await imported(resources, with_first_variant(stranger, sku=taken.sku), good)

    assert total.errors == [
        RowError(line=2, column="SKU", reason=f"{taken.sku!r} belongs to the product {taken.slug!r}")
    ]
    assert total.products == Tally(created=1)
    assert await rows(resources, "SELECT 1 FROM products WHERE slug = :slug", slug=stranger.slug) == []
    assert await variant_id(resources, taken.sku) == taken.variant_id


async def test_what_the_database_refuses_does_not_stop_the_others(resources: Resources) -> None:
    records = [a_record(line=line) for line in range(2, 12)]
    records[4] = with_first_variant(records[4], price=Money(-1, "USD"))
    records[7] = replace(records[7], name="nul \0")

    total = await imported(resources, *records)

    assert total.products == Tally(created=8)
    assert [(error.line, error.reason) for error in total.errors] == [
        (6, "the database refuses it: CheckViolationError"),
        (9, "the database refuses it: CharacterNotInRepertoireError"),
    ]


async def test_an_archived_product_that_is_imported_again_is_back(resources: Resources) -> None:
    record = a_record()
    await imported(resources, record)
    async with resources.sessions.begin() as session:
        await session.execute(text("UPDATE products SET archived_at = now() WHERE slug = :slug"), {"slug": record.slug})

    total = await imported(resources, record)

    assert total.products == Tally(updated=1)
    assert (await product_row(resources, record.slug)).archived_at is None


async def test_categories_are_found_again_by_their_path(resources: Resources) -> None:
    top, other_top = unique("Top"), unique("Other")
    records = [a_record(category=path) for path in ((top, "Same"), (other_top, "Same"), (top, "Same"), (top,))]

    await imported(resources, *records[:2])
    await imported(resources, *records[2:])

    first, elsewhere, again, above = [(await product_row(resources, record.slug)).category_id for record in records]
    assert first == again
    assert len({first, elsewhere, above}) == 3


async def test_batches_are_bounded(resources: Resources) -> None:
    records: list[ProductRecord | RowError] = [a_record(line) for line in range(2, catalog_import.BATCH_VARIANTS + 4)]
    error = RowError(line=1, column="", reason="is bad")

    found = list(catalog_import.batches([error, *records]))

    assert [(len(batch.products), batch.errors) for batch in found] == [
        (catalog_import.BATCH_VARIANTS, [error]),
        (2, []),
    ]
