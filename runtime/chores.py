"""What a process does beside its work, again and again, for as long as it lives."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from sqlalchemy.exc import DBAPIError
from temporalio.service import RPCError

log = structlog.get_logger()

PAUSE_SECONDS = 2.0


async def kept_up(chore: Callable[[], Awaitable[object]], *, name: str, pause_seconds: float = PAUSE_SECONDS) -> None:
    """Do the chore with a pause between two times, until cancelled; what goes wrong is logged, and tried again."""
    while True:
        await asyncio.sleep(pause_seconds)
        try:
            await chore()
        except (DBAPIError, RPCError, OSError, TimeoutError) as error:
            log.warning("chore_put_off", chore=name, error=type(error).__name__)
        except Exception:  # one order that nobody foresaw must not end the care for all others
            log.exception("chore_failed", chore=name)
