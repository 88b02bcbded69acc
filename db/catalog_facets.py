"""How many products there would be with each value chosen: of the category, the brand or the price."""

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
    literal_column,
    null,
    select,
    true,
    tuple_,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from db.catalog import Category, ListedProduct
from db.catalog_query import Conditions, Facet, ProductQuery, Statement
from db.catalog_words import Understood

MOST_VALUES = 100

VALUE: dict[str, ColumnElement[Any]] = {
    Facet.BRAND: ListedProduct.brand.expression,
    Facet.CATEGORY: ListedProduct.category_id.expression,
    Facet.PRICE: ListedProduct.price_steps.expression,
}
"""What products are counted by."""


async def counts(
    session: AsyncSession, query: ProductQuery, read: Understood, asked: Conditions
) -> dict[Facet, list[dict[str, Any]]]:
    """For each facet that is asked for its most frequent values; all other conditions of the query stay as they are."""
    counted = facet_counts(query, read, asked)
    found: dict[Facet, list[dict[str, Any]]] = {facet: [] for facet in query.facets}
    for row in (await session.execute(counted)).mappings():
        found[Facet(row["facet"])].append(dict(row))
    return found


def facet_counts(query: ProductQuery, read: Understood, asked: Conditions) -> Statement:
    groups = _groups(query, read, asked)
    return union_all(*(select(COUNTED[facet](query, _group_of(groups, facet)).subquery()) for facet in query.facets))


def _groups(query: ProductQuery, read: Understood, asked: Conditions) -> CTE:
    """One walk through what fits all conditions but those of the facets, which counts by each facet's value.

    A product that does not fit what was chosen of another facet is left out of the count, but not of that facet's own.
    """
    own = {name: condition for name, condition in asked.items() if name in query.facets}
    groups = select(
        *(VALUE[facet].label(facet) for facet in query.facets),
        *(func.grouping(VALUE[facet]).label(f"is_not_by_{facet}") for facet in query.facets),
        *(
            func.count()
            .filter(and_(true(), *(fits for name, fits in own.items() if name != facet)))
            .label(f"n_{facet}")
            for facet in query.facets
        ),
    ).where(*(condition for name, condition in asked.items() if name not in own))
    if read:
        groups = groups.where(read.is_found)
    return groups.group_by(func.grouping_sets(*(tuple_(VALUE[facet]) for facet in query.facets))).cte("groups")


def _group_of(groups: CTE, facet: Facet) -> Any:
    """The values of one facet with their counts."""
    count = groups.c[f"n_{facet}"]
    values = select(groups.c[facet].label("value"), count.label("count"))
    return values.where(groups.c[f"is_not_by_{facet}"] == 0, count > 0).subquery(f"of_{facet}")


def _brands(_: ProductQuery, group: Any) -> Statement:
    return (
        select(*_columns(Facet.BRAND, value=group.c.value), group.c.count)
        .where(group.c.value.is_not(None))
        .order_by(group.c.count.desc(), group.c.value)
        .limit(MOST_VALUES)
    )


def _categories(_: ProductQuery, group: Any) -> Statement:
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
        select(*_columns(Facet.CATEGORY, id=Category.id, value=Category.name, slug=Category.slug), count)
        .join(up, up.c.id == Category.id)
        .group_by(Category.id)
        .order_by(count.desc(), Category.slug)
        .limit(MOST_VALUES)
    )


def _prices(query: ProductQuery, group: Any) -> Statement:
    """A product counts in each range in which one of its variants is, as it is found by each of them."""
    steps = select(func.unnest(group.c.value).label("step"), group.c.count).subquery("steps")
    number = cast(func.split_part(steps.c.step, ":", 2), Integer)
    return (
        select(
            *_columns(Facet.PRICE, value=cast(number, String)), cast(func.sum(steps.c.count), BigInteger).label("count")
        )
        .where(func.starts_with(steps.c.step, f"{query.currency}:"))
        .group_by(number)
        .order_by(number)
    )


def _columns(facet: Facet, **given: Any) -> list[ColumnElement[Any]]:
    """The same columns for every facet, so that one statement can answer for all of them."""
    kinds: dict[str, Any] = {"id": Uuid(), "value": String(), "slug": String()}
    return [
        literal_column(f"'{facet}'").label("facet"),
        *(given.get(name, cast(null(), kind)).label(name) for name, kind in kinds.items()),
    ]


COUNTED: dict[Facet, Callable[[ProductQuery, Any], Statement]] = {
    Facet.BRAND: _brands,
    Facet.CATEGORY: _categories,
    Facet.PRICE: _prices,
}
