"""What the server's own protocol says of a connection, in the words of everything else."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from granian._futures import _future_watcher_wrapper
from litestar import Response

from api.app import create_app
from api.catalog_cache import Kept
from api.hot_answers import HotAnswers, ReadyAnswer
from api.leaving import Leaving
from api.rsgi import begun_at_once, host_of, on_in_a_task, peer_of
from domain.languages import Languages
from domain.limits import EXACT, Quota
from runtime.settings import Settings


@pytest.mark.parametrize(
    ("told", "peer"),
    [
        ("203.0.113.9:40000", ("203.0.113.9", 40000)),
        ("[2001:db8::1]:443", ("2001:db8::1", 443)),
        ("[::ffff:203.0.113.9]:1", ("::ffff:203.0.113.9", 1)),
    ],
)
def test_an_address_is_a_host_and_a_port(told: str, peer: tuple[str, int]) -> None:
    assert peer_of(told) == peer
    assert host_of(told) == peer[0]


@dataclass
class Question:
    """As Granian asks it, and takes the answer."""

    client: str
    method: str = "GET"
    path: str = "/v1/products/mug"
    query_string: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    answers: list[tuple[int, bytes]] = field(default_factory=list)

    def response_bytes(self, status: int, _headers: list[tuple[str, str]], body: bytes) -> None:
        self.answers.append((status, body))


async def test_ready_answers_are_limited_for_each_household_whatever_its_addresses_look_like(
    settings: Settings,
) -> None:
    app = create_app(settings)
    doorway = app.state.doorway
    doorway.limiter.hold_to({**EXACT, "address.catalogue": Quota(1, 60)})
    hot = HotAnswers(app, doorway, app.state.browsers, Leaving(0), languages=Languages("en"), most_bytes=1_000_000)
    answer = Response(b"{}", headers={"ETag": '"1"'})
    part = Kept(b"{}", time.monotonic() + 60, is_fresh=True)
    hot._ready.put(" /v1/products/mug", ReadyAnswer(answer, "/v1/products/{product}", [part]))

    for client in ("203.0.113.9:1", "[2001:db8:1:1::1]:1", "[2001:db8:1:2::1]:1"):
        question = Question(client)
        await hot.__rsgi__(question, question)  # type: ignore[arg-type]
        assert question.answers == [(200, b"{}")], client


Steps = list[tuple[str, bool]]
"""What was done, and whether in a task."""


@pytest.fixture
async def steps() -> Steps:
    asyncio.get_running_loop().set_task_factory(begun_at_once)  # type: ignore[arg-type]
    return []


def is_in_a_task() -> bool:
    return asyncio.current_task() is not None


class Watcher:
    """As Granian's own, which hears of the end of a request."""

    scope = proto = None

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self.is_over = asyncio.Event()

    def done(self) -> None:
        self._note("done")

    def err(self, error: BaseException) -> None:
        self._note(str(error))

    def _note(self, end: str) -> None:
        self._steps.append((end, is_in_a_task()))
        self.is_over.set()


async def asked_by_the_server(steps: Steps, answer: Callable[[Any, Any], Awaitable[None]]) -> None:
    """Each request comes to the loop from a thread of the server, outside of any task."""
    loop, watcher = asyncio.get_running_loop(), Watcher(steps)
    request = _future_watcher_wrapper(answer)(watcher)  # type: ignore[no-untyped-call]

    def comes() -> None:
        loop.create_task(request)
        steps.append(("next", is_in_a_task()))

    loop.call_soon(comes)
    await watcher.is_over.wait()


async def test_what_is_ready_is_answered_before_the_server_has_a_task_of_it(steps: Steps) -> None:
    async def answer(_asked: Any, _proto: Any) -> None:
        steps.append(("answered", is_in_a_task()))

    await asked_by_the_server(steps, answer)
    assert steps == [("answered", False), ("done", False), ("next", False)]


async def test_what_has_to_wait_goes_on_in_a_task_of_its_own(steps: Steps) -> None:
    async def answer(_asked: Any, _proto: Any) -> None:
        await on_in_a_task()
        async with asyncio.timeout(10):
            await asyncio.sleep(0.001)
        steps.append(("answered", is_in_a_task()))

    await asked_by_the_server(steps, answer)
    assert steps == [("next", False), ("answered", True), ("done", True)]


async def test_the_server_hears_of_what_failed_before_it_was_a_task(steps: Steps) -> None:
    async def answer(_asked: Any, _proto: Any) -> None:
        steps.append(("asked", is_in_a_task()))
        raise ValueError("no")

    await asked_by_the_server(steps, answer)
    assert steps == [("asked", False), ("no", False), ("next", False)]


async def test_all_else_is_a_task_from_its_beginning(steps: Steps) -> None:
    async def work() -> str:
        steps.append(("worked", is_in_a_task()))
        return "done"

    task = asyncio.create_task(work(), name="work")
    assert steps == []
    assert (await task, task.get_name()) == ("done", "work")
    assert steps == [("worked", True)]
