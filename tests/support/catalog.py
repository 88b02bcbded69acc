"""Goods to sell, written straight into the tables with their stock and its ledger entry."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import insert, text

from db.base import new_id
from db.catalog import Category, Price, Product, Variant
from db.engine import Sessions
from db.inventory import Stock, StockMovement
from domain.catalog import slug_of
from domain.inventory import StockLevel
from domain.money import Money


@dataclass(frozen=True, kw_only=True)
class VariantWanted:
    """A variant for ``a_product(variants=[…])``; price and stock default to the product's."""

    price: str | None = None
    stock: int | None = None
    sku: str | None = None
    name: str = ""
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class AVariant:
    variant_id: UUID
    sku: str
    price: Money
    stock: int


@dataclass(frozen=True, kw_only=True)
class AProduct:
    product_id: UUID
    slug: str
    name: str
    variants: list[AVariant]

    @property
    def variant_id(self) -> UUID:
        return self.variants[0].variant_id

    @property
    def sku(self) -> str:
        return self.variants[0].sku

    @property
    def price(self) -> Money:
        return self.variants[0].price


def unique(word: str) -> str:
    """A name that no other test uses, since all tests share one database."""
    return f"{word} {uuid4().hex[:12]}"


async def a_category(sessions: Sessions, *, name: str | None = None, parent_id: UUID | None = None) -> UUID:
    name = name or unique("Category")
    category_id = new_id()
    async with sessions.begin() as session:
        values = {"id": category_id, "parent_id": parent_id, "slug": slug_of(name), "name": name}
        await session.execute(insert(Category).values(values))
    return category_id


async def a_product(
    sessions: Sessions,
    *,
    price: str = "19.99",
    currency: str = "USD",
    stock: int = 10,
    name: str | None = None,
    description: str = "",
    brand: str | None = None,
    category_id: UUID | None = None,
    is_active: bool = True,
    variants: Sequence[VariantWanted] = (VariantWanted(),),
) -> AProduct:
    """A product that can be bought: one variant unless more are asked for, its stock on the ledger."""
    name = name or unique("Product")
    product = AProduct(
        product_id=new_id(),
        slug=slug_of(f"{name} {uuid4().hex[:12]}"),
        name=name,
        variants=[
            AVariant(
                variant_id=new_id(),
                sku=wanted.sku or f"SKU-{uuid4().hex[:12]}",
                price=Money.parse(wanted.price or price, currency),
                stock=stock if wanted.stock is None else wanted.stock,
            )
            for wanted in variants
        ],
    )
    async with sessions.begin() as session:
        await session.execute(
            insert(Product).values(
                id=product.product_id,
                slug=product.slug,
                name=name,
                description=description,
                brand=brand,
                category_id=category_id,
                is_active=is_active,
            )
        )
        await session.execute(insert(Variant), _variant_rows(product, variants))
        await session.execute(
            insert(Price),
            [{"variant_id": v.variant_id, "currency": currency, "amount": v.price.minor} for v in product.variants],
        )
        await session.execute(
            insert(Stock), [{"variant_id": v.variant_id, "on_hand": v.stock} for v in product.variants]
        )
        if received := [v for v in product.variants if v.stock]:
            await session.execute(insert(StockMovement), [_received(v) for v in received])
    return product


def _variant_rows(product: AProduct, wanted: Sequence[VariantWanted]) -> list[dict[str, Any]]:
    return [
        {
            "id": made.variant_id,
            "product_id": product.product_id,
            "sku": made.sku,
            "name": want.name,
            "options": dict(want.options),
            "position": position,
        }
        for position, (made, want) in enumerate(zip(product.variants, wanted, strict=True))
    ]


def _received(variant: AVariant) -> dict[str, Any]:
    return {
        "variant_id": variant.variant_id,
        "on_hand_change": variant.stock,
        "reserved_change": 0,
        "reason": "received",
        "actor": "test",
    }


async def stock_of(sessions: Sessions, variant_id: UUID) -> StockLevel:
    """What the shop says it has of the variant, over all locations."""
    return await _level(
        sessions, variant_id, "SELECT sum(on_hand), sum(reserved) FROM stock WHERE variant_id = :variant_id"
    )


async def ledger_of(sessions: Sessions, variant_id: UUID) -> StockLevel:
    """What the variant's ledger entries add up to; always the same as ``stock_of``."""
    return await _level(
        sessions,
        variant_id,
        "SELECT sum(on_hand_change), sum(reserved_change) FROM stock_movements WHERE variant_id = :variant_id",
    )


async def _level(sessions: Sessions, variant_id: UUID, query: str) -> StockLevel:
    async with sessions() as session:
        on_hand, reserved = (await session.execute(text(query), {"variant_id": variant_id})).one()
    return StockLevel(on_hand=on_hand or 0, reserved=reserved or 0)
