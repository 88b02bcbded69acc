"""What the gateway does when those behind it fall silent, break off, or have more to do than they can."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.support.gateways import HOST, Front, gateway
from tests.support.waiting import eventually

ASKED_BY_ENVOY = ("/ready", "/.well-known/jwks.json")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{}"
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


@dataclass
class StandIn:
    """Answers as an API process may, at its best and at its worst."""

    asked: list[str] = field(default_factory=list)
    breaks_off: bool = False
    """Takes requests and closes the connection without an answer."""
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    more: asyncio.Event = field(default_factory=asyncio.Event)
    """What a stream waits for."""
    port: int = 0
    _server: asyncio.Server | None = None
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    async def come(self) -> None:
        """At the same address again, when it has gone."""
        self._server = await asyncio.start_server(self.serve, HOST, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def go(self) -> None:
        """As a process that was killed: its connections break off, and nobody listens."""
        assert self._server is not None
        self._server.close()
        for writer in self._open:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                method, path, _ = head.split(" ", 2)
                if length := re.search(r"content-length: (\d+)", head, re.IGNORECASE):
                    await reader.readexactly(int(length[1]))
                if path not in ASKED_BY_ENVOY:
                    self.asked.append(f"{method} {path}")
                    if self.breaks_off:
                        break
                    await self.may_answer.wait()
                if "/stream" in path:
                    await self._stream(writer)
                else:
                    writer.write(OK)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()

    async def _stream(self, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM + b"d\r\ndata: first\n\n\r\n")
        await writer.drain()
        await self.more.wait()
        writer.write(b"e\r\ndata: second\n\n\r\n0\r\n\r\n")


@pytest.fixture
async def pair(servers: None) -> AsyncIterator[list[StandIn]]:
    both = [StandIn(), StandIn()]
    for stand_in in both:
        stand_in.may_answer.set()
        await stand_in.come()
    yield both
    for stand_in in both:
        stand_in.go()


@pytest.fixture
async def front(pair: list[StandIn], tmp_path: Path) -> AsyncIterator[Front]:
    apis = [(HOST, stand_in.port) for stand_in in pair]
    async with gateway(apis, tmp_path, most_at_once=4, reading_seconds=10, reading_try_seconds=0.5) as front:
        await eventually(lambda: are_healthy(front, 2))
        yield front


async def are_healthy(front: Front, number: int) -> bool:
    return await front.stat("envoy_cluster_membership_healthy") == number


def counted(pair: list[StandIn], path: str) -> int:
    return sum(asked.endswith(path) for stand_in in pair for asked in stand_in.asked)


async def test_what_may_be_done_twice_is_asked_again_elsewhere_and_nothing_else_is(
    front: Front, pair: list[StandIn]
) -> None:
    bad, good = pair
    bad.breaks_off = True
    ask = front.of()

    for number in range(4):
        assert (await ask.get(f"/v1/look/{number}")).status_code == 200
        assert (await ask.put(f"/v1/set/{number}", json={})).status_code == 200
        keyed = await ask.post(f"/v1/keyed/{number}", json={}, headers={"Idempotency-Key": f"k{number}"})
        assert keyed.status_code == 200
    plain = [await ask.post(f"/v1/plain/{number}", json={}) for number in range(12)]

    for number, answer in enumerate(plain):
        assert counted(pair, f"/v1/plain/{number}") == 1
        if f"POST /v1/plain/{number}" in good.asked:
            assert answer.status_code == 200
        else:
            assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
            assert (answer.headers["content-type"], answer.headers["retry-after"]) == ("application/problem+json", "1")
    assert any(asked.startswith("GET") or "keyed" in asked for asked in bad.asked)


async def test_a_silent_process_costs_a_reader_half_a_second_and_is_left_alone(
    front: Front, pair: list[StandIn]
) -> None:
    pair[0].may_answer.clear()

    answers = [await front.of().get(f"/v1/look/{number}") for number in range(8)]

    assert {answer.status_code for answer in answers} == {200}
    pair[0].may_answer.set()


async def test_who_cannot_be_reached_is_left_alone_and_comes_back(front: Front, pair: list[StandIn]) -> None:
    pair[0].go()

    answers = await asyncio.gather(*(front.of().get(f"/v1/look/{number}") for number in range(4)))
    answers += [await front.of().get(f"/v1/look/{number}") for number in range(20)]

    assert {answer.status_code for answer in answers} == {200}
    assert await front.stat("envoy_cluster_outlier_detection_ejections_enforced_consecutive_local_origin_failure") >= 1
    await pair[0].come()
    pair[0].asked.clear()

    async def is_asked_again() -> bool:
        assert (await front.of().get("/v1/look")).status_code == 200
        return "GET /v1/look" in pair[0].asked

    await eventually(is_asked_again)


async def test_the_breaker_opens_over_what_may_be_under_way_and_closes_again(front: Front, pair: list[StandIn]) -> None:
    for stand_in in pair:
        stand_in.may_answer.clear()
    held = [asyncio.create_task(front.of().post(f"/v1/held/{number}", json={})) for number in range(4)]
    await eventually(lambda: done(lambda: counted(pair, "") == 4))

    refused = await front.of().post("/v1/too-many", json={})

    assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
    assert refused.headers["retry-after"] == "1"
    assert counted(pair, "/v1/too-many") == 0
    for stand_in in pair:
        stand_in.may_answer.set()
    assert [answer.status_code for answer in await asyncio.gather(*held)] == [200] * 4
    assert (await front.of().post("/v1/again", json={})).status_code == 200


async def done(condition: Callable[[], bool]) -> bool:
    return condition()


async def test_a_stream_of_events_passes_piece_by_piece(front: Front, pair: list[StandIn]) -> None:
    wish = {"Accept": "text/event-stream"}
    async with front.of().stream("GET", "/v1/stream", headers=wish) as answer:
        pieces = answer.aiter_text()
        assert await anext(pieces) == "data: first\n\n"
        for stand_in in pair:
            stand_in.more.set()
        assert await anext(pieces) == "data: second\n\n"


async def test_while_nobody_is_there_the_edge_says_so(front: Front, pair: list[StandIn]) -> None:
    for stand_in in pair:
        stand_in.breaks_off = True
    answer: httpx.Response = await front.of().get("/v1/look")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
