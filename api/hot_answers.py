"""Answers that are ready: what was asked a moment ago is sent again before the framework is even entered."""

import time
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from litestar import Response
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from api.browsers import Browsers
from api.catalog_cache import Kept
from api.conditional import is_known
from api.limiting import Doorway
from api.metrics import answered
from api.tracing import ids_of
from domain.languages import Languages
from runtime.cache.memory import Memory

LONGEST_QUERY = 300
"""Longer questions are hardly ever asked twice."""


def _negotiated(languages: Languages, scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"accept-language":
            return languages.negotiated(value.decode("latin-1"))
    return languages.own


@lru_cache(maxsize=64)
def _encoded(name: str, value: str) -> tuple[bytes, bytes]:
    """Once for all answers, of which each has only its tag for itself."""
    return name.lower().encode(), value.encode()


class ReadyAnswer(Kept):
    """The bytes of an answer and what they were made of."""

    __slots__ = ("headers", "not_modified", "path_template", "tag")

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
        self.tag = response.headers["ETag"]
        kept = [_encoded(name, value) for name, value in response.headers.items()]
        length = (b"content-length", str(len(self.body)).encode())
        self.headers = [*kept, (b"content-type", b"application/json"), length]
        self.not_modified = kept


def make_ready(scope: Scope, response: Response[Any], parts: Iterable[Kept]) -> Response[Any]:
    """Call it with an answer that would be the same for everybody who asks as this one did."""
    scope["ready_answer"] = ReadyAnswer(response, str(scope.get("path_template")), parts)  # type: ignore[typeddict-unknown-key]
    return response


class HotAnswers:
    """In front of the application: a ready answer costs a look into a dictionary and two messages.

    Metrics and request ids are those of every other answer. Questions with an ``Authorization`` go the long way.
    """

    def __init__(
        self, app: ASGIApp, doorway: Doorway, browsers: Browsers, *, languages: Languages, most_bytes: int
    ) -> None:
        self._app = app
        self._languages = languages if languages.others else None
        self._doorway = doorway
        self._browsers = browsers
        self._ready: Memory[tuple[str, bytes], ReadyAnswer] = Memory(most_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        key = (scope["path"], scope["query_string"])
        if self._languages is not None:
            key = (f"{_negotiated(self._languages, scope)} {key[0]}", key[1])
        ready = self._ready.get(key)
        if ready is None or not ready.is_fresh:
            await self._the_long_way(key, scope, receive, send)
            return
        began = time.perf_counter()
        headers = dict(scope["headers"])
        if b"authorization" in headers or time.monotonic() >= ready.expires_at:
            await self._the_long_way(key, scope, receive, send)
            return
        if not await self._doorway.lets_read(scope) or not ready.is_fresh:  # it may have changed meanwhile
            await self._the_long_way(key, scope, receive, send)
            return
        more = [*self._browsers.told(headers), (b"x-request-id", ids_of(headers)[1])]
        if_none_match = headers.get(b"if-none-match")
        if if_none_match is not None and is_known(if_none_match.decode("latin-1"), ready.tag):
            await send({"type": "http.response.start", "status": 304, "headers": [*ready.not_modified, *more]})
            answered("GET", ready.path_template, 304, began)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        await send({"type": "http.response.start", "status": 200, "headers": [*ready.headers, *more]})
        answered("GET", ready.path_template, 200, began)
        await send({"type": "http.response.body", "body": ready.body, "more_body": False})

    async def _the_long_way(self, key: tuple[str, bytes], scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)
        ready: ReadyAnswer | None = scope.get("ready_answer")  # type: ignore[assignment]
        if ready is not None and ready.is_fresh and len(key[0]) + len(key[1]) <= LONGEST_QUERY:
            self._ready.put(key, ready)
