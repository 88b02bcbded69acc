"""The catalogue: categories, products, variants and their prices."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Computed,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    SmallInteger,
    String,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, Id, Now, one_of
from domain.catalog_attributes import AttributeKind

CATALOGUE_LOCK = 7_283_001
"""Advisory lock of those who change the category tree: the tree is read, decided upon and written in three moves."""


class Category(Base):
    __tablename__ = "categories"

    id: Mapped[Id]
    parent_id: Mapped[UUID | None] = mapped_column(ForeignKey("categories.id"), index=True)
    slug: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    position: Mapped[int] = mapped_column(server_default=text("0"))
    created_at: Mapped[Now]
    updated_at: Mapped[Now]


class Product(Base):
    __tablename__ = "products"

    id: Mapped[Id]
    slug: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    description: Mapped[str] = mapped_column(server_default="")
    brand: Mapped[str | None]
    category_id: Mapped[UUID | None] = mapped_column(ForeignKey("categories.id"))
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    version: Mapped[int] = mapped_column(server_default=text("1"))
    created_at: Mapped[Now]
    updated_at: Mapped[Now]
    archived_at: Mapped[datetime | None]
    tags: Mapped[list[str]] = mapped_column(ARRAY(String), server_default=text("'{}'"))
    published_from: Mapped[datetime | None]
    published_until: Mapped[datetime | None]
    tax_class: Mapped[str] = mapped_column(server_default=text("'standard'"))
    """How it is taxed where the region has rates of this class."""

    __table_args__ = (
        CheckConstraint("tax_class ~ '^[a-z][a-z0-9_]{0,49}$'", name="tax_class_form"),
        CheckConstraint("name <> ''", name="name_not_empty"),
        CheckConstraint("published_until > published_from", name="appears_before_it_disappears"),
    )


IS_IN_THE_SHOP = """(products.is_active AND products.archived_at IS NULL
                     AND (products.published_from IS NULL OR products.published_from <= now())
                     AND (products.published_until IS NULL OR products.published_until > now()))"""
"""SQL for whether a product can be seen and bought at this moment."""

CATEGORIES_OF_PRODUCT = """ARRAY(
               WITH RECURSIVE above (id, parent_id) AS (
                   SELECT id, parent_id FROM categories WHERE id = products.category_id
                   UNION ALL
                   SELECT categories.id, categories.parent_id
                   FROM categories JOIN above ON categories.id = above.parent_id
               )
               SELECT id FROM above
           )"""
"""SQL for a product's category and all above it."""


class Attribute(Base):
    """Something that can be said of products, and which values it takes."""

    __tablename__ = "attributes"

    code: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    kind: Mapped[str]

    __table_args__ = (
        CheckConstraint("code ~ '^[a-z][a-z0-9_]{0,49}$'", name="code_form"),
        CheckConstraint(one_of("kind", AttributeKind), name="kind"),
        UniqueConstraint("code", "kind", name="uq_attributes_code_kind"),
    )


class AttributeChoice(Base):
    __tablename__ = "attribute_choices"

    attribute: Mapped[str] = mapped_column(ForeignKey("attributes.code", ondelete="CASCADE"), primary_key=True)
    value: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int]


class ProductAttribute(Base):
    """What is said of a product; the value is what ``domain.catalog_attributes.written`` makes of it."""

    __tablename__ = "product_attributes"

    product_id: Mapped[UUID] = mapped_column(ForeignKey("products.id", ondelete="CASCADE"), primary_key=True)
    attribute: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    value: Mapped[str]
    choice: Mapped[str | None] = mapped_column(Computed("CASE WHEN kind = 'choice' THEN value END", persisted=True))

    __table_args__ = (
        CheckConstraint(
            "CASE kind WHEN 'number' THEN value ~ '^-?(0|[1-9][0-9]*)([.][0-9]*[1-9])?$' "
            "WHEN 'boolean' THEN value IN ('true', 'false') "
            "WHEN 'date' THEN value ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}$' "
            "ELSE value <> '' AND char_length(value) <= 200 END",
            name="value_of_its_kind",
        ),
        ForeignKeyConstraint(
            ["attribute", "kind"], ["attributes.code", "attributes.kind"], name="fk_product_attributes_attribute_kind"
        ),
        ForeignKeyConstraint(
            ["attribute", "choice"],
            ["attribute_choices.attribute", "attribute_choices.value"],
            name="fk_product_attributes_attribute_choice",
        ),
        Index("ix_product_attributes_attribute_value", "attribute", "value"),
    )


class Variant(Base):
    """What is priced, stocked and sold."""

    __tablename__ = "variants"

    id: Mapped[Id]
    product_id: Mapped[UUID] = mapped_column(ForeignKey("products.id"), index=True)
    sku: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str] = mapped_column(server_default="")
    options: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    position: Mapped[int] = mapped_column(server_default=text("0"))
    low_stock: Mapped[int | None]
    """So many units, or fewer, are few; ``None`` when the shop's own line holds."""
    is_hot: Mapped[bool] = mapped_column(server_default=text("false"))
    """Staff expect far more customers than units, so checkouts pass the admission gate."""
    weight_grams: Mapped[int] = mapped_column(server_default=text("0"))
    created_at: Mapped[Now]
    updated_at: Mapped[Now]

    __table_args__ = (
        CheckConstraint("low_stock >= 0", name="low_stock_not_negative"),
        CheckConstraint("weight_grams >= 0", name="weight_not_negative"),
        Index("ix_variants_is_hot", "id", postgresql_where=text("is_hot")),
    )


class Price(Base):
    """The price of one unit of a variant in one currency, in minor units."""

    __tablename__ = "prices"

    variant_id: Mapped[UUID] = mapped_column(ForeignKey("variants.id", ondelete="CASCADE"), primary_key=True)
    currency: Mapped[str] = mapped_column(primary_key=True)
    amount: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (
        CheckConstraint("amount >= 0", name="amount_not_negative"),
        CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency_code"),
        Index("ix_prices_currency_amount", "currency", "amount", "variant_id"),
    )


class ListedProduct(Base):
    """What lists and searches look at: one narrow row for each product that is in the shop and has a price.

    Triggers keep it true, whoever changes products, variants or categories; nobody else writes here.
    """

    __tablename__ = "listed_products"

    product_id: Mapped[UUID] = mapped_column(ForeignKey("products.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str]
    brand: Mapped[str | None]
    category_id: Mapped[UUID | None]
    name_words: Mapped[int] = mapped_column(SmallInteger)
    price_steps: Mapped[list[str]] = mapped_column(ARRAY(String))
    """The ranges of the price facet that its variants are in, such as ``USD:3``."""
    lowest_prices: Mapped[dict[str, int]] = mapped_column(JSONB, server_default=text("'{}'"))
    """By currency, minor units, of its cheapest variant."""
    highest_prices: Mapped[dict[str, int]] = mapped_column(JSONB, server_default=text("'{}'"))
    labels: Mapped[list[str]] = mapped_column(ARRAY(String), server_default=text("'{}'"))
    """Its tags as ``tag:sale``, its attributes as ``colour=red``."""
    published_from: Mapped[datetime | None]
    published_until: Mapped[datetime | None]
    title: Mapped[Any] = mapped_column(TSVECTOR)
    """The words of its name and brand."""
    document: Mapped[Any] = mapped_column(TSVECTOR)
    """All of its words: also those of its variants, its description, its category and the categories above."""

    __table_args__ = (
        Index("ix_listed_products_labels", "labels", postgresql_using="gin"),
        Index(
            "ix_listed_products_published_from",
            "published_from",
            postgresql_where=text("published_from IS NOT NULL"),
        ),
        Index(
            "ix_listed_products_published_until",
            "published_until",
            postgresql_where=text("published_until IS NOT NULL"),
        ),
        Index("ix_listed_products_title", "title", postgresql_using="gin"),
        Index("ix_listed_products_document", "document", postgresql_using="gin"),
        Index("ix_listed_products_name_words_product_id", "name_words", text("product_id DESC")),
        Index("ix_listed_products_name_product_id", "name", "product_id"),
        Index("ix_listed_products_brand_product_id", "brand", "product_id"),
        Index("ix_listed_products_category_id_product_id", "category_id", "product_id"),
    )


class SearchWord(Base):
    """A word of listed products, and in how many titles and documents it occurs; triggers count."""

    __tablename__ = "search_words"

    word: Mapped[str] = mapped_column(String(collation="C"), primary_key=True)
    titles: Mapped[int]
    documents: Mapped[int]

    __table_args__ = (
        CheckConstraint("titles >= 0 AND documents >= titles", name="counted"),
        Index("ix_search_words_trigrams", "word", postgresql_using="gin", postgresql_ops={"word": "gin_trgm_ops"}),
    )


class SearchBrand(Base):
    """A brand of listed products, as it is written and as it is looked for; triggers count."""

    __tablename__ = "search_brands"

    brand: Mapped[str] = mapped_column(primary_key=True)
    plain: Mapped[str] = mapped_column(String(collation="C"), index=True)
    products: Mapped[int]

    __table_args__ = (CheckConstraint("products >= 0", name="counted"),)


def sold_name(called: str) -> str:
    """SQL for what carts and orders call a variant: what the product is called, and its own name where it says more."""
    return f"CASE WHEN variants.name IN ('', products.name) THEN {called} ELSE {called} || ' – ' || variants.name END"


SOLD_NAME = sold_name("products.name")
"""In the shop's own language."""
