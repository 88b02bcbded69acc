"""Promotions in the tables."""

from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import text

from db import promotions
from db.base import new_id
from db.engine import Sessions
from db.promotions import NewCode
from domain.promotions import Benefit, On, PercentOff, Promotion

TEN_PERCENT = PercentOff(percent=Decimal(10), on=On.ORDER)


def a_code() -> str:
    return f"TEST-{uuid4().hex[:12].upper()}"


async def a_promotion(
    sessions: Sessions,
    benefit: Benefit = TEN_PERCENT,
    *,
    codes: list[NewCode] | None = None,
    usage_limit: int | None = None,
    usage_limit_per_customer: int | None = None,
    **rule: Any,
) -> Promotion:
    """A promotion behind a code, so that it concerns nobody else's carts."""
    facts = {"id": new_id(), "name": "Ten percent for everybody", "benefit": benefit, "needs_code": True, **rule}
    promotion = Promotion(**facts)
    async with sessions.begin() as session:
        await promotions.create(
            session,
            promotion,
            codes or [],
            usage_limit=usage_limit,
            usage_limit_per_customer=usage_limit_per_customer,
        )
    return promotion


async def enter(sessions: Sessions, cart_id: UUID, *codes: str) -> None:
    """As if the customer had typed them, whether they apply or not."""
    async with sessions.begin() as session:
        await session.execute(
            text("UPDATE carts SET promotion_codes = :codes WHERE id = :id"), {"codes": list(codes), "id": cart_id}
        )


async def counted(sessions: Sessions, promotion: Promotion) -> tuple[int, int]:
    """Uses as they are counted, and as there are orders that have them."""
    async with sessions() as session:
        row = await promotions.one(session, promotion.id)
    return row["uses"], row["used"]
