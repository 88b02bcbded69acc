"""Promotions for the demo: what ``sutler promotions demo`` does."""

import asyncio
from collections.abc import Iterable
from uuid import UUID

from rich.console import Console
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from db import promotions
from db.base import new_id
from db.engine import sessions_of
from db.promotions import NewCode
from domain.promotions import AmountOff, Items, On, Promotion
from providers.complete_journey import Coupon, coupons
from runtime.catalog import connected
from runtime.settings import Settings


def run_demo(count: int) -> int:
    """The exit code of ``sutler promotions demo``."""
    made, known = asyncio.run(make_demo(Settings(), count))
    Console().print(f"{made} promotions were made, {known} were there before.", highlight=False)
    return 0


async def make_demo(settings: Settings, count: int) -> tuple[int, int]:
    """How many were made of so many coupons, and how many were known; of those without goods in the shop none is."""
    found = coupons(count)
    async with connected(settings) as engine, sessions_of(engine).begin() as session:
        known = set(await session.scalars(KNOWN, {"codes": [coupon.code for coupon in found]}))
        new = [coupon for coupon in found if coupon.code not in known]
        made = [await _make(session, coupon, settings.shop.currency) for coupon in new]
    return sum(made), len(known)


KNOWN = text("SELECT code FROM promotion_codes WHERE code = ANY(CAST(:codes AS text[]))")


async def _make(session: AsyncSession, coupon: Coupon, currency: str) -> bool:
    variants = list(await session.scalars(VARIANTS, {"skus": sorted(coupon.skus)}))
    if not variants:
        return False
    made = promotion_of(coupon, variants, currency)
    await promotions.create(session, made, [NewCode(code=coupon.code)])
    return True


VARIANTS = text("SELECT id FROM variants WHERE sku = ANY(CAST(:skus AS text[]))")


def promotion_of(coupon: Coupon, variants: Iterable[UUID], currency: str) -> Promotion:
    """Once in an order, off the goods that it names. Its campaign was in 2017, so the demo leaves the dates out."""
    return Promotion(
        id=new_id(),
        name=f"Coupon {coupon.upc} of campaign {coupon.campaign}",
        benefit=AmountOff(amounts={currency: coupon.cents}, on=On.ORDER),
        items=Items(variants=frozenset(variants)),
        needs_code=True,
    )
