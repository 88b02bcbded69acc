"""What carriers have told is not kept for ever."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from db import tracking
from db.base import new_id
from db.engine import bit_by_bit
from runtime.resources import Resources

TOLD = text("""
    INSERT INTO carrier_messages (id, provider, message_id, carrier, tracking_number, at, received_at)
    VALUES (coalesce(CAST(:id AS uuid), uuidv7(-CAST(:ago AS interval))), 'easypost', gen_random_uuid()::text, 'UPS',
            '1Z', now(), now() - CAST(:ago AS interval))
    RETURNING id
""")


async def test_only_messages_of_long_ago_are_forgotten(resources: Resources) -> None:
    async with resources.sessions.begin() as session:

        async def told(ago: timedelta, message_id: UUID | None = None) -> UUID:
            made: UUID = (await session.execute(TOLD, {"ago": ago, "id": message_id})).scalar_one()
            return made

        old, recent = await told(timedelta(days=900)), await told(timedelta(0), new_id())
        forgotten = await tracking.forget(session, kept=timedelta(days=899), most=1)
        again = await tracking.forget(session, kept=timedelta(days=899), most=1)
        left = await session.scalars(
            text("SELECT id FROM carrier_messages WHERE id = ANY(:ids)"), {"ids": [old, recent]}
        )

    assert (forgotten, again) == (1, 0)
    assert left.all() == [recent]


async def test_many_are_forgotten_bit_by_bit_each_in_a_transaction_of_its_own(resources: Resources) -> None:
    async with resources.sessions.begin() as session:
        for _ in range(3):
            await session.execute(TOLD, {"ago": timedelta(days=900), "id": None})
    forgotten: list[int] = []
    transactions: set[str] = set()

    async def forget_two(session: AsyncSession) -> int:
        transactions.add((await session.execute(text("SELECT pg_current_xact_id()::text"))).scalar_one())
        forgotten.append(await tracking.forget(session, kept=timedelta(days=899), most=2))
        return forgotten[-1]

    await bit_by_bit(resources.sessions, forget_two)

    assert forgotten == [2, 1, 0]
    assert len(transactions) == 3
