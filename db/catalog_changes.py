"""Making and changing products and categories."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn
from uuid import UUID

from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from db.base import new_id
from db.catalog import CATALOGUE_LOCK, Category, Price, Product, Variant
from db.inventory import Stock, StockMovement
from domain.catalog import DEEPEST_CATEGORY, MOST_VARIANTS, derived_sku, slug_of
from domain.errors import Refusal, unacceptable
from domain.money import Money

Versions = Collection[int] | None
"""The versions that the asker knows; ``None`` when any will do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NewVariant:
    prices: Sequence[Money]
    """One for each currency in which it is sold."""
    sku: str | None = None
    name: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    stock: int = 0
    weight_grams: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class VariantChange:
    """``variant_id`` is ``None`` for the only variant of a product; fields that are absent stay as they are."""

    pointer: str
    variant_id: UUID | None
    fields: Mapping[str, Any] = field(default_factory=dict)
    prices: Sequence[Money] = ()
    has_no_others: bool = False
    """Is the variant sold in these currencies alone?"""


async def create_product(
    session: AsyncSession, product_id: UUID, fields: Mapping[str, Any], variants: Sequence[NewVariant], *, actor: str
) -> None:
    """A product with its variants, prices and stock, unless it was made before; refuses ``sku_taken``."""
    if await session.get(Product, product_id) is not None:
        return
    await _category_exists(session, fields["category_id"])
    slug = await _insert_product(session, product_id, fields)
    await _add_variants(session, product_id, slug, variants, first_position=0, actor=actor)


async def _insert_product(session: AsyncSession, product_id: UUID, fields: Mapping[str, Any]) -> str:
    slug = slug_of(fields["name"])
    for candidate in (slug, f"{slug}-{product_id.hex[-8:]}"):
        made = (
            upsert(Product)
            .values(id=product_id, slug=candidate, **fields)
            .on_conflict_do_nothing(index_elements=[Product.slug])
            .returning(Product.slug)
        )
        if inserted := await _possible(session, made):
            return inserted
    raise AssertionError("eight random digits were used before")


async def _possible(session: AsyncSession, change: Any) -> str | None:
    """The slug of the product that the statement makes or changes, if it does."""
    try:
        slug: str | None = await session.scalar(change)
        return slug
    except IntegrityError as error:
        _refuse_taken(error)


async def _add_variants(
    session: AsyncSession,
    product_id: UUID,
    slug: str,
    variants: Sequence[NewVariant],
    *,
    first_position: int,
    actor: str,
) -> None:
    rows: list[dict[str, Any]] = [
        {
            "id": new_id(),
            "product_id": product_id,
            "sku": variant.sku or derived_sku(slug, variant.options.values()),
            "name": variant.name or " / ".join(variant.options.values()),
            "options": dict(variant.options),
            "weight_grams": variant.weight_grams,
            "position": position,
        }
        for position, variant in enumerate(variants, first_position)
    ]
    with_ids = list(zip((row["id"] for row in rows), variants, strict=True))
    try:
        await session.execute(insert(Variant), rows)
    except IntegrityError as error:
        _refuse_taken(error)
    await session.execute(
        insert(Price),
        [_price(variant_id, price) for variant_id, variant in with_ids for price in variant.prices],
    )
    await session.execute(insert(Stock), [{"variant_id": i, "on_hand": v.stock} for i, v in with_ids])
    if received := [_received(variant_id, v.stock, actor) for variant_id, v in with_ids if v.stock]:
        await session.execute(insert(StockMovement), received)


def _price(variant_id: UUID, price: Money) -> dict[str, Any]:
    return {"variant_id": variant_id, "currency": price.currency, "amount": price.minor}


def _received(variant_id: UUID, quantity: int, actor: str) -> dict[str, Any]:
    return {
        "variant_id": variant_id,
        "on_hand_change": quantity,
        "reserved_change": 0,
        "reason": "initial stock",
        "actor": actor,
    }


async def change_product(
    session: AsyncSession,
    product_id: UUID,
    fields: Mapping[str, Any],
    *,
    changed: Sequence[VariantChange] = (),
    added: Sequence[NewVariant] = (),
    expected: Versions,
    actor: str,
) -> None:
    """Change the product and its variants; refuses ``precondition_failed`` when its version is not an expected one."""
    if fields.get("category_id"):
        await _category_exists(session, fields["category_id"])
    slug = await _next_version(session, product_id, fields, expected)
    variant_ids = list(await session.scalars(select(Variant.id).where(Variant.product_id == product_id)))
    for change in changed:
        await _change_variant(session, _meant(change, variant_ids), change)
    if added:
        if len(variant_ids) + len(added) > MOST_VARIANTS:
            raise unacceptable("/variants", f"A product has at most {MOST_VARIANTS} variants.")
        await _add_variants(session, product_id, slug, added, first_position=len(variant_ids), actor=actor)


async def archive_product(session: AsyncSession, product_id: UUID, *, expected: Versions) -> None:
    """Take the product out of the shop for good; orders and the stock ledger keep what they know of it."""
    await _next_version(session, product_id, {"archived_at": func.now()}, expected)


async def _next_version(session: AsyncSession, product_id: UUID, fields: Mapping[str, Any], expected: Versions) -> str:
    """Change the row when it is at an expected version; answers its slug."""
    change = (
        update(Product)
        .where(Product.id == product_id, Product.archived_at.is_(None))
        .values(**fields, version=Product.version + 1, updated_at=func.now())
        .returning(Product.slug)
    )
    if expected is not None:
        change = change.where(Product.version.in_(expected))
    if slug := await _possible(session, change):
        return slug
    if await session.scalar(select(Product.id).where(Product.id == product_id, Product.archived_at.is_(None))):
        raise stale()
    raise Refusal("not_found", "There is no such product.")


def _meant(change: VariantChange, variant_ids: Sequence[UUID]) -> UUID:
    if change.variant_id is None:
        if len(variant_ids) != 1:
            detail = f"This product has {len(variant_ids)} variants; say which one, in variants."
            raise unacceptable(change.pointer, detail)
        return variant_ids[0]
    if change.variant_id not in variant_ids:
        raise unacceptable(f"{change.pointer}/id", "This product has no such variant.")
    return change.variant_id


async def _change_variant(session: AsyncSession, variant_id: UUID, change: VariantChange) -> None:
    if change.fields:
        try:
            await session.execute(
                update(Variant).where(Variant.id == variant_id).values(**change.fields, updated_at=func.now())
            )
        except IntegrityError as error:
            _refuse_taken(error)
    if change.prices:
        await _set_prices(session, variant_id, change)


async def _set_prices(session: AsyncSession, variant_id: UUID, change: VariantChange) -> None:
    price = upsert(Price).values([_price(variant_id, price) for price in change.prices])
    await session.execute(
        price.on_conflict_do_update(
            index_elements=[Price.variant_id, Price.currency], set_={"amount": price.excluded.amount}
        )
    )
    if change.has_no_others:
        kept = [price.currency for price in change.prices]
        await session.execute(delete(Price).where(Price.variant_id == variant_id, Price.currency.not_in(kept)))


async def create_category(
    session: AsyncSession, *, name: str, slug: str | None, parent_id: UUID | None, position: int
) -> UUID:
    """A category under the parent; refuses ``slug_taken`` for a slug that was asked for."""
    await _lock_the_tree(session)
    category_id = new_id()
    await _check_place(session, category_id, parent_id)
    candidates = (slug,) if slug else (slug_of(name), f"{slug_of(name)}-{category_id.hex[-8:]}")
    for candidate in candidates:
        inserted = await session.scalar(
            upsert(Category)
            .values(id=category_id, name=name, slug=candidate, parent_id=parent_id, position=position)
            .on_conflict_do_nothing(index_elements=[Category.slug])
            .returning(Category.id)
        )
        if inserted:
            return category_id
    raise Refusal("slug_taken", f"There is a category with the slug {slug}.")


async def change_category(
    session: AsyncSession, category_id: UUID, fields: Mapping[str, Any], *, expected: Versions
) -> None:
    """Rename or move a category; refuses ``precondition_failed`` when its version is not an expected one."""
    await _lock_the_tree(session)
    updated_at = await session.scalar(select(Category.updated_at).where(Category.id == category_id))
    if updated_at is None:
        raise Refusal("not_found", "There is no such category.")
    if expected is not None and version_of(updated_at) not in expected:
        raise stale()
    if "parent_id" in fields:
        await _check_place(session, category_id, fields["parent_id"])
    try:
        await session.execute(
            update(Category)
            .where(Category.id == category_id)
            .values(**fields, updated_at=func.greatest(func.clock_timestamp(), updated_at + timedelta(microseconds=1)))
        )
    except IntegrityError as error:
        _refuse_taken(error)


def version_of(updated_at: datetime) -> int:
    """Categories count their versions in microseconds."""
    return (updated_at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


async def _lock_the_tree(session: AsyncSession) -> None:
    await session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": CATALOGUE_LOCK})


async def _check_place(session: AsyncSession, category_id: UUID, parent_id: UUID | None) -> None:
    """Refuses a parent that does not exist, that is below the category itself, or too deep in the tree."""
    parents = {row.id: row.parent_id for row in await session.execute(select(Category.id, Category.parent_id))}
    if parent_id is not None and parent_id not in parents:
        raise unacceptable("/parent_id", "There is no such category.")
    parents[category_id] = parent_id
    above = _ancestors(parent_id, parents)
    if category_id in above:
        raise unacceptable("/parent_id", "A category cannot be moved below itself.")
    below = max(len(path) for node in parents if category_id in (path := [node, *_ancestors(parents[node], parents)]))
    if below > DEEPEST_CATEGORY:
        raise unacceptable("/parent_id", f"The tree of categories has at most {DEEPEST_CATEGORY} levels.")


def _ancestors(category_id: UUID | None, parents: Mapping[UUID, UUID | None]) -> list[UUID]:
    path: list[UUID] = []
    while category_id is not None and category_id not in path:
        path.append(category_id)
        category_id = parents[category_id]
    return path


async def _category_exists(session: AsyncSession, category_id: UUID) -> None:
    if not await session.scalar(select(Category.id).where(Category.id == category_id)):
        raise unacceptable("/category_id", "There is no such category.")


def stale() -> Refusal:
    return Refusal("precondition_failed", "It was changed since the version in If-Match; read it again.")


def _refuse_taken(error: IntegrityError) -> NoReturn:
    match getattr(error.orig.__cause__ if error.orig else None, "constraint_name", None):
        case "uq_variants_sku":
            raise Refusal("sku_taken", "There is a variant with this SKU.") from error
        case "ck_products_appears_before_it_disappears":
            raise unacceptable("/published_until", "must be later than published_from") from error
        case "uq_categories_slug":
            raise Refusal("slug_taken", "There is a category with this slug.") from error
    raise error
