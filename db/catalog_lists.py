"""Lists of products and searches, a page at a time. However long a page is, it takes the same few statements.

How hits are ranked is told in ``docs/search.md``.
"""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import CTE, ColumnElement, RowMapping, and_, func, literal_column, not_, or_, select, tuple_, union_all
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from db import translations
from db.catalog import Category, ListedProduct, Price, Product, Variant
from db.catalog_facets import counts
from db.catalog_query import (
    STOCK,
    Conditions,
    Facet,
    ProductQuery,
    Sort,
    Statement,
    can_be_sold,
    conditions,
    is_in_range,
    lowest_price_from,
)
from db.catalog_views import PRODUCT, ProductView, with_variants
from db.catalog_words import Understood, understood


@dataclass(frozen=True, kw_only=True, slots=True)
class ProductPage:
    items: list[ProductView]
    next_position: list[Any] | None
    facets: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    corrected: dict[str, list[str]] = field(default_factory=dict)
    """Words of the search that the shop does not have, and as which of its words they were read."""


async def products(session: AsyncSession, query: ProductQuery) -> ProductPage:
    """A page of what the public may see, under the query's filters and in its order."""
    read = await understood(session, query.words)
    asked = await conditions(session, query)
    rows = (await session.execute(_page(query, read, asked))).mappings().all()
    page = rows[: query.limit]
    return ProductPage(
        items=await with_variants(session, page, query.currency, languages=query.languages),
        next_position=_position(page[-1]) if len(rows) > query.limit else None,
        facets=await _counts(session, query, read, asked) if query.facets else {},
        corrected=read.corrected,
    )


async def _counts(
    session: AsyncSession, query: ProductQuery, read: Understood, asked: Conditions
) -> dict[str, list[dict[str, Any]]]:
    found = await counts(session, query, read, asked)
    if query.languages and Facet.CATEGORY in found:
        names = await translations.names_of_categories(session, query.languages)
        found[Facet.CATEGORY] = [{**row, "value": names.get(row["id"], row["value"])} for row in found[Facet.CATEGORY]]
    return found


def _page(query: ProductQuery, read: Understood, asked: Conditions) -> Statement:
    """The products at the page's places: found first, and only then joined with what is shown of them."""
    if query.sort is Sort.RELEVANCE and read:
        places = _by_relevance(query, read, asked).subquery("places")
        order: list[ColumnElement[Any]] = [places.c.tier.desc(), places.c.length, places.c.sort_id.desc()]
    else:
        statement, is_descending = _in_order(query, read, asked)
        places = statement.subquery("places")
        order = [column.desc() if is_descending else column.asc() for column in (places.c.sort_key, places.c.sort_id)]
    return (
        select(*PRODUCT, *(column for column in places.c if column.name != "product_id"))
        .select_from(places)
        .join(Product, Product.id == places.c.product_id)
        .outerjoin(Category, Category.id == Product.category_id)
        .order_by(*order)
    )


def _in_order(query: ProductQuery, read: Understood, asked: Conditions) -> tuple[Statement, bool]:
    """The places of the page by a column of the products, and whether it descends."""
    key, row_id, is_descending = _order(query.sort)
    if read:
        hits = _hits(query, read, asked)
        key, row_id = (hits.c.sort_id if key is row_id else hits.c.sort_key), hits.c.sort_id
        statement: Statement = select(hits)
        if query.in_stock is not None:
            statement = statement.where(can_be_sold(hits.c.product_id, is_wanted=query.in_stock))
    else:
        statement = select(ListedProduct.product_id, key.label("sort_key"), row_id.label("sort_id"))
        if query.sort in BY_PRICE:
            statement = _by_price(statement, query).where(*(asked[name] for name in asked if name != Facet.PRICE))
        else:
            statement = statement.where(*asked.values())
    parts = [row_id] if key is row_id else [key, row_id]
    if query.after is not None:
        here, edge = tuple_(*parts), tuple_(*query.after[-len(parts) :])
        statement = statement.where(here < edge if is_descending else here > edge)
    order = (part.desc() if is_descending else part.asc() for part in parts)
    return statement.order_by(*order).limit(query.limit + 1), is_descending


def _order(sort: Sort) -> tuple[ColumnElement[Any], ColumnElement[Any], bool]:
    """The sort key, the id that decides between equal keys, and whether both descend."""
    product_id = ListedProduct.product_id.expression
    match sort:
        case Sort.NAME:
            return ListedProduct.name.expression, product_id, False
        case Sort.PRICE | Sort.PRICE_DESCENDING:
            return Price.amount.expression, Price.variant_id.expression, sort is Sort.PRICE_DESCENDING
        case _:  # ids are made in the order of time
            return product_id, product_id, True


def _hits(query: ProductQuery, read: Understood, asked: Conditions) -> CTE:
    """All that the words find, collected before it is sorted.

    Going through the shop in the order of the result until the page is full can mean to go through nearly all of it:
    words and prices, or words and names, go together in ways that Postgres does not know.
    """
    product_id = ListedProduct.product_id.expression
    key = lowest_price_from(query.min_price, query.currency) if query.sort in BY_PRICE else _order(query.sort)[0]
    hits = select(product_id, key.label("sort_key"), product_id.label("sort_id"))
    hits = hits.where(read.is_found, key.is_not(None), *_of_the_row(asked))
    return hits.cte("hits").prefix_with("MATERIALIZED")


def _of_the_row(asked: Conditions) -> list[ColumnElement[bool]]:
    """Units are counted last, in the order of the result, and only until the page is full."""
    return [condition for name, condition in asked.items() if name != STOCK]


def _by_price(statement: Statement, query: ProductQuery) -> Statement:
    """One row a product, that of its cheapest variant in the range: the index on prices gives them in order."""
    cheaper_variant, cheaper_price = aliased(Variant), aliased(Price)
    has_cheaper = (
        select(1)
        .select_from(cheaper_variant)
        .join(cheaper_price, cheaper_price.variant_id == cheaper_variant.id)
        .where(
            cheaper_variant.product_id == ListedProduct.product_id,
            *is_in_range(cheaper_price, query.min_price, None, query.currency),
            tuple_(cheaper_price.amount, cheaper_price.variant_id) < tuple_(Price.amount, Price.variant_id),
        )
        .exists()
    )
    return (
        statement.join(Variant, Variant.product_id == ListedProduct.product_id)
        .join(Price, Price.variant_id == Variant.id)
        .where(*is_in_range(Price, query.min_price, query.max_price, query.currency), ~has_cheaper)
    )


BY_PRICE = (Sort.PRICE, Sort.PRICE_DESCENDING)

IN_THE_TITLE, BEGUN_IN_THE_TITLE, ANYWHERE = 3, 2, 1
"""The tiers of a search, the best first."""


def _by_relevance(query: ProductQuery, read: Understood, asked: Conditions) -> Statement:
    """The best places after those of the page before. A tier is only looked for when those above do not fill the page.

    For one word Postgres may go through the products in the order of the result and stop when the page is full: it
    knows how common a word is. How often several occur together it can only guess, and a wrong guess would go through
    all of the shop; so then it is to collect the hits first, and ``+ 0`` hides the index that has them in order.
    """
    title = ListedProduct.title.expression
    whole, begun = read.whole(title), read.begun(title)
    length: ColumnElement[int] = ListedProduct.name_words.expression
    key = length if read.is_one_word else length + literal_column("0")
    tiers: list[Any] = []
    for tier, is_hit in (
        (IN_THE_TITLE, whole),
        (BEGUN_IN_THE_TITLE, and_(begun, not_(whole))),
        (ANYWHERE, and_(read.is_found, not_(begun))),
    ):
        if query.after is not None and tier > query.after[0][0]:
            continue
        hits: Statement = select(
            ListedProduct.product_id,
            literal_column(str(tier)).label("tier"),
            length.label("length"),
            ListedProduct.product_id.label("sort_id"),
        ).where(is_hit, *_of_the_row(asked))
        if query.after is not None and tier == query.after[0][0]:
            hits = hits.where(*_after(query.after))
        for above in tiers:
            hits = hits.where(select(func.count() <= query.limit).select_from(above).scalar_subquery())
        hits = hits.order_by(key, ListedProduct.product_id.desc())
        if query.in_stock is not None:
            in_order = hits.offset(0).subquery("in_order")  # which Postgres sorts before it looks at the units
            hits = select(in_order).where(can_be_sold(in_order.c.product_id, is_wanted=query.in_stock))
            hits = hits.order_by(in_order.c.length, in_order.c.sort_id.desc())
        tiers.append(hits.limit(query.limit + 1).cte(f"tier_{tier}"))
    found = union_all(*(select(tier) for tier in tiers)).subquery("found")
    return select(found).order_by(found.c.tier.desc(), found.c.length, found.c.sort_id.desc()).limit(query.limit + 1)


def _after(place: tuple[Any, UUID]) -> list[ColumnElement[bool]]:
    """Behind this place of its tier: longer, or as long and older. The first condition is one that an index knows."""
    (_, last_length), last_id = place
    length = ListedProduct.name_words.expression
    return [length >= last_length, or_(length > last_length, ListedProduct.product_id < last_id)]


def _position(row: RowMapping) -> list[Any]:
    """What the cursor of the next page is made of."""
    if "tier" in row:
        return [[row["tier"], row["length"]], str(row["sort_id"])]
    key = row["sort_key"]
    return [str(key) if isinstance(key, UUID) else key, str(row["sort_id"])]
