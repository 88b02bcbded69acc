"""Products appear and disappear at their times: the clock tells the cache, as Postgres tells it of changes."""

import asyncio

import structlog

from api.catalog_cache import OUTAGES, CatalogCache
from db import catalog_views
from db.catalog_news import News
from db.engine import Sessions
from db.waiting import happens

log = structlog.get_logger()

PAUSE_SECONDS = 1.0
"""How long after an outage the clock is looked at again."""


async def keep_time(catalog: CatalogCache, sessions: Sessions) -> None:
    """Until cancelled. Only Postgres' clock counts, since queries go by it, too."""
    seen = None
    while True:
        catalog.has_new_times.clear()
        try:
            async with sessions() as session:
                seen = seen or await catalog_views.now(session)
                moment = await catalog_views.next_moment(session, seen)
        except OUTAGES as error:
            log.warning("catalog_clock_stopped", error=type(error).__name__)
            await asyncio.sleep(PAUSE_SECONDS)
            continue
        if moment is not None and moment.seconds <= 0:
            seen = moment.at
            catalog.forget(News(moment.products, is_listing=True))
        else:
            await happens(catalog.has_new_times, within=None if moment is None else moment.seconds)
