"""Answers that are ready: what was asked a moment ago is sent again before the framework is even entered."""

import time
from asyncio import AbstractEventLoop
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from granian.rsgi import Headers, HTTPProtocol
from granian.rsgi import Scope as Asked
from litestar import Litestar, Response
from litestar.types import Scope

from api.browsers import Browsers
from api.catalog_cache import Kept
from api.conditional import is_known
from api.leaving import LAST_ON_ITS_CONNECTION, Leaving
from api.limiting import Doorway
from api.metrics import ANSWERS, Tally
from api.rsgi import Lifespan, Texts, begun_at_once, host_of, on_in_a_task, tell, when_told_to_stop
from api.tracing import RequestSpans, ids_of
from domain.languages import Languages
from runtime.cache.memory import Memory

LONGEST_QUERY = 300
"""Longer questions are hardly ever asked twice."""
FORWARDED = "x-forwarded-for"


class ReadyAnswer(Kept):
    """The bytes of an answer and what they were made of."""

    __slots__ = ("headers", "not_modified", "path_template", "tag", "tallies")

    def __init__(self, response: Response[Any], path_template: str, parts: Iterable[Kept]) -> None:
        parts = list(parts)
        super().__init__(
            response.content,
            min(part.expires_at for part in parts),
            is_fresh=all(part.is_fresh for part in parts),
        )
        for part in parts:
            part.serve(self)
        self.path_template = path_template
        self.tallies = _tallies(path_template)
        self.tag = response.headers["ETag"]
        self.not_modified = [_shared(name, value) for name, value in response.headers.items()]
        self.headers = [*self.not_modified, _shared("Content-Type", "application/json")]


@lru_cache(maxsize=64)
def _shared(name: str, value: str) -> tuple[str, str]:
    """One for all answers, of which each has only its tag for itself."""
    return name.lower(), value


@lru_cache(maxsize=64)
def _tallies(path_template: str) -> dict[int, Tally]:
    return {status: ANSWERS.tally("GET", path_template, status) for status in (200, 304)}


def make_ready(scope: Scope, response: Response[Any], parts: Iterable[Kept]) -> Response[Any]:
    """Call it with an answer that would be the same for everybody who asks as this one did."""
    scope["ready_answer"] = ReadyAnswer(response, str(scope.get("path_template")), parts)  # type: ignore[typeddict-unknown-key]
    return response


class HotAnswers:
    """In front of the application: a ready answer costs a look into a dictionary and one call of the server.

    Metrics and request ids are those of every other answer. Questions with an ``Authorization`` go the long way.
    """

    def __init__(
        self,
        app: Litestar,
        doorway: Doorway,
        browsers: Browsers,
        leaving: Leaving,
        *,
        languages: Languages,
        most_bytes: int,
        spans: RequestSpans | None = None,
    ) -> None:
        self._app = app
        self._spans = spans
        self._lifespan = Lifespan(app.lifespan())
        self._languages = languages if languages.others else None
        self._doorway = doorway
        self._browsers = browsers
        self._leaving = leaving
        self._ready: Memory[str, ReadyAnswer] = Memory(most_bytes)

    def __rsgi_init__(self, loop: AbstractEventLoop) -> None:
        loop.set_task_factory(begun_at_once)  # type: ignore[arg-type]  # the server only keeps what it gets
        loop.run_until_complete(self._lifespan.begin())
        self._leaving.on_sigterm(loop)
        when_told_to_stop(loop, self._app.state.followers.stop)

    def __rsgi_del__(self, loop: AbstractEventLoop) -> None:
        loop.run_until_complete(self._lifespan.end())

    async def __rsgi__(self, asked: Asked, proto: HTTPProtocol) -> None:
        if asked.method != "GET":
            await on_in_a_task()
            await self._tell(asked, proto)
            return
        began = time.perf_counter()
        question, headers = self._question(asked), asked.headers
        ready = self._ready.get(question)
        if ready is not None and "authorization" not in headers and ready.is_good(time.monotonic()):
            leases = self._doorway.leases_of_reader(host_of(asked.client), _forwarded_for(headers))
            may_pass = self._doorway.limiter.passes(leases) or await self._doorway.lets_pass_later(leases)
            if may_pass and ready.is_fresh and not self._leaving.has_begun.is_set():  # as it is after the waiting
                self._send(ready, headers, proto, began)
                return
        await on_in_a_task()
        await self._the_long_way(question, asked, proto)

    def _send(self, ready: ReadyAnswer, headers: Headers, proto: HTTPProtocol, began: float) -> None:
        traceparent = headers.get("traceparent")
        trace_id, request_id = ids_of(traceparent, headers.get("x-request-id"))
        more = [*self._browsers.told(headers.get("origin")), ("x-request-id", request_id)]
        if is_known(headers.get("if-none-match"), ready.tag):
            status = 304
            proto.response_empty(304, ready.not_modified + more)
        else:
            status = 200
            proto.response_bytes(200, ready.headers + more, ready.body)
        ANSWERS.ready += 1
        seconds = time.perf_counter() - began
        ready.tallies[status].count(seconds)
        if self._spans is not None:
            self._spans.tell_of_ready(traceparent, trace_id, ready.path_template, status, seconds)

    def _question(self, asked: Asked) -> str:
        """What is asked for, and in which language where there are several."""
        question = f"{asked.query_string} {asked.path}"  # of these only a path can have blanks
        if self._languages is None:
            return question
        return f"{self._languages.negotiated(asked.headers.get('accept-language', ''))} {question}"

    async def _the_long_way(self, question: str, asked: Asked, proto: HTTPProtocol) -> None:
        scope = await self._tell(asked, proto)
        ready: ReadyAnswer | None = scope.get("ready_answer")  # type: ignore[assignment]
        if ready is not None and ready.is_fresh and len(question) <= LONGEST_QUERY:
            self._ready.put(question, ready)

    async def _tell(self, asked: Asked, proto: HTTPProtocol) -> Scope:
        scope: Scope = await tell(self._app, asked, proto, self._on_top)
        return scope

    def _on_top(self) -> Texts:
        return [LAST_ON_ITS_CONNECTION] if self._leaving.has_begun.is_set() else []


def _forwarded_for(headers: Headers) -> Iterable[str]:
    if FORWARDED not in headers:
        return ()
    return (value for name, value in headers.items() if name == FORWARDED)
