"""Granian's own protocol, RSGI, in front of an ASGI application.

RSGI hands an answer over in one call and makes no dictionary of a request, so what is ready costs less than by ASGI.
All else is put into ASGI's words here. See https://github.com/emmett-framework/granian/blob/master/docs/spec/RSGI.md.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, suppress
from types import CoroutineType
from typing import Any

from granian.rsgi import HTTPProtocol, ProtocolClosed
from granian.rsgi import Scope as Asked
from litestar.types import ASGIApp, HTTPReceiveMessage, HTTPScope, HTTPSendMessage

Texts = list[tuple[str, str]]

REQUEST = "future_watcher"
"""What Granian calls the coroutine of a request."""

UNREADABLE = b"\xef\xbf\xbd"
"""In place of a value that is not ASCII, which RSGI leaves out: whoever wants to understand it shall refuse it."""


class Lifespan:
    """Opens what the application needs before the first request and closes it after the last, in one task."""

    def __init__(self, living: AbstractAsyncContextManager[Any]) -> None:
        self._living = living
        self._ends = asyncio.Event()
        self._life: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Raises what the application raises when it cannot start."""
        has_begun = asyncio.Event()
        self._life = asyncio.create_task(self._live(has_begun))
        waiting = asyncio.create_task(has_begun.wait())
        await asyncio.wait({self._life, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if self._life.done():
            waiting.cancel()
            self._life.result()

    async def end(self) -> None:
        if self._life is not None:
            self._ends.set()
            await self._life

    async def _live(self, has_begun: asyncio.Event) -> None:
        async with self._living:
            has_begun.set()
            await self._ends.wait()


def begun_at_once(loop: asyncio.AbstractEventLoop, work: "CoroutineType[Any, Any, Any]", **options: Any) -> Any:
    """A task factory with which requests begin at once and become tasks only where they go :func:`on_in_a_task`.

    So a ready answer costs no task and no further turn of the loop.
    """
    if work.__name__ == REQUEST:
        try:
            work.send(None)
        except StopIteration:
            return None
    return asyncio.Task(work, loop=loop, **options)


async def on_in_a_task() -> None:
    """From here on others may be waited for: a request has to await this before it awaits anything else."""
    await asyncio.sleep(0)


def when_told_to_stop(loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> None:
    """Beside what the server does then: it waits for the end of all answers before it ends the lifespan.

    Answers that would never end have to hear of it sooner.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _first(lambda: loop.call_soon_threadsafe(stop), signal.getsignal(number)))


def _first(ours: Callable[[], object], then: Any) -> Callable[[int, Any], None]:
    def told(number: int, frame: Any) -> None:
        ours()
        if callable(then):
            then(number, frame)

    return told


class Exchange:
    """One request and its answer, as ASGI knows them."""

    def __init__(self, asked: Asked, proto: HTTPProtocol, on_top: Callable[[], Texts]) -> None:
        self._on_top = on_top
        self.scope = scope_of(asked)
        self._proto = proto
        self._is_chunked = "transfer-encoding" in asked.headers
        self._missing = 0 if self._is_chunked else int(asked.headers.get("content-length", 0))
        self._pieces: AsyncIterator[bytes] | None = aiter(proto) if self._is_chunked or self._missing else None
        self._is_told = False
        self._status = 0
        self._headers: Texts = []
        self._stream: Any = None

    async def receive(self) -> HTTPReceiveMessage:
        if self._pieces is not None:
            return await self._next_piece(self._pieces)
        if not self._is_told:
            return self._end()
        await self._proto.client_disconnect()
        return {"type": "http.disconnect"}

    async def _next_piece(self, pieces: AsyncIterator[bytes]) -> HTTPReceiveMessage:
        if piece := await _next(pieces):
            self._missing -= len(piece)
            return {"type": "http.request", "body": piece, "more_body": True}
        self._pieces = None
        if await self._broke_off(pieces):
            self._is_told = True
            return {"type": "http.disconnect"}
        return self._end()

    async def _broke_off(self, pieces: AsyncIterator[bytes]) -> bool:
        """A body ends with one empty piece; where it broke off there is one in place of what is missing, too."""
        if not self._is_chunked:
            return self._missing > 0
        return await _next(pieces) is not None

    def _end(self) -> HTTPReceiveMessage:
        self._is_told = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(self, message: HTTPSendMessage) -> None:
        """What nobody waits for any more is thrown away."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in message["headers"]]
            self._headers += self._on_top()
        elif message["type"] == "http.response.body":
            with suppress(ProtocolClosed):
                await self._send_body(message["body"], is_last=not message.get("more_body", False))

    async def _send_body(self, body: bytes, *, is_last: bool) -> None:
        if self._stream is None and is_last:
            if body:
                self._proto.response_bytes(self._status, self._headers, body)
            else:
                self._proto.response_empty(self._status, self._headers)
            return
        if self._stream is None:
            self._stream = self._proto.response_stream(self._status, self._headers)
        if body:
            await self._stream.send_bytes(body)
        if is_last:
            self.close()

    def close(self) -> None:
        """A stream ends when nobody holds it any more."""
        self._stream = None


async def _next(pieces: AsyncIterator[bytes]) -> bytes | None:
    """``None`` after the end. Not ``anext`` with a default, which crashes where the end is told before anyone waits."""
    try:
        return await anext(pieces)
    except StopAsyncIteration:
        return None


async def tell(app: ASGIApp, asked: Asked, proto: HTTPProtocol, on_top: Callable[[], Texts]) -> HTTPScope:
    """Have the application answer, with the headers that are ``on_top`` then; its scope, for what it noted there."""
    exchange = Exchange(asked, proto, on_top)
    try:
        await app(exchange.scope, exchange.receive, exchange.send)  # type: ignore[arg-type]
    finally:
        exchange.close()
    return exchange.scope


def scope_of(asked: Asked) -> HTTPScope:
    return {  # type: ignore[typeddict-item]  # Litestar adds what only it knows
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": asked.http_version,
        "server": peer_of(asked.server),
        "client": peer_of(asked.client),
        "scheme": asked.scheme,
        "method": asked.method,
        "root_path": "",
        "path": asked.path,
        "raw_path": asked.path.encode(),
        "query_string": asked.query_string.encode("latin-1"),
        "headers": headers_of(asked),
        "extensions": {},
        "state": {},
    }


def headers_of(asked: Asked) -> list[tuple[bytes, bytes]]:
    names, read = asked.headers.keys(), asked.headers.items()
    unread = set(names).difference(name for name, _ in read)
    headers = [(name.encode(), value.encode()) for name, value in read]
    return headers + [(name.encode(), UNREADABLE) for name in unread]


def peer_of(address: str) -> tuple[str, int]:
    port = address.rpartition(":")[2]
    return host_of(address), int(port) if port.isdigit() else 0


def host_of(address: str) -> str:
    """Without its port, and an IPv6 address without the brackets that keep the two apart."""
    return address.rpartition(":")[0].strip("[]")
