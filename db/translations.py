"""What products and categories are called in other languages than the shop's own."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, RowMapping, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, Now
from db.catalog import Category, Product
from db.catalog_changes import Versions, stale, version_of
from domain.errors import Refusal

LANGUAGE_FORM = "language ~ '^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$'"


class ProductTranslation(Base):
    """Triggers tell listeners of each change, as of a change of the product itself."""

    __tablename__ = "product_translations"

    product_id: Mapped[UUID] = mapped_column(ForeignKey("products.id", ondelete="CASCADE"), primary_key=True)
    language: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    description: Mapped[str] = mapped_column(server_default="")
    updated_at: Mapped[Now]

    __table_args__ = (
        CheckConstraint(LANGUAGE_FORM, name="language_form"),
        CheckConstraint("name <> ''", name="name_not_empty"),
    )


class CategoryTranslation(Base):
    __tablename__ = "category_translations"

    category_id: Mapped[UUID] = mapped_column(ForeignKey("categories.id", ondelete="CASCADE"), primary_key=True)
    language: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    updated_at: Mapped[Now]

    __table_args__ = (
        CheckConstraint(LANGUAGE_FORM, name="language_form"),
        CheckConstraint("name <> ''", name="name_not_empty"),
    )


async def of_product(session: AsyncSession, product_id: UUID) -> tuple[int, Sequence[RowMapping]]:
    """The product's version, and its translations by their languages; refuses ``not_found``."""
    version = await session.scalar(select(Product.version).where(Product.id == product_id))
    if version is None:
        raise Refusal("not_found", "There is no such product.")
    columns = (ProductTranslation.language, ProductTranslation.name, ProductTranslation.description)
    wanted = select(*columns).where(ProductTranslation.product_id == product_id).order_by(ProductTranslation.language)
    return version, (await session.execute(wanted)).mappings().all()


async def say_of_product(
    session: AsyncSession, product_id: UUID, language: str, *, name: str, description: str, expected: Versions
) -> None:
    """Refuses ``precondition_failed`` when the product's version is not an expected one."""
    await _next_version(session, product_id, expected)
    said = insert(ProductTranslation).values(
        product_id=product_id, language=language, name=name, description=description
    )
    await session.execute(
        said.on_conflict_do_update(
            index_elements=[ProductTranslation.product_id, ProductTranslation.language],
            set_={"name": said.excluded.name, "description": said.excluded.description, "updated_at": func.now()},
        )
    )


async def unsay_of_product(session: AsyncSession, product_id: UUID, language: str, *, expected: Versions) -> None:
    """Content when there was nothing to take away."""
    await _next_version(session, product_id, expected)
    await session.execute(
        delete(ProductTranslation).where(
            ProductTranslation.product_id == product_id, ProductTranslation.language == language
        )
    )


async def _next_version(session: AsyncSession, product_id: UUID, expected: Versions) -> None:
    is_meant = (Product.id == product_id, Product.archived_at.is_(None))
    changed = update(Product).where(*is_meant).values(version=Product.version + 1, updated_at=func.now())
    if expected is not None:
        changed = changed.where(Product.version.in_(expected))
    if await session.scalar(changed.returning(Product.id)) is None:
        if await session.scalar(select(Product.id).where(*is_meant)) is None:
            raise Refusal("not_found", "There is no such product.")
        raise stale()


async def say_of_category(
    session: AsyncSession, category_id: UUID, language: str, *, name: str | None, expected: Versions
) -> None:
    """Without a name it is called again as in the shop's own language."""
    found = select(Category.updated_at).where(Category.id == category_id).with_for_update()
    updated_at: datetime | None = await session.scalar(found)
    if updated_at is None:
        raise Refusal("not_found", "There is no such category.")
    if expected is not None and version_of(updated_at) not in expected:
        raise stale()
    await session.execute(update(Category).where(Category.id == category_id).values(updated_at=func.clock_timestamp()))
    if name is None:
        await session.execute(
            delete(CategoryTranslation).where(
                CategoryTranslation.category_id == category_id, CategoryTranslation.language == language
            )
        )
        return
    said = insert(CategoryTranslation).values(category_id=category_id, language=language, name=name)
    await session.execute(
        said.on_conflict_do_update(
            index_elements=[CategoryTranslation.category_id, CategoryTranslation.language],
            set_={"name": said.excluded.name, "updated_at": func.now()},
        )
    )


async def texts(session: AsyncSession, product_ids: Collection[UUID], languages: Sequence[str]) -> dict[UUID, Any]:
    """Of each product that has one the translation in the first of the languages."""
    rows = await session.execute(TEXTS, {"products": list(product_ids), "languages": list(languages)})
    return {row["product_id"]: row for row in rows.mappings()}


TEXTS = text(
    """
    SELECT DISTINCT ON (product_id) product_id, language, name, description FROM product_translations
    WHERE product_id = ANY(CAST(:products AS uuid[])) AND language = ANY(CAST(:languages AS text[]))
    ORDER BY product_id, array_position(CAST(:languages AS text[]), CAST(language AS text))
    """
)


async def names_of_categories(session: AsyncSession, languages: Sequence[str]) -> dict[UUID, str]:
    """Of all that are called anything in one of the languages."""
    rows = await session.execute(NAMES_OF_CATEGORIES, {"languages": list(languages)})
    return {row.category_id: row.name for row in rows}


NAMES_OF_CATEGORIES = text(
    """
    SELECT DISTINCT ON (category_id) category_id, name FROM category_translations
    WHERE language = ANY(CAST(:languages AS text[]))
    ORDER BY category_id, array_position(CAST(:languages AS text[]), CAST(language AS text))
    """
)
