"""Many products at once: copied into staging tables, then merged set by set, one transaction a batch.

Products are known again by their slug, variants by their SKU. Only rows that differ are touched, so importing the
same file twice changes nothing. Stock moves through the ledger, by the difference, and never below what is reserved.
"""

import json
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from db import catalog_import_sql as sql
from db.base import new_id
from db.catalog import CATALOGUE_LOCK
from domain.catalog import ProductRecord, RowError, VariantRecord, slug_of
from domain.catalog_attributes import Attribute, AttributeKind, written
from domain.catalog_files import BadCell

Connection = Any
"""An ``asyncpg.Connection``; through a pool it comes as a proxy of another type."""

BATCH_VARIANTS = 5000
REFUSED_DATA = ("22", "23", "54")
"""Classes of SQLSTATE that mean this data, not this moment: data exception, integrity, program limit."""


@dataclass(slots=True)
class Tally:
    created: int = 0
    updated: int = 0
    unchanged: int = 0

    def __iadd__(self, other: "Tally") -> "Tally":
        self.created += other.created
        self.updated += other.updated
        self.unchanged += other.unchanged
        return self


@dataclass(slots=True)
class Imported:
    """What became of a batch, or of all of them."""

    products: Tally = field(default_factory=Tally)
    variants: Tally = field(default_factory=Tally)
    errors: list[RowError] = field(default_factory=list)
    copy_seconds: float = 0.0
    """How much of the time went into COPY alone."""

    def __iadd__(self, other: "Imported") -> "Imported":
        self.products += other.products
        self.variants += other.variants
        self.errors += other.errors
        self.copy_seconds += other.copy_seconds
        return self


@dataclass(slots=True)
class Batch:
    products: list[ProductRecord] = field(default_factory=list)
    errors: list[RowError] = field(default_factory=list)
    variants: int = 0


def batches(records: Iterable[ProductRecord | RowError]) -> Iterator[Batch]:
    """The records in portions of some thousand variants, errors where they were met."""
    batch = Batch()
    for record in records:
        if isinstance(record, RowError):
            batch.errors.append(record)
        else:
            batch.products.append(record)
            batch.variants += len(record.variants)
        if batch.variants >= BATCH_VARIANTS or len(batch.errors) >= BATCH_VARIANTS:
            yield batch
            batch = Batch()
    yield batch


async def import_records(engine: AsyncEngine, records: Iterable[ProductRecord | RowError]) -> AsyncIterator[Imported]:
    """Import the records and tell after each batch what became of it.

    They are read between the batches, on the same thread: reading ahead on another was measured and is slower,
    because the two only take the interpreter from each other.
    """
    async with importing(engine) as connection:
        for batch in batches(records):
            imported = await import_batch(connection, batch.products) if batch.products else Imported()
            imported.errors = batch.errors + imported.errors
            yield imported


@asynccontextmanager
async def importing(engine: AsyncEngine) -> AsyncIterator[Connection]:
    """A raw connection with the staging tables that ``import_batch`` needs."""
    async with engine.connect() as connection:
        raw: Connection = (await connection.get_raw_connection()).driver_connection
        await raw.execute(sql.STAGING_TABLES)
        yield raw


async def import_within(session: AsyncSession, products: Sequence[ProductRecord]) -> Imported:
    """The same for one batch, as part of the session's transaction, which must have begun."""
    raw: Connection = (await (await session.connection()).get_raw_connection()).driver_connection
    await raw.execute(sql.STAGING_TABLES)
    return await import_batch(raw, products)


async def import_batch(connection: Connection, products: Sequence[ProductRecord]) -> Imported:
    """Merge the products; those that the database refuses are reported, and do not stop the others."""
    try:
        async with connection.transaction():
            return await _merged(connection, products)
    except asyncpg.PostgresError as error:
        if not (error.sqlstate or "").startswith(REFUSED_DATA):
            raise
        if len(products) == 1:
            reason = f"the database refuses it: {type(error).__name__}"
            lines = sorted({variant.line for variant in products[0].variants})
            return Imported(errors=[RowError(line=line, column="", reason=reason) for line in lines])
    half = len(products) // 2
    imported = await import_batch(connection, products[:half])
    imported += await import_batch(connection, products[half:])
    return imported


async def _merged(connection: Connection, products: Sequence[ProductRecord]) -> Imported:
    await connection.execute("SELECT pg_advisory_xact_lock($1)", CATALOGUE_LOCK)
    await connection.execute(sql.EMPTY_STAGING_TABLES)
    categories = await _categories(connection, products)
    started = time.perf_counter()
    await _copy(connection, products, categories)
    imported = Imported(copy_seconds=time.perf_counter() - started)

    imported.errors += await _stage_attributes(connection, products)
    imported.errors += await _strangers_skus(connection)
    restocked, refused = await _set_stock_of_known_variants(connection)
    imported.errors += refused
    await connection.execute(sql.DROP_PRODUCTS_WITHOUT_VARIANTS)
    staged_products, staged_variants = await connection.fetchrow(sql.COUNT_STAGED)

    merged_products = await connection.fetch(sql.MERGE_PRODUCTS)
    merged_variants = await connection.fetch(sql.MERGE_VARIANTS)
    repriced = await connection.fetch(sql.MERGE_PRICES)
    described = await connection.fetch(sql.MERGE_ATTRIBUTES)
    await connection.execute(sql.STOCK_NEW_VARIANTS)

    imported.products = await _tally_of_products(
        connection, staged_products, merged_products, [*merged_variants, *repriced, *described]
    )
    imported.variants = _tally_of_variants(staged_variants, merged_variants, repriced, restocked)
    return imported


async def _copy(
    connection: Connection, products: Sequence[ProductRecord], categories: dict[tuple[str, ...], UUID]
) -> None:
    await connection.copy_records_to_table(
        "staged_products", records=product_rows(products, categories), columns=sql.PRODUCT_COLUMNS
    )
    await connection.copy_records_to_table(
        "staged_variants", records=variant_rows(products), columns=sql.VARIANT_COLUMNS
    )
    if prices := list(price_rows(products)):
        await connection.copy_records_to_table("staged_prices", records=prices)


def product_rows(
    products: Iterable[ProductRecord], categories: dict[tuple[str, ...], UUID]
) -> Iterable[tuple[Any, ...]]:
    """What is copied of the products, in the order of ``PRODUCT_COLUMNS``."""
    for product in products:
        category_id = categories[product.category] if product.category else None
        yield (
            product.slug,
            new_id(),
            product.name,
            product.description,
            product.brand,
            category_id,
            product.is_active,
            product.tags,
            product.published_from,
            product.published_until,
        )


def variant_rows(products: Iterable[ProductRecord]) -> Iterable[tuple[Any, ...]]:
    """What is copied of the variants, in the order of ``VARIANT_COLUMNS``."""
    for product in products:
        for position, variant in enumerate(product.variants):
            yield (
                product.slug,
                variant.line,
                variant.sku,
                new_id(),
                variant.name,
                _options_of(variant),
                position,
                variant.price.currency,
                variant.price.minor,
                variant.stock,
                variant.weight_grams,
            )


def price_rows(products: Iterable[ProductRecord]) -> Iterator[tuple[str, str, int]]:
    """What is copied of prices in further currencies."""
    for product in products:
        for variant in product.variants:
            yield from ((variant.sku, price.currency, price.minor) for price in variant.other_prices)


def _options_of(variant: VariantRecord) -> str | None:
    if not variant.options:
        return None if variant.options is None else "{}"
    return json.dumps(variant.options)


async def _stage_attributes(connection: Connection, products: Sequence[ProductRecord]) -> list[RowError]:
    """Copy what is said of the products; those of which something is said that the shop does not know are dropped."""
    if not any(product.attributes for product in products):
        return []
    known = {
        row["code"]: Attribute(
            code=row["code"], name=row["name"], kind=AttributeKind(row["kind"]), choices=tuple(row["choices"])
        )
        for row in await connection.fetch(sql.ATTRIBUTES)
    }
    rows: list[tuple[str, str, str, str]] = []
    refused: list[RowError] = []
    for product in products:
        try:
            rows += [
                _attribute_row(product.slug, code, value, known) for code, value in (product.attributes or {}).items()
            ]
        except BadCell as bad:
            refused.append(bad.at(product.line))
    await connection.copy_records_to_table("staged_attributes", records=rows)
    await _drop(connection, refused)
    return refused


def _attribute_row(slug: str, code: str, value: Any, known: Mapping[str, Attribute]) -> tuple[str, str, str, str]:
    column = f"/attributes/{code}"[:200]
    if code not in known:
        raise BadCell(column, "There is no such attribute.")
    try:
        return slug, code, known[code].kind, written(known[code], value)
    except ValueError as error:
        raise BadCell(column, str(error)) from None


async def _strangers_skus(connection: Connection) -> list[RowError]:
    strangers = [
        RowError(line=row["line"], column="SKU", reason=f"{row['sku']!r} belongs to the product {row['owner']!r}")
        for row in await connection.fetch(sql.STRANGERS_SKUS)
    ]
    await _drop(connection, strangers)
    return strangers


async def _set_stock_of_known_variants(connection: Connection) -> tuple[set[UUID], list[RowError]]:
    restocked: set[UUID] = set()
    refused: list[RowError] = []
    for row in await connection.fetch(sql.SET_STOCK):
        if row["is_set"]:
            restocked.add(row["variant_id"])
        elif row["wanted"] < row["reserved"]:
            reason = f"{row['wanted']} is less than the {row['reserved']} units that orders have reserved"
            refused.append(RowError(line=row["line"], column="stock", reason=reason))
    await _drop(connection, refused)
    return restocked, refused


async def _drop(connection: Connection, errors: list[RowError]) -> None:
    if errors:
        await connection.execute(sql.DROP_LINES, [error.line for error in errors])


async def _tally_of_products(connection: Connection, staged: int, merged: list[Any], merged_inside: list[Any]) -> Tally:
    """Count; a product whose variants, prices or attributes changed counts as changed, and gets a new version."""
    created = {row["id"] for row in merged if row["is_new"]}
    updated = {row["id"] for row in merged} - created
    inside = {row["product_id"] for row in merged_inside} - created - updated
    if inside:
        await connection.execute(sql.NEW_VERSIONS, list(inside))
    changed = len(updated) + len(inside)
    return Tally(created=len(created), updated=changed, unchanged=staged - len(created) - changed)


def _tally_of_variants(staged: int, merged: list[Any], repriced: list[Any], restocked: set[UUID]) -> Tally:
    created = {row["id"] for row in merged if row["is_new"]}
    updated = ({row["id"] for row in merged} | {row["variant_id"] for row in repriced} | restocked) - created
    return Tally(created=len(created), updated=len(updated), unchanged=staged - len(created) - len(updated))


async def _categories(connection: Connection, products: Sequence[ProductRecord]) -> dict[tuple[str, ...], UUID]:
    """The ids of the categories that the products name; those that are missing are made, parents first."""
    wanted = {product.category[:depth] for product in products for depth in range(1, len(product.category) + 1)}
    rows = await connection.fetch("SELECT id, parent_id, slug, name FROM categories ORDER BY id")
    children = {(row["parent_id"], row["name"]): row["id"] for row in reversed(rows)}
    slugs = {row["slug"] for row in rows}
    found: dict[tuple[str, ...], UUID] = {}
    made: list[tuple[UUID, UUID | None, str, str]] = []
    for path in sorted(wanted, key=lambda path: (len(path), path)):
        parent_id = found.get(path[:-1])
        if (category_id := children.get((parent_id, path[-1]))) is None:
            category_id = new_id()
            slug = _free_slug(path, slugs)
            slugs.add(slug)
            made.append((category_id, parent_id, slug, path[-1]))
        found[path] = category_id
    await connection.executemany("INSERT INTO categories (id, parent_id, slug, name) VALUES ($1, $2, $3, $4)", made)
    return found


def _free_slug(path: tuple[str, ...], taken: set[str]) -> str:
    """The slug of the name, of the whole path, or of the whole path with a number: the first that is free."""
    whole = slug_of(" ".join(path))
    candidates = (slug_of(path[-1]), whole, *(f"{whole}-{number}" for number in range(2, len(taken) + 3)))
    return next(slug for slug in candidates if slug not in taken)


async def is_empty(engine: AsyncEngine) -> bool:
    """Is there no product at all?"""
    async with engine.connect() as connection:
        return not await connection.scalar(text("SELECT EXISTS (SELECT FROM products)"))
