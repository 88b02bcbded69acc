"""What the API shows of products and categories."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Numeric,
    RowMapping,
    and_,
    case,
    cast,
    func,
    literal,
    or_,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from db import translations
from db.catalog import Category, ListedProduct, Price, Product, ProductAttribute, Variant
from db.inventory import Stock
from domain.catalog import UUID_FORM
from domain.catalog_attributes import AttributeKind
from domain.catalog_files import why_not_storable


@dataclass(frozen=True, kw_only=True, slots=True)
class ProductView:
    product: RowMapping
    variants: list[RowMapping]
    """With ``amount`` in the currency that was asked for, ``None`` when it is not sold in it.

    Also with ``amounts`` by currency when those were asked for.
    """
    text: RowMapping | None = None
    """Its name and description in another language than the shop's own, where it has them."""
    category_name: str | None = None
    """The same of its category."""


SAID = (
    select(
        func.jsonb_object_agg(
            ProductAttribute.attribute,
            case(
                (ProductAttribute.kind == AttributeKind.NUMBER, func.to_jsonb(cast(ProductAttribute.value, Numeric))),
                (ProductAttribute.kind == AttributeKind.BOOLEAN, func.to_jsonb(cast(ProductAttribute.value, Boolean))),
                else_=func.to_jsonb(ProductAttribute.value),
            ),
            type_=JSONB,
        )
    )
    .where(ProductAttribute.product_id == Product.id)
    .correlate(Product)
    .scalar_subquery()
)
"""The product's attributes, numbers and truths as such."""

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
    Product.archived_at,
    Product.tags,
    Product.published_from,
    Product.published_until,
    Product.tax_class,
    SAID.label("attributes"),
    Category.id.label("category_id"),
    Category.slug.label("category_slug"),
    Category.name.label("category_name"),
)

IS_PUBLIC = and_(
    Product.is_active,
    Product.archived_at.is_(None),
    or_(Product.published_from.is_(None), Product.published_from <= func.now()),
    or_(Product.published_until.is_(None), Product.published_until > func.now()),
)


async def product(
    session: AsyncSession,
    id_or_slug: str | UUID,
    *,
    currency: str,
    is_public: bool = True,
    in_all_currencies: bool = False,
    languages: Sequence[str] = (),
) -> ProductView | None:
    """The product by its id or slug; unless the asker is staff, only what the public may see."""
    if isinstance(id_or_slug, str) and why_not_storable(id_or_slug):
        return None
    query = select(*PRODUCT).outerjoin(Category, Product.category_id == Category.id).where(_is_called(id_or_slug))
    if is_public:
        query = query.where(IS_PUBLIC)
    row = (await session.execute(query)).mappings().one_or_none()
    if row is None:
        return None
    return (await with_variants(session, [row], currency, in_all_currencies=in_all_currencies, languages=languages))[0]


def _is_called(id_or_slug: str | UUID) -> ColumnElement[bool]:
    if isinstance(id_or_slug, UUID):
        return Product.id == id_or_slug
    return Product.id == UUID(id_or_slug) if UUID_FORM.fullmatch(id_or_slug) else Product.slug == id_or_slug


async def products_by_ids(
    session: AsyncSession, ids: Sequence[UUID], *, currency: str, languages: Sequence[str] = ()
) -> list[ProductView]:
    """Those of the products that the public may see."""
    query = select(*PRODUCT).outerjoin(Category, Product.category_id == Category.id)
    rows = (await session.execute(query.where(Product.id.in_(ids), IS_PUBLIC))).mappings().all()
    return await with_variants(session, rows, currency, languages=languages)


async def with_variants(
    session: AsyncSession,
    rows: Sequence[RowMapping],
    currency: str,
    *,
    in_all_currencies: bool = False,
    languages: Sequence[str] = (),
) -> list[ProductView]:
    """The products with all of their variants, in one statement for all of them, and in the first of the languages."""
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
            Variant.weight_grams,
            Price.amount,
            in_stock.label("stock_quantity"),
        )
        .outerjoin(Price, and_(Price.variant_id == Variant.id, Price.currency == currency))
        .where(Variant.product_id.in_([row["id"] for row in rows]))
        .order_by(Variant.position, Variant.id)
    )
    if in_all_currencies:
        variants = variants.add_columns(AMOUNTS.label("amounts"))
    views = {row["id"]: ProductView(product=row, variants=[]) for row in rows}
    for variant in (await session.execute(variants)).mappings():
        views[variant["product_id"]].variants.append(variant)
    if languages:
        return await _translated(session, views, languages)
    return list(views.values())


async def _translated(
    session: AsyncSession, views: Mapping[UUID, ProductView], languages: Sequence[str]
) -> list[ProductView]:
    texts = await translations.texts(session, views.keys(), languages)
    names = await translations.names_of_categories(session, languages)
    return [
        replace(view, text=texts.get(product_id), category_name=names.get(view.product["category_id"]))
        for product_id, view in views.items()
    ]


of_currency = aliased(Price)
AMOUNTS = (
    select(func.jsonb_object_agg(of_currency.currency, of_currency.amount, type_=JSONB))
    .where(of_currency.variant_id == Variant.id)
    .correlate(Variant)
    .scalar_subquery()
)


class Shelf(StrEnum):
    """Where a product is at this moment."""

    ACTIVE = "active"
    INACTIVE = "inactive"
    SCHEDULED = "scheduled"
    EXPIRED = "expired"
    ARCHIVED = "archived"


SHELF = case(
    (Product.archived_at.is_not(None), literal(Shelf.ARCHIVED.value)),
    (~Product.is_active, literal(Shelf.INACTIVE.value)),
    (Product.published_from > func.now(), literal(Shelf.SCHEDULED.value)),
    (Product.published_until <= func.now(), literal(Shelf.EXPIRED.value)),
    else_=literal(Shelf.ACTIVE.value),
)


async def staff_products(
    session: AsyncSession, *, currency: str, limit: int, before: UUID | None, shelf: Shelf | None, q: str | None
) -> list[ProductView]:
    """Products on any shelf, the newest first."""
    query = select(*PRODUCT, SHELF.label("status")).outerjoin(Category, Product.category_id == Category.id)
    if before is not None:
        query = query.where(Product.id < before)
    if shelf is not None:
        query = query.where(literal(shelf.value) == SHELF)
    if q:
        of_sku = select(Variant.product_id).where(Variant.sku == q)
        is_meant = or_(Product.name.icontains(q, autoescape=True), Product.slug == q, Product.id.in_(of_sku))
        query = query.where(is_meant)
    rows = (await session.execute(query.order_by(Product.id.desc()).limit(limit))).mappings().all()
    return await with_variants(session, rows, currency, in_all_currencies=True)


@dataclass(frozen=True, slots=True)
class Moment:
    """When products appear or disappear, and how far that is away."""

    at: datetime
    seconds: float
    products: frozenset[UUID]


async def now(session: AsyncSession) -> datetime:
    return (await session.scalars(select(func.now()))).one()


async def next_moment(session: AsyncSession, after: datetime) -> Moment | None:
    """The first moment after the given one at which products appear or disappear."""
    comes, goes = ListedProduct.published_from, ListedProduct.published_until
    moments = union_all(
        *(select(column.label("at"), ListedProduct.product_id).where(column > after) for column in (comes, goes))
    ).subquery("moments")
    row = (
        await session.execute(
            select(
                moments.c.at,
                func.extract("epoch", moments.c.at - func.clock_timestamp()),
                func.array_agg(moments.c.product_id),
            )
            .group_by(moments.c.at)
            .order_by(moments.c.at)
            .limit(1)
        )
    ).one_or_none()
    return None if row is None else Moment(row[0], float(row[1]), frozenset(row[2]))


async def product_of(session: AsyncSession, variant_id: UUID) -> UUID:
    return (await session.scalars(select(Variant.product_id).where(Variant.id == variant_id))).one()


async def categories(session: AsyncSession, languages: Sequence[str] = ()) -> Sequence[Mapping[str, Any]]:
    """All categories, in the order in which siblings are shown in the shop's own language."""
    rows = (
        (await session.execute(select(*CATEGORY).order_by(Category.position, Category.name, Category.id)))
        .mappings()
        .all()
    )
    if not languages:
        return rows  # type: ignore[return-value]
    names = await translations.names_of_categories(session, languages)
    return [{**row, "name": names.get(row["id"], row["name"])} for row in rows]


async def category(session: AsyncSession, category_id: UUID) -> RowMapping:
    return (await session.execute(select(*CATEGORY).where(Category.id == category_id))).mappings().one()


CATEGORY = (Category.id, Category.parent_id, Category.slug, Category.name, Category.position, Category.updated_at)
