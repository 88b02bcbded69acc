"""A server of somebody else that is told of events, and takes them or not as a test wants."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.support.processes import free_port


@dataclass(frozen=True)
class Told:
    """One request, with the bytes that came and the answer that it got."""

    body: bytes
    headers: dict[str, str]
    status: int

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(self.body)
        return event


def takes_all(told: dict[str, Any]) -> int:
    return 200


@dataclass
class Receiver:
    url: str
    answers: Callable[[dict[str, Any]], int] = takes_all
    """The status for an event."""
    says: str = "thank you"
    headers: dict[str, str] = field(default_factory=dict)
    told: list[Told] = field(default_factory=list)
    """All that came, in the order in which it came."""
    speaks: asyncio.Event = field(default_factory=asyncio.Event)
    """While it is cleared, requests get no answer."""
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by every request, also while it is silent."""

    def __post_init__(self) -> None:
        self.speaks.set()

    @property
    def taken(self) -> list[Told]:
        return [told for told in self.told if told.status == 200]

    def sequences(self, key: str) -> list[int]:
        """Of the events of an order that were taken, in the order in which they came."""
        events = [told.event for told in self.taken]
        return [int(event["sequence"]) for event in events if event["partitionkey"] == key]

    async def hear(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.asked.set()
        await self.speaks.wait()
        status = self.answers(json.loads(body))
        self.told.append(Told(body, {name.lower(): value for name, value in request.headers.items()}, status))
        return web.Response(status=status, text=self.says, headers=self.headers)


@asynccontextmanager
async def a_receiver(**otherwise: Any) -> AsyncIterator[Receiver]:
    port = free_port()
    receiver = Receiver(url=f"http://127.0.0.1:{port}/hook", **otherwise)
    app = web.Application()
    app.router.add_post("/{path:.*}", receiver.hear)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield receiver
    finally:
        receiver.speaks.set()
        await runner.cleanup()
