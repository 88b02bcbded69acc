"""What is counted for those who watch the shop: few rows each, found by indexes."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession


@dataclass(frozen=True, kw_only=True)
class Measures:
    orders_pending: float
    oldest_pending_seconds: float
    payments_unknown: float
    """Orders of which nobody knows whether they are paid."""
    provider_events_waiting: float
    """What a provider has told and no story has heard yet."""
    oldest_provider_event_seconds: float
    letters_waiting: float
    oldest_letter_seconds: float


async def measured(session: AsyncSession) -> Measures:
    return Measures(**(await session.execute(MEASURE)).mappings().one())


MEASURE = text(
    """
    WITH pending AS (
        SELECT count(*) AS orders, extract(epoch FROM clock_timestamp() - min(created_at)) AS seconds,
               count(*) FILTER (WHERE pending_step = 'payment_unknown') AS unknown
        FROM orders WHERE status = 'pending'
    ), events AS (
        SELECT count(*) AS untold, extract(epoch FROM clock_timestamp() - min(received_at)) AS seconds
        FROM webhook_events WHERE handled_at IS NULL
    ), mails AS (
        SELECT count(*) AS unsent, extract(epoch FROM clock_timestamp() - min(asked_at)) AS seconds
        FROM letters WHERE outcome IS NULL
    )
    SELECT pending.orders AS orders_pending, coalesce(pending.seconds, 0)::float8 AS oldest_pending_seconds,
           pending.unknown AS payments_unknown,
           events.untold AS provider_events_waiting,
           coalesce(events.seconds, 0)::float8 AS oldest_provider_event_seconds,
           mails.unsent AS letters_waiting, coalesce(mails.seconds, 0)::float8 AS oldest_letter_seconds
    FROM pending, events, mails
    """
)
