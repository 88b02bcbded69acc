"""Load without a client library in the way: kept-alive connections that send the same request again and again."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import cycle, islice


@dataclass(frozen=True)
class Series:
    """What one series of pieces of work took."""

    per_second: float
    p50_ms: float
    p99_ms: float

    @classmethod
    def of(cls, times: list[float], took: float) -> "Series":
        ordered = sorted(times)
        return cls(
            per_second=len(times) / took,
            p50_ms=statistics.median(ordered) * 1000,
            p99_ms=ordered[int(len(ordered) * 0.99)] * 1000,
        )


async def measured(work: Callable[[], Awaitable[None]], at_a_time: int, count: int) -> Series:
    """``count`` pieces of work, ``at_a_time`` in parallel; each hand starts the next as soon as one is done."""
    times: list[float] = []
    left = iter(range(count))

    async def hand() -> None:
        for _ in left:
            begin = time.perf_counter()
            await work()
            times.append(time.perf_counter() - begin)

    begin = time.perf_counter()
    await asyncio.gather(*(hand() for _ in range(at_a_time)))
    return Series.of(times, time.perf_counter() - begin)


class _Connection(asyncio.Protocol):
    """Asks for the same thing until the time is over."""

    def __init__(self, request: bytes, status: int, until: float, times: list[float]) -> None:
        self._request = request
        self._expected = f"HTTP/1.1 {status}".encode()
        self._until = until
        self._times = times
        self._received = b""
        self._asked_at = 0.0
        self.is_done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        self._asked_at = time.perf_counter()
        if self._asked_at >= self._until:
            self.is_done.set_result(None)
            self._transport.close()
        else:
            self._transport.write(self._request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator:
            return
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n", 1)[0] or 0)
        if len(body) < length:
            return
        if not head.startswith(self._expected):
            self.is_done.set_exception(RuntimeError(head.decode()))
            return
        self._received = b""
        self._times.append(time.perf_counter() - self._asked_at)
        self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.is_done.done():
            self.is_done.set_exception(exc or ConnectionError("the server hung up"))


async def hammered(
    *ports: int, path: str, connections: int, seconds: float, header: str = "", status: int = 200
) -> Series:
    """GET the path over that many kept-alive connections for that long; every answer must have this status.

    Several ports, of processes that do the same, get the same share of them.
    """
    lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1", *([header] if header else []), "", ""]
    request = "\r\n".join(lines).encode()
    times: list[float] = []
    begin = time.perf_counter()
    loop = asyncio.get_running_loop()
    made = [
        await loop.create_connection(lambda: _Connection(request, status, begin + seconds, times), "127.0.0.1", port)
        for port in islice(cycle(ports), connections)
    ]
    await asyncio.gather(*(protocol.is_done for _, protocol in made))
    return Series.of(times, time.perf_counter() - begin)
