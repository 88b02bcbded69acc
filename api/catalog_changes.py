"""What clients send of products, as what the catalogue understands."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from api import catalog_schemas as schemas
from db import catalog_attributes, catalog_changes
from db.catalog_changes import NewVariant, VariantChange
from domain.money import Money

Priced = schemas.NewProduct | schemas.NewVariant | schemas.ProductChange | schemas.VariantChange

OF_A_PRODUCT = {
    *("name", "description", "brand", "category_id", "is_active"),
    *("tags", "published_from", "published_until", "tax_class"),
}
ONLY_VARIANT = {"sku", "weight_grams"}
OF_A_VARIANT = {"sku", "name", "options", "weight_grams"}


async def create_product(session: AsyncSession, product_id: UUID, data: schemas.NewProduct, *, actor: str) -> None:
    """The product with its variants and what is said of it; content when it was made before."""
    fields = data.model_dump(include=OF_A_PRODUCT)
    await catalog_changes.create_product(session, product_id, fields, new_variants(data), actor=actor)
    await catalog_attributes.say(session, product_id, data.attributes)


async def change_product(
    session: AsyncSession,
    product_id: UUID,
    data: schemas.ProductChange,
    *,
    expected: catalog_changes.Versions,
    actor: str,
) -> None:
    """Changes what is given."""
    await catalog_changes.change_product(
        session,
        product_id,
        data.model_dump(include=OF_A_PRODUCT, exclude_unset=True),
        changed=changed_variants(data),
        added=added_variants(data),
        expected=expected,
        actor=actor,
    )
    await catalog_attributes.say(session, product_id, data.attributes or {})


def currency_of(data: schemas.NewProduct) -> str:
    return new_variants(data)[0].prices[0].currency


def new_variants(data: schemas.NewProduct) -> list[NewVariant]:
    """The variants of a new product; its own price and stock when it has only one."""
    if data.variants is not None:
        return [_new_variant(variant) for variant in data.variants]
    return [
        NewVariant(
            prices=_prices(data),
            sku=data.sku,
            options=data.options,
            stock=data.stock_quantity,
            weight_grams=data.weight_grams,
        )
    ]


def _new_variant(data: schemas.NewVariant) -> NewVariant:
    return NewVariant(
        prices=_prices(data),
        sku=data.sku,
        name=data.name,
        options=data.options,
        stock=data.stock_quantity,
        weight_grams=data.weight_grams,
    )


def _prices(data: Priced) -> list[Money]:
    given = data.prices if data.prices is not None else [data.price]
    return [price.as_money() for price in given if price is not None]


def added_variants(data: schemas.ProductChange) -> list[NewVariant]:
    """The variants that the product did not have."""
    return [
        NewVariant(
            prices=_prices(variant),
            sku=variant.sku,
            name=variant.name or "",
            options=variant.options or {},
            stock=variant.stock_quantity or 0,
            weight_grams=variant.weight_grams or 0,
        )
        for variant in data.variants or []
        if variant.id is None
    ]


def changed_variants(data: schemas.ProductChange) -> list[VariantChange]:
    """What changes about variants that the product has: the only one's price and SKU, or those named by id."""
    changes = [
        VariantChange(
            pointer=f"/variants/{number}",
            variant_id=variant.id,
            fields=variant.model_dump(include=OF_A_VARIANT, exclude_none=True),
            prices=_prices(variant),
            has_no_others=variant.prices is not None,
        )
        for number, variant in enumerate(data.variants or [])
        if variant.id is not None
    ]
    of_the_only_one = data.model_fields_set & {"price", "prices", *ONLY_VARIANT}
    if of_the_only_one:
        changes.append(
            VariantChange(
                pointer=f"/{min(of_the_only_one)}",
                variant_id=None,
                fields=data.model_dump(include=ONLY_VARIANT, exclude_none=True),
                prices=_prices(data),
                has_no_others=data.prices is not None,
            )
        )
    return changes
