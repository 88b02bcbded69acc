"""What the tables themselves do not let happen, and how many statements a page takes."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from db import catalog_views
from db.catalog_views import Facet, ProductQuery, Sort
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


@pytest.mark.parametrize("sort", list(Sort))
async def test_a_page_takes_two_statements_however_long_it_is(resources: Resources, sort: Sort) -> None:
    brand, category_id = unique("Brand"), await a_category(resources.sessions)
    for _ in range(5):
        await a_product(resources.sessions, brand=brand, category_id=category_id, variants=[VariantWanted()] * 3)

    for limit in (1, 5):
        query = ProductQuery(currency="USD", limit=limit, sort=sort, words=("product",), brand=brand, in_stock=True)
        with counted_statements(resources.engine) as statements:
            async with resources.sessions() as session:
                page = await catalog_views.products(session, query)

        assert [len(view.variants) for view in page.items] == [3] * limit
        assert len(statements) == 2


async def test_a_category_and_each_facet_take_one_statement_more(resources: Resources) -> None:
    brand, category_id = unique("Brand"), await a_category(resources.sessions)
    await a_product(resources.sessions, brand=brand, category_id=category_id)

    with counted_statements(resources.engine) as statements:
        async with resources.sessions() as session:
            query = ProductQuery(currency="USD", limit=5, brand=brand, category=str(category_id), facets=tuple(Facet))
            page = await catalog_views.products(session, query)

    assert len(page.items) == 1
    assert len(statements) == 5


async def test_a_search_uses_the_index(resources: Resources) -> None:
    """The query's expression must be the index's, to the letter."""
    query = ProductQuery(currency="USD", limit=5, sort=Sort.RELEVANCE, words=("mug",))
    statement = catalog_views._page(query, catalog_views._filters(query).values())
    compiled = statement.compile(resources.engine.sync_engine, compile_kwargs={"literal_binds": True})

    async with resources.sessions() as session:
        await session.execute(text("SET LOCAL enable_seqscan = off"))
        plan = "\n".join(await session.scalars(text(f"EXPLAIN {compiled}".replace(":", r"\:"))))

    assert "ix_products_search" in plan
