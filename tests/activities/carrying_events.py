"""A process that carries the events which wait in the outbox of a shop to where its settings say, once."""

import asyncio

from runtime.event_stream import stream_of
from runtime.resources import opened
from runtime.settings import Settings
from workers.events import events_of


async def carry() -> None:
    settings = Settings()
    async with opened(settings) as resources:
        stream = stream_of(settings)
        try:
            while await events_of(resources).carry_a_bundle(stream):
                pass
        finally:
            await stream.aclose()


if __name__ == "__main__":
    asyncio.run(carry())
