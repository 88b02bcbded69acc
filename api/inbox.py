"""Events of partners whose story could not be told when they came: told as soon as it can be.

A loop beside the requests of every API process sees to them; a lock in Postgres lets one process at a time look.
"""

from functools import partial

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio.service import RPCError

from api.stories import Stories
from db import payments, tracking
from db.engine import bit_by_bit
from domain.errors import Refusal
from domain.payments import Notice
from domain.shipping import MoveParcel, ShipmentState
from domain.tracking import Outcome
from runtime.chores import kept_up
from runtime.resources import Resources

log = structlog.get_logger()

OLD_ENOUGH_SECONDS = 5.0
"""Younger events are still in the hands of the request that brought them."""
ONE_AT_A_TIME = 7_305_114
FORGETTING_PAUSE_SECONDS = 600.0
FORGOTTEN_AT_A_TIME = 500


async def told(notice: Notice, resources: Resources, stories: Stories) -> None:
    """Tell the story, and note that it was told; raises ``EngineAwayError`` when it cannot be."""
    await stories.tell(notice)
    async with resources.autocommit() as session:
        await payments.handled(session, resources.payments.name, notice.event_id)


async def arrived(provider: str, message_id: str, resources: Resources, stories: Stories) -> None:
    """Follow a carrier's message; the order hears of an arrival as it hears of an operator's note of it.

    Raises ``EngineAwayError`` when it cannot be told now.
    """
    async with resources.sessions.begin() as session:
        arrival = await tracking.follow(session, provider, message_id)
    if arrival is None:
        return
    parcel = MoveParcel(order_id=arrival.order_id, fulfillment_id=arrival.fulfillment_id, actor=f"carrier:{provider}")
    update_id = f"{provider}/{message_id}"
    outcome = Outcome.NOTED
    try:
        await stories.ask(arrival.order_id, "deliver", parcel, result_type=ShipmentState, update_id=update_id)
    except Refusal as refusal:
        if refusal.code == "unavailable":
            return
        outcome = Outcome.REFUSED
    async with resources.sessions.begin() as session:
        await tracking.told(session, arrival, outcome)


async def see_to_the_unheard(resources: Resources, stories: Stories) -> None:
    """Until cancelled."""
    await kept_up(lambda: look_once(resources, stories), name="inbox")


async def look_once(resources: Resources, stories: Stories) -> int:
    """How many events were told; one that the engine does not take holds up no other."""
    async with resources.sessions.begin() as session:
        if not await session.scalar(text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": ONE_AT_A_TIME}):
            return 0
        waiting = await payments.unheard(session, resources.payments.name, older_than=OLD_ENOUGH_SECONDS)
        untold = 0
        for notice in waiting:
            try:
                await told(notice, resources, stories)
            except RPCError as error:
                untold += 1
                log.error("event_not_told", event_id=notice.event_id, error=error.message)
        return len(waiting) - untold + await _follow_parcels(session, resources, stories)


async def forget_the_old(resources: Resources) -> None:
    """Until cancelled."""
    await kept_up(lambda: forget(resources), name="old events", pause_seconds=FORGETTING_PAUSE_SECONDS)


async def forget(resources: Resources) -> None:
    """What was told so long ago that nobody tells it again."""
    settings = resources.settings
    for forget_some in (
        partial(payments.forget_events, kept=settings.payments.events_kept),
        partial(tracking.forget, kept=settings.carriers.messages_kept),
    ):
        await bit_by_bit(resources.sessions, partial(forget_some, most=FORGOTTEN_AT_A_TIME))


async def _follow_parcels(session: AsyncSession, resources: Resources, stories: Stories) -> int:
    followed = 0
    for provider in resources.carriers:
        for message_id in await tracking.waiting(session, provider, older_than=OLD_ENOUGH_SECONDS):
            try:
                await arrived(provider, message_id, resources, stories)
                followed += 1
            except RPCError as error:
                log.error("message_not_followed", message_id=message_id, error=error.message)
    return followed
