"""What the tables themselves do not let happen, and how many statements a page takes."""

from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from db import catalog_lists, catalog_suggestions
from db.catalog_lists import ProductPage
from db.catalog_query import Facet, ProductQuery, Sort
from db.catalog_words import Understood
from domain.inventory import StockLevel
from runtime.resources import Resources
from tests.support.catalog import VariantWanted, a_category, a_product, ledger_of, stock_of, unique
from tests.support.statements import counted_statements


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("on_hand = -1", "ck_stock_"),
        ("on_hand = on_hand - 11", "ck_stock_"),
        ("on_hand = -1, reserved = -1", "ck_stock_"),
        ("reserved = -1", "ck_stock_reserved_not_negative"),
        ("reserved = on_hand + 1", "ck_stock_not_oversold"),
        ("reserved = 5, on_hand = 4", "ck_stock_not_oversold"),
    ],
)
async def test_no_statement_can_make_stock_negative(resources: Resources, change: str, constraint: str) -> None:
    product = await a_product(resources.sessions, stock=10)

    with pytest.raises(IntegrityError, match=constraint):
        async with resources.sessions.begin() as session:
            await session.execute(
                text(f"UPDATE stock SET {change} WHERE variant_id = :id"),  # noqa: S608
                {"id": product.variant_id},
            )

    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=10, reserved=0)


@pytest.mark.parametrize("statement", ["UPDATE stock_movements SET on_hand_change = 0", "DELETE FROM stock_movements"])
async def test_no_statement_can_rewrite_the_ledger(resources: Resources, statement: str) -> None:
    product = await a_product(resources.sessions, stock=10)

    with pytest.raises(Exception, match="stock_movements"):
        async with resources.sessions.begin() as session:
            await session.execute(text(f"{statement} WHERE variant_id = :id"), {"id": product.variant_id})

    assert await ledger_of(resources.sessions, product.variant_id) == StockLevel(on_hand=10, reserved=0)


async def page_of(resources: Resources, query: ProductQuery) -> tuple[ProductPage, int]:
    """The page, and how many statements it took."""
    with counted_statements(resources.engine) as statements:
        async with resources.sessions() as session:
            page = await catalog_lists.products(session, query)
    return page, len(statements)


@pytest.mark.parametrize("sort", list(Sort))
async def test_a_page_takes_the_same_few_statements_however_long_it_is(resources: Resources, sort: Sort) -> None:
    brand, category_id = unique("Brand"), await a_category(resources.sessions)
    for _ in range(5):
        await a_product(resources.sessions, brand=brand, category_id=category_id, variants=[VariantWanted()] * 3)

    for limit in (1, 5):
        query = ProductQuery(currency="USD", limit=limit, sort=sort, words=("product",), brand=brand, in_stock=True)
        page, statements = await page_of(resources, query)

        assert [len(view.variants) for view in page.items] == [3] * limit
        assert statements == 3  # its words are read, its products found, their variants fetched


async def test_a_category_takes_one_statement_more_and_all_facets_together_another(resources: Resources) -> None:
    brand, category_id = unique("Brand"), await a_category(resources.sessions)
    await a_product(resources.sessions, brand=brand, category_id=category_id)

    query = ProductQuery(currency="USD", limit=5, brand=brand, category=str(category_id), facets=tuple(Facet))
    page, statements = await page_of(resources, query)

    assert len(page.items) == 1
    assert statements == 4


async def test_suggestions_take_four_statements(resources: Resources) -> None:
    brand = unique("Brand")
    for number in range(5):
        await a_product(resources.sessions, brand=brand, name=f"{brand} number {number}")

    with counted_statements(resources.engine) as statements:
        async with resources.sessions() as session:
            found = await catalog_suggestions.suggestions(session, brand.lower().split(), limit=20)

    assert len(found.products) == 5
    assert len(statements) == 4


@pytest.mark.parametrize(
    ("sort", "index"),
    [
        (Sort.RELEVANCE, "ix_listed_products_title"),
        (Sort.RELEVANCE, "ix_listed_products_document"),
        (Sort.NAME, "ix_listed_products_document"),
    ],
)
async def test_a_search_uses_the_index(resources: Resources, sort: Sort, index: str) -> None:
    query = ProductQuery(currency="USD", limit=5, sort=sort, words=("mug", "blue"))
    read = Understood(words=(("mug",), ("blue",)))
    statement = catalog_lists._page(query, read, {})
    compiled = statement.compile(resources.engine.sync_engine, compile_kwargs={"literal_binds": True})

    async with resources.sessions() as session:
        await session.execute(text("SET LOCAL enable_seqscan = off"))
        await session.execute(text("SET LOCAL enable_indexscan = off"))
        plan = "\n".join(await session.scalars(text(f"EXPLAIN {compiled}".replace(":", r"\:"))))

    assert index in plan


async def test_words_and_brands_are_counted_by_what_is_in_the_shop(resources: Resources) -> None:
    name, brand = f"zq{uuid4().hex[:8].translate(LETTERS)}", unique("Brand")
    product = await a_product(resources.sessions, name=f"{name} {name}", brand=brand, description=f"like {name}s")
    other = await a_product(resources.sessions, description=name)

    async def counts() -> tuple[Any, ...]:
        async with resources.sessions() as session:
            words = await session.execute(
                text("SELECT word, titles, documents FROM search_words WHERE word ^@ :name ORDER BY word"),
                {"name": name},
            )
            brands = await session.scalars(
                text("SELECT products FROM search_brands WHERE brand = :brand"), {"brand": brand}
            )
            return [tuple(row) for row in words], brands.all()

    async def change(statement: str) -> None:
        async with resources.sessions.begin() as session:
            await session.execute(text(statement), {"id": product.product_id, "other": other.product_id})

    assert await counts() == ([(name, 1, 2), (f"{name}s", 0, 1)], [1])
    await change("UPDATE products SET description = name, brand = NULL WHERE id = :id")
    assert await counts() == ([(name, 1, 2), (f"{name}s", 0, 0)], [0])
    await change("UPDATE products SET is_active = false WHERE id IN (:id, :other)")
    assert await counts() == ([(name, 0, 0), (f"{name}s", 0, 0)], [0])


LETTERS = str.maketrans("0123456789", "ghijklmnop")
"""Numbers are no words."""
