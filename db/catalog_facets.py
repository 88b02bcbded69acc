"""How many products there would be with each value chosen: of category, brand, price, tags or an attribute."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    Integer,
    String,
    Uuid,
    and_,
    cast,
    func,
    literal,
    null,
    select,
    true,
    tuple_,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from db.catalog import Category, ListedProduct
from db.catalog_query import ATTRIBUTE, Conditions, Facet, ProductQuery, Statement, spans_between
from db.catalog_words import Understood

MOST_VALUES = 100

COLUMN = {Facet.BRAND: "brand", Facet.CATEGORY: "category_id", Facet.PRICE: "price_steps"}
"""The columns of listed products that hold what a facet counts; tags and attributes are all in the labels."""


def _column_of(facet: str) -> str:
    return COLUMN[Facet(facet)] if facet in COLUMN else "labels"


async def counts(
    session: AsyncSession, query: ProductQuery, read: Understood, asked: Conditions
) -> dict[str, list[dict[str, Any]]]:
    """For each facet that is asked for its most frequent values; all other conditions of the query stay as they are."""
    found: dict[str, list[dict[str, Any]]] = {facet: [] for facet in query.facets}
    for row in (await session.execute(facet_counts(query, read, asked))).mappings():
        found[row["facet"]].append(dict(row))
    return found


def facet_counts(query: ProductQuery, read: Understood, asked: Conditions) -> Statement:
    groups = _groups(query, read, asked)
    counted = (COUNTED.get(facet, _labels)(facet, query, _group_of(groups, facet)) for facet in query.facets)
    return union_all(*(select(facet.subquery()) for facet in counted))


def _groups(query: ProductQuery, read: Understood, asked: Conditions) -> CTE:
    """One walk through what fits all conditions but those of the facets, which counts by each facet's value.

    A product that does not fit what was chosen of another facet is left out of the count, but not of that facet's own.
    Tags are chosen one on top of the other, so they are counted among the products that have those chosen so far.
    """
    own = {name: condition for name, condition in asked.items() if name in query.facets and name != Facet.TAG}
    if Facet.PRICE in own:
        own[Facet.PRICE] = spans_between(query.min_price, query.max_price, query.currency)
    columns = dict.fromkeys(map(_column_of, query.facets))
    hits = select(
        *(ListedProduct.__table__.c[name] for name in columns),
        *(condition.label(f"fits_{name}") for name, condition in own.items()),
    ).where(*(condition for name, condition in asked.items() if name not in own))
    if read:
        hits = hits.where(read.is_found)
    found = hits.offset(0).subquery("found")  # which Postgres asks once of each product whether it fits
    groups = select(
        *(found.c[name] for name in columns),
        *(func.grouping(found.c[name]).label(f"is_not_by_{name}") for name in columns),
        *(
            func.count()
            .filter(and_(true(), *(found.c[f"fits_{name}"] for name in own if name != facet)))
            .label(f"n_{facet}")
            for facet in query.facets
        ),
    )
    return groups.group_by(func.grouping_sets(*(tuple_(found.c[name]) for name in columns))).cte("groups")


def _group_of(groups: CTE, facet: str) -> Any:
    """What one facet counts, with its counts."""
    column, count = _column_of(facet), groups.c[f"n_{facet}"]
    values = select(groups.c[column].label("value"), count.label("count"))
    return values.where(groups.c[f"is_not_by_{column}"] == 0, count > 0).subquery(f"of_{facet}")


def _brands(facet: str, _: ProductQuery, group: Any) -> Statement:
    return (
        select(*_columns(facet, value=group.c.value), group.c.count)
        .where(group.c.value.is_not(None))
        .order_by(group.c.count.desc(), group.c.value)
        .limit(MOST_VALUES)
    )


def _categories(facet: str, _: ProductQuery, group: Any) -> Statement:
    """A category's count includes what is in the categories below it."""
    up = (
        select(Category.id, Category.parent_id, group.c.count)
        .join(group, group.c.value == Category.id)
        .cte("up", recursive=True)
    )
    above = aliased(Category)
    up = up.union_all(select(above.id, above.parent_id, up.c.count).join(up, up.c.parent_id == above.id))
    count = cast(func.sum(up.c.count), BigInteger).label("count")
    return (
        select(*_columns(facet, id=Category.id, value=Category.name, slug=Category.slug), count)
        .join(up, up.c.id == Category.id)
        .group_by(Category.id)
        .order_by(count.desc(), Category.slug)
        .limit(MOST_VALUES)
    )


def _prices(facet: str, query: ProductQuery, group: Any) -> Statement:
    """A product counts in each range in which one of its variants is, as it is found by each of them."""
    steps = select(func.unnest(group.c.value).label("step"), group.c.count).subquery("steps")
    number = cast(func.split_part(steps.c.step, ":", 2), Integer)
    return (
        select(*_columns(facet, value=cast(number, String)), cast(func.sum(steps.c.count), BigInteger).label("count"))
        .where(func.starts_with(steps.c.step, f"{query.currency}:"))
        .group_by(number)
        .order_by(number)
    )


def _labels(facet: str, _: ProductQuery, group: Any) -> Statement:
    """Tags, or the values of one attribute."""
    prefix = "tag:" if facet == Facet.TAG else f"{facet.removeprefix(ATTRIBUTE)}="
    labels = select(func.unnest(group.c.value).label("label"), group.c.count).subquery("labels")
    value = func.substr(labels.c.label, len(prefix) + 1)
    count = cast(func.sum(labels.c.count), BigInteger).label("count")
    return (
        select(*_columns(facet, value=value), count)
        .where(func.starts_with(labels.c.label, prefix))
        .group_by(value)
        .order_by(count.desc(), value)
        .limit(MOST_VALUES)
    )


def _columns(facet: str, **given: Any) -> list[ColumnElement[Any]]:
    """The same columns for every facet, so that one statement can answer for all of them."""
    kinds: dict[str, Any] = {"id": Uuid(), "value": String(), "slug": String()}
    return [
        literal(facet).label("facet"),
        *(given.get(name, cast(null(), kind)).label(name) for name, kind in kinds.items()),
    ]


COUNTED: dict[str, Callable[[str, ProductQuery, Any], Statement]] = {
    Facet.BRAND: _brands,
    Facet.CATEGORY: _categories,
    Facet.PRICE: _prices,
}
