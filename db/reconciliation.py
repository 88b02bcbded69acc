"""Our side of the money, as it is compared with the provider's."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncSession

OURS = """
    SELECT payments.id AS payment_id, payments.order_id, payments.provider, payments.currency,
           payments.provider_reference AS reference,
           payments.status AS payment_status, payments.authorized, payments.captured, payments.refunded,
           payments.refunding, payments.credited, orders.number, orders.status, (
               SELECT coalesce(sum(charge), 0)::bigint FROM fulfillments
               WHERE fulfillments.order_id = orders.id AND fulfillments.status = 'pending'
           ) AS charging, (
               SELECT coalesce(sum(amount), 0)::bigint FROM disputes
               WHERE disputes.order_id = orders.id AND disputes.status <> 'won'
           ) AS disputed,
           greatest(orders.updated_at, payments.updated_at) <= now() - make_interval(secs => :patience) AS is_quiet,
           payments.authorized > 0 AND orders.status NOT IN ('pending', 'cancelled') AS is_believed
    FROM payments JOIN orders ON orders.id = payments.order_id
"""


async def by_payment(session: AsyncSession, payments: Sequence[UUID], *, patience: float) -> dict[UUID, RowMapping]:
    """What we believe of these payments, by our ids."""
    found = await session.execute(BY_PAYMENT, {"payments": list(payments), "patience": patience})
    return {row["payment_id"]: row for row in found.mappings()}


BY_PAYMENT = text(f"{OURS} WHERE payments.id = ANY(:payments)")


async def by_reference(session: AsyncSession, reference: str, *, patience: float) -> RowMapping | None:
    found = await session.execute(BY_REFERENCE, {"reference": reference, "patience": patience})
    return found.mappings().one_or_none()


BY_REFERENCE = text(f"{OURS} WHERE payments.provider_reference = :reference")


async def believed_between(
    session: AsyncSession, provider: str, since: datetime, until: datetime, *, patience: float
) -> Sequence[RowMapping]:
    """Payments of that span of which we believe that this provider has made them."""
    found = await session.execute(
        BELIEVED, {"provider": provider, "since": since, "until": until, "patience": patience}
    )
    return found.mappings().all()


BELIEVED = text(
    f"""
    SELECT * FROM ({OURS} WHERE payments.created_at >= :since AND payments.created_at < :until) AS ours
    WHERE is_believed AND reference IS NOT NULL AND provider = :provider
    """  # noqa: S608 (constant text)
)
