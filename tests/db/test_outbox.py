"""Events get their places when they are committed, and none is passed over."""

import asyncio
from datetime import timedelta
from uuid import uuid4

from sqlalchemy import text

from db import orders, outbox
from db.orders import record
from domain.events import Published
from runtime.resources import Resources
from tests.support.catalog import a_product
from tests.support.orders import a_placed_order


async def publish(resources: Resources) -> None:
    """Until nothing waits; another one publishing meanwhile harms nobody."""
    while True:
        async with resources.sessions.begin() as session:
            if not await outbox.publish(session, most=500):
                return


async def events_of(resources: Resources, key: str) -> list[Published]:
    async with resources.sessions() as session:
        return await outbox.published(session, after=0, most=1000, key=key)


async def test_who_is_committed_last_comes_last_and_is_not_passed_over(resources: Resources) -> None:
    early, late = f"pi_{uuid4().hex}", f"pi_{uuid4().hex}"
    facts = {"reference": "pi", "amount": 100, "currency": "USD", "how": "refunded"}
    async with resources.sessions.begin() as first:
        await outbox.tell(first, "payment.late_money_returned", late, facts)  # takes its number first
        async with resources.sessions.begin() as second:
            await outbox.tell(second, "payment.late_money_returned", early, facts)
        await publish(resources)
        [seen] = await events_of(resources, early)
        assert await events_of(resources, late) == []

    await publish(resources)
    [behind] = await events_of(resources, late)
    async with resources.sessions() as session:
        follows = await outbox.published(session, after=seen.position, most=10_000)
        numbers = await session.execute(
            text("SELECT key, id FROM outbox WHERE key IN (:early, :late) ORDER BY id"), {"early": early, "late": late}
        )
        assert [row.key for row in numbers] == [late, early]
    assert behind.id in {event.id for event in follows}


async def test_events_of_one_order_are_published_in_their_order_by_however_many(resources: Resources) -> None:
    product = await a_product(resources.sessions)
    order = await a_placed_order(resources.sessions, (product.variant_id, 1))

    async def note() -> None:
        async with resources.sessions.begin() as session:
            await orders.locked(session, order.order_id)
            await record(session, order.order_id, "order.payment_renewed")
        await publish(resources)

    await asyncio.gather(*(note() for _ in range(10)))

    events = await events_of(resources, str(order.order_id))
    assert [event.data["sequence"] for event in events] == list(range(1, 12))


async def test_places_are_given_without_a_gap(resources: Resources) -> None:
    await publish(resources)
    async with resources.sessions() as session:
        gaps = text("SELECT max(position) - min(position) + 1 - count(*) FROM outbox WHERE position IS NOT NULL")
        assert await session.scalar(gaps) == 0


async def test_what_is_undone_is_never_told(resources: Resources) -> None:
    key = f"pi_{uuid4().hex}"
    async with resources.sessions() as session:
        facts = {"reference": key, "amount": 1, "currency": "USD", "how": "voided"}
        await outbox.tell(session, "payment.late_money_returned", key, facts)
        await session.rollback()
    await publish(resources)

    assert await events_of(resources, key) == []


async def test_what_was_not_carried_is_kept_however_old_it_is(resources: Resources) -> None:
    await publish(resources)
    async with resources.sessions() as session:
        assert await outbox.forget(session, "nobody carries there", kept=timedelta(0), most=1_000_000) == 0
        assert await outbox.forget(session, None, kept=timedelta(days=1), most=1_000_000) == 0
        await outbox.begin_carrying(session, "here")
        first = await session.scalar(text("SELECT min(position) FROM outbox")) or 0
        for reader in ("here", "webhooks"):  # nobody may have written them down for endpoints in this session
            await outbox.carried(session, reader, up_to=first)
        assert await outbox.forget(session, "here", kept=timedelta(0), most=1_000_000) == 1
        await session.rollback()
