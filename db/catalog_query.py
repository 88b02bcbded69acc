"""What a list of products can be asked for, and the conditions that this puts on a listed product."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, and_, case, cast, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from db.catalog import Category, ListedProduct, Price, Variant
from db.inventory import Stock
from domain.catalog import UUID_FORM
from domain.catalog_files import why_not_storable

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
    PRICE = "price"
    TAG = "tag"


ATTRIBUTE = "attribute."
"""Before the code of an attribute, in facets and conditions."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProductQuery:
    currency: str
    limit: int
    sort: Sort = Sort.NEWEST
    """``RELEVANCE`` only together with words."""
    after: tuple[Any, UUID] | None = None
    """The sort key and the id of the last row of the page before; by relevance the key is a tier and a length."""
    words: tuple[str, ...] = ()
    category: str | None = None
    brand: str | None = None
    min_price: int | None = None
    max_price: int | None = None
    in_stock: bool | None = None
    tags: tuple[str, ...] = ()
    """All of them."""
    attributes: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """By their codes; of each attribute one of the labels, such as ``colour=red``."""
    facets: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    """In which texts are shown, the first that there is; none means the shop's own."""


Conditions = Mapping[str, ColumnElement[bool]]
"""By what asked for them: the name of a facet, or another parameter."""

STOCK = "stock"
"""The condition that no row of the listed products can answer by itself."""


async def conditions(session: AsyncSession, query: ProductQuery) -> Conditions:
    """What the query asks of a product, besides its words.

    Words find the products first, and then prices are compared in the rows that were found. Without words Postgres may
    come from the index on prices.
    """
    asked: dict[str, ColumnElement[bool]] = {"time": is_published()}
    if query.category is not None:
        # Asked for beforehand, because how many products a few known categories hold is something Postgres can guess.
        inside = list(await session.scalars(_subtree(query.category)))
        asked[Facet.CATEGORY] = ListedProduct.category_id.in_(inside)
    if query.brand is not None:
        asked[Facet.BRAND] = ListedProduct.brand == query.brand
    if query.min_price is not None or query.max_price is not None:
        is_between = spans_between if query.words else _is_priced_between
        asked[Facet.PRICE] = is_between(query.min_price, query.max_price, query.currency)
    if query.tags:
        asked[Facet.TAG] = ListedProduct.labels.contains([f"tag:{tag}" for tag in query.tags])
    for code, labels in query.attributes:
        asked[ATTRIBUTE + code] = ListedProduct.labels.overlap(list(labels))
    if query.in_stock is not None:
        asked[STOCK] = can_be_sold(ListedProduct.product_id.expression, is_wanted=query.in_stock)
    return asked


def is_published() -> ColumnElement[bool]:
    """Is this a moment at which the product is in the shop?"""
    comes, goes = ListedProduct.published_from, ListedProduct.published_until
    return and_(or_(comes.is_(None), comes <= func.now()), or_(goes.is_(None), goes > func.now()))


def _subtree(id_or_slug: str) -> Statement:
    is_called = Category.id == UUID(id_or_slug) if UUID_FORM.fullmatch(id_or_slug) else Category.slug == id_or_slug
    top = select(Category.id).where(is_called).cte("subtree", recursive=True)
    child = aliased(Category)
    subtree = top.union(select(child.id).join(top, child.parent_id == top.c.id))
    return select(subtree.c.id)


def is_in_range(price: Any, lowest: int | None, highest: int | None, currency: str) -> list[ColumnElement[bool]]:
    """Of a row of prices."""
    bounds = [price.currency == currency]
    if lowest is not None:
        bounds.append(price.amount >= lowest)
    if highest is not None:
        bounds.append(price.amount <= highest)
    return bounds


def _is_priced_between(lowest: int | None, highest: int | None, currency: str) -> ColumnElement[bool]:
    """Is one of the product's variants in the range?"""
    variant, price = aliased(Variant), aliased(Price)
    priced = select(variant.product_id).join(price, price.variant_id == variant.id)
    priced = priced.where(*is_in_range(price, lowest, highest, currency))
    return priced.where(variant.product_id == ListedProduct.product_id).exists()


def spans_between(lowest: int | None, highest: int | None, currency: str) -> ColumnElement[bool]:
    """The same, for whoever looks at the product anyway.

    Only where the range lies between its cheapest and its dearest variant all of them are looked at.
    """
    cheapest, dearest = lowest_price(currency), _price_in(ListedProduct.highest_prices, currency)
    if lowest is None:
        return cheapest <= highest
    if highest is None:
        return dearest >= lowest
    is_around = and_(cheapest < lowest, dearest > highest, _is_priced_between(lowest, highest, currency))
    return or_(cheapest.between(lowest, highest), dearest.between(lowest, highest), is_around)


def lowest_price(currency: str) -> ColumnElement[int]:
    """Of the listed product's cheapest variant; null when it has no price in this currency."""
    return _price_in(ListedProduct.lowest_prices, currency)


def lowest_price_from(lowest: int | None, currency: str) -> ColumnElement[int]:
    """Of its cheapest variant that costs at least so much."""
    cheapest = lowest_price(currency)
    if lowest is None:
        return cheapest
    variant, price = aliased(Variant), aliased(Price)
    of_others = select(func.min(price.amount)).select_from(variant).join(price, price.variant_id == variant.id)
    of_others = of_others.where(
        variant.product_id == ListedProduct.product_id, *is_in_range(price, lowest, None, currency)
    )
    return case((cheapest >= lowest, cheapest), else_=of_others.scalar_subquery())


def _price_in(prices: Any, currency: str) -> ColumnElement[int]:
    return cast(prices[currency].astext, BigInteger)


def can_be_sold(product_id: ColumnElement[UUID], *, is_wanted: bool = True) -> ColumnElement[bool]:
    """Is there a unit of the product that nobody has reserved?"""
    variant = aliased(Variant)
    stocked = select(variant.product_id).join(Stock, Stock.variant_id == variant.id)
    has_units = stocked.where(variant.product_id == product_id, Stock.on_hand > Stock.reserved).exists()
    return has_units if is_wanted else ~has_units


def position_from(sort: Sort, given: Sequence[Any]) -> tuple[Any, UUID]:
    """A position that came back from a client; ``ValueError`` when this order cannot have made it."""
    key, row_id = given
    match sort, key:
        case Sort.PRICE | Sort.PRICE_DESCENDING, int():
            is_possible = 0 <= key < 2**62
        case Sort.RELEVANCE, [int() as tier, int() as length]:
            is_possible = 1 <= tier <= 3 and 0 <= length <= 1000
            key = (tier, length)
        case Sort.NAME | Sort.NEWEST, str():
            is_possible = why_not_storable(key) is None
        case _:
            is_possible = False
    if not is_possible or not isinstance(row_id, str) or not UUID_FORM.fullmatch(row_id):
        raise ValueError("not a position of this order")
    return key, UUID(row_id)
