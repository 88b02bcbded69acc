"""What the API shows of the catalogue. However long a page is, it takes the same few statements."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, Float, RowMapping, and_, cast, func, literal_column, select, tuple_
from sqlalchemy.dialects.postgresql import REGCONFIG
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from db.catalog import Category, Price, Product, Variant
from db.inventory import Stock
from domain.catalog import UUID_FORM
from domain.catalog_files import why_not_storable

MOST_FACET_VALUES = 100

Statement = Any
"""A SELECT; SQLAlchemy 2.0 and 2.1 write its type differently."""


class Sort(StrEnum):
    RELEVANCE = "relevance"
    NEWEST = "newest"
    NAME = "name"
    PRICE = "price"
    PRICE_DESCENDING = "-price"


class Facet(StrEnum):
    CATEGORY = "category"
    BRAND = "brand"


@dataclass(frozen=True, kw_only=True, slots=True)
class ProductQuery:
    currency: str
    limit: int
    sort: Sort = Sort.NEWEST
    """``RELEVANCE`` only together with words."""
    after: tuple[Any, UUID] | None = None
    """The sort key and the id of the last row of the page before."""
    words: tuple[str, ...] = ()
    category: str | None = None
    brand: str | None = None
    min_price: int | None = None
    max_price: int | None = None
    in_stock: bool | None = None
    facets: tuple[Facet, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ProductView:
    product: RowMapping
    variants: list[RowMapping]
    """With ``amount`` in the currency that was asked for, ``None`` when it is not sold in it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProductPage:
    items: list[ProductView]
    next_position: list[Any] | None
    facets: dict[Facet, list[RowMapping]] = field(default_factory=dict)


PRODUCT = (
    Product.id,
    Product.slug,
    Product.name,
    Product.description,
    Product.brand,
    Product.is_active,
    Product.version,
    Product.created_at,
    Product.updated_at,
    Category.id.label("category_id"),
    Category.slug.label("category_slug"),
    Category.name.label("category_name"),
)

# What ix_products_search indexes; it must be written exactly like the index.
SIMPLE = literal_column("'simple'", REGCONFIG)
SEARCHED = func.to_tsvector(
    SIMPLE,
    Product.name
    + literal_column("' '")
    + func.coalesce(Product.brand, literal_column("''"))
    + literal_column("' '")
    + Product.description,
)
# What a hit is worth: the name, then the brand; hits in the description alone come last, newest first. Weighing the
# description as well would take each of them apart again, which made a search for a common word ten times slower.
WEIGHED = func.setweight(func.to_tsvector(SIMPLE, Product.name), literal_column("'A'")).op("||")(
    func.setweight(func.to_tsvector(SIMPLE, func.coalesce(Product.brand, "")), literal_column("'B'"))
)
IS_PUBLIC = and_(Product.is_active, Product.archived_at.is_(None))


async def product(
    session: AsyncSession, id_or_slug: str | UUID, *, currency: str, is_public: bool = True
) -> ProductView | None:
    """The product by its id or slug; unless the asker is staff, only what the public may see."""
    if isinstance(id_or_slug, str) and why_not_storable(id_or_slug):
        return None
    query = select(*PRODUCT).outerjoin(Category, Product.category_id == Category.id).where(_is_called(id_or_slug))
    if is_public:
        query = query.where(IS_PUBLIC)
    row = (await session.execute(query)).mappings().one_or_none()
    return None if row is None else (await _with_variants(session, [row], currency))[0]


def _is_called(id_or_slug: str | UUID) -> ColumnElement[bool]:
    if isinstance(id_or_slug, UUID):
        return Product.id == id_or_slug
    return Product.id == UUID(id_or_slug) if UUID_FORM.fullmatch(id_or_slug) else Product.slug == id_or_slug


async def products_by_ids(session: AsyncSession, ids: Sequence[UUID], *, currency: str) -> list[ProductView]:
    """Those of the products that the public may see."""
    query = select(*PRODUCT).outerjoin(Category, Product.category_id == Category.id)
    rows = (await session.execute(query.where(Product.id.in_(ids), IS_PUBLIC))).mappings().all()
    return await _with_variants(session, rows, currency)


async def products(session: AsyncSession, query: ProductQuery) -> ProductPage:
    """A page of what the public may see, under the query's filters and in its order."""
    filters = _filters(query)
    if query.category is not None:
        # Asked for beforehand, because how many products a few known categories hold is something Postgres can guess.
        filters[Facet.CATEGORY] = Product.category_id.in_(list(await session.scalars(_subtree(query.category))))
    rows = (await session.execute(_page(query, filters.values()))).mappings().all()
    page = rows[: query.limit]
    return ProductPage(
        items=await _with_variants(session, page, query.currency),
        next_position=_position(page[-1]) if len(rows) > query.limit else None,
        facets={facet: await _counts(session, facet, filters) for facet in query.facets},
    )


def _page(query: ProductQuery, filters: Iterable[ColumnElement[bool]]) -> Statement:
    key, row_id, is_descending = _order(query)
    statement = (
        select(*PRODUCT, key.label("sort_key"), row_id.label("sort_id"))
        .outerjoin(Category, Product.category_id == Category.id)
        .where(IS_PUBLIC, *filters)
        .limit(query.limit + 1)
    )
    if query.sort in (Sort.PRICE, Sort.PRICE_DESCENDING):
        statement = _by_lowest_price(statement, query.currency)
    parts = [row_id] if key is row_id else [key, row_id]
    if query.after is not None:
        place = query.after[-len(parts) :]
        edge = tuple_(*parts), tuple_(*place)
        statement = statement.where(edge[0] < edge[1] if is_descending else edge[0] > edge[1])
    return statement.order_by(*(part.desc() if is_descending else part.asc() for part in parts))


def _order(query: ProductQuery) -> tuple[ColumnElement[Any], ColumnElement[Any], bool]:
    """The sort key, the id that decides between equal keys, and whether both descend."""
    match query.sort:
        case Sort.NAME:
            return Product.name.expression, Product.id.expression, False
        case Sort.PRICE | Sort.PRICE_DESCENDING:
            return Price.amount.expression, Price.variant_id.expression, query.sort is Sort.PRICE_DESCENDING
        case Sort.RELEVANCE:
            return cast(func.ts_rank(WEIGHED, _tsquery(query.words)), Float(53)), Product.id.expression, True
        case _:  # ids are made in the order of time
            return Product.id.expression, Product.id.expression, True


def _by_lowest_price(statement: Statement, currency: str) -> Statement:
    """One row a product, that of its cheapest variant: the index on prices gives them in order."""
    cheaper_variant, cheaper_price = aliased(Variant), aliased(Price)
    has_cheaper = (
        select(1)
        .select_from(cheaper_variant)
        .join(cheaper_price, cheaper_price.variant_id == cheaper_variant.id)
        .where(
            cheaper_variant.product_id == Product.id,
            cheaper_price.currency == currency,
            tuple_(cheaper_price.amount, cheaper_price.variant_id) < tuple_(Price.amount, Price.variant_id),
        )
        .exists()
    )
    return (
        statement.join(Variant, Variant.product_id == Product.id)
        .join(Price, Price.variant_id == Variant.id)
        .where(Price.currency == currency, ~has_cheaper)
    )


def _filters(query: ProductQuery) -> dict[str, ColumnElement[bool]]:
    filters: dict[str, ColumnElement[bool]] = {}
    if query.words:
        filters["q"] = SEARCHED.op("@@", is_comparison=True)(_tsquery(query.words))
    if query.brand is not None:
        filters[Facet.BRAND] = Product.brand == query.brand
    if query.min_price is not None or query.max_price is not None:
        filters["price"] = _is_priced_between(query.min_price, query.max_price, query.currency)
    if query.in_stock is not None:
        filters["stock"] = _can_be_sold() if query.in_stock else ~_can_be_sold()
    return filters


def _tsquery(words: Sequence[str]) -> ColumnElement[Any]:
    """Every word, or the beginning of one. Words are letters and digits only, so nothing needs to be quoted."""
    return func.to_tsquery(SIMPLE, " & ".join(f"{word}:*" for word in words))


def _subtree(id_or_slug: str) -> Statement:
    is_called = Category.id == UUID(id_or_slug) if UUID_FORM.fullmatch(id_or_slug) else Category.slug == id_or_slug
    top = select(Category.id).where(is_called).cte("subtree", recursive=True)
    child = aliased(Category)
    subtree = top.union(select(child.id).join(top, child.parent_id == top.c.id))
    return select(subtree.c.id)


def _is_priced_between(lowest: int | None, highest: int | None, currency: str) -> ColumnElement[bool]:
    """Is one of the product's variants in the range?"""
    variant, price = aliased(Variant), aliased(Price)
    priced = select(variant.product_id).join(price, price.variant_id == variant.id).where(price.currency == currency)
    if lowest is not None:
        priced = priced.where(price.amount >= lowest)
    if highest is not None:
        priced = priced.where(price.amount <= highest)
    return priced.where(variant.product_id == Product.id).exists()


def _can_be_sold() -> ColumnElement[bool]:
    """Is there a unit that nobody has reserved?"""
    variant = aliased(Variant)
    stocked = select(variant.product_id).join(Stock, Stock.variant_id == variant.id)
    return stocked.where(variant.product_id == Product.id, Stock.on_hand > Stock.reserved).exists()


def _position(row: RowMapping) -> list[Any]:
    key = row["sort_key"]
    return [str(key) if isinstance(key, UUID) else key, str(row["sort_id"])]


def position_from(sort: Sort, given: list[Any]) -> tuple[Any, UUID]:
    """A position that came back from a client; ``ValueError`` when this order cannot have made it."""
    key, row_id = given
    match sort, key:
        case Sort.PRICE | Sort.PRICE_DESCENDING, int():
            is_possible = 0 <= key < 2**62
        case Sort.RELEVANCE, float():
            is_possible = True
        case Sort.NAME | Sort.NEWEST, str():
            is_possible = why_not_storable(key) is None
        case _:
            is_possible = False
    if not is_possible or not isinstance(row_id, str) or not UUID_FORM.fullmatch(row_id):
        raise ValueError("not a position of this order")
    return key, UUID(row_id)


async def _with_variants(session: AsyncSession, rows: Sequence[RowMapping], currency: str) -> list[ProductView]:
    """The products with all of their variants, in one statement for all of them."""
    if not rows:
        return []
    in_stock = (
        select(func.coalesce(func.sum(Stock.on_hand - Stock.reserved), 0))
        .where(Stock.variant_id == Variant.id)
        .scalar_subquery()
    )
    variants = (
        select(
            Variant.product_id,
            Variant.id,
            Variant.sku,
            Variant.name,
            Variant.options,
            Price.amount,
            in_stock.label("stock_quantity"),
        )
        .outerjoin(Price, and_(Price.variant_id == Variant.id, Price.currency == currency))
        .where(Variant.product_id.in_([row["id"] for row in rows]))
        .order_by(Variant.position, Variant.id)
    )
    views = {row["id"]: ProductView(product=row, variants=[]) for row in rows}
    for variant in (await session.execute(variants)).mappings():
        views[variant["product_id"]].variants.append(variant)
    return list(views.values())


async def _counts(session: AsyncSession, facet: Facet, filters: dict[str, ColumnElement[bool]]) -> list[RowMapping]:
    """How many products there would be with each value of the facet chosen, all other filters as they are."""
    others = [condition for name, condition in filters.items() if name != facet]
    counted = _brands(others) if facet is Facet.BRAND else _categories(others)
    return list((await session.execute(counted)).mappings())


def _brands(filters: Iterable[ColumnElement[bool]]) -> Statement:
    count = func.count().label("count")
    return (
        select(Product.brand.label("value"), count)
        .where(IS_PUBLIC, Product.brand.is_not(None), *filters)
        .group_by(Product.brand)
        .order_by(count.desc(), Product.brand)
        .limit(MOST_FACET_VALUES)
    )


def _categories(filters: Iterable[ColumnElement[bool]]) -> Statement:
    """A category's count includes what is in the categories below it."""
    inside = (
        select(Product.category_id.label("id"), func.count().label("count"))
        .where(IS_PUBLIC, *filters)
        .group_by(Product.category_id)
        .cte("inside")
    )
    up = (
        select(Category.id, Category.parent_id, inside.c.count)
        .join(inside, inside.c.id == Category.id)
        .cte("up", recursive=True)
    )
    above = aliased(Category)
    up = up.union_all(select(above.id, above.parent_id, up.c.count).join(up, up.c.parent_id == above.id))
    count = cast(func.sum(up.c.count), BigInteger).label("count")
    return (
        select(Category.id, Category.slug, Category.name, count)
        .join(up, up.c.id == Category.id)
        .group_by(Category.id)
        .order_by(count.desc(), Category.slug)
        .limit(MOST_FACET_VALUES)
    )


async def product_of(session: AsyncSession, variant_id: UUID) -> UUID:
    return (await session.scalars(select(Variant.product_id).where(Variant.id == variant_id))).one()


async def categories(session: AsyncSession) -> Sequence[RowMapping]:
    """All categories, in the order in which siblings are shown."""
    return (
        (await session.execute(select(*CATEGORY).order_by(Category.position, Category.name, Category.id)))
        .mappings()
        .all()
    )


async def category(session: AsyncSession, category_id: UUID) -> RowMapping:
    return (await session.execute(select(*CATEGORY).where(Category.id == category_id))).mappings().one()


CATEGORY = (Category.id, Category.parent_id, Category.slug, Category.name, Category.position, Category.updated_at)
