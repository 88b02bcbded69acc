"""``sutler events follow``: a reader of the stream as others would write one, small enough to be copied."""

import asyncio
import json
from collections import OrderedDict
from collections.abc import AsyncIterator
from typing import Any

import typer

from providers.events import EventStream, StreamAway
from runtime.event_stream import stream_of
from runtime.settings import Settings

REMEMBERED = 100_000
"""Ids of events that were heard; what is told again comes much sooner than that many others."""


class Heard:
    """Which events were heard before. A reader with a database writes the id beside what the event has changed."""

    def __init__(self, most: int = REMEMBERED) -> None:
        self._ids: OrderedDict[str, None] = OrderedDict()
        self._most = most

    def is_news(self, event: dict[str, Any]) -> bool:
        if event["id"] in self._ids:
            return False
        self._ids[event["id"]] = None
        if len(self._ids) > self._most:
            self._ids.popitem(last=False)
        return True


async def news(stream: EventStream, begin: str) -> AsyncIterator[dict[str, Any]]:
    """Each event once, from there on."""
    heard = Heard()
    async for event in stream.read(begin):
        if heard.is_news(event):
            yield event


def follow(begin: str) -> int:
    """Print each event as a line of JSON until interrupted; the exit code."""

    async def print_news() -> None:
        stream = stream_of(Settings())
        try:
            async for event in news(stream, begin):
                typer.echo(json.dumps(event, ensure_ascii=False))
        finally:
            await stream.aclose()

    try:
        asyncio.run(print_news())
    except KeyboardInterrupt:
        return 0
    except ValueError as unclear:
        typer.echo(str(unclear), err=True)
        return 2
    except StreamAway as away:
        typer.echo(f"The stream does not answer. {away}", err=True)
        return 2
    return 0
