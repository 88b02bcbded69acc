"""What browsers are told: which pages may ask, and what they must never do with an answer."""

from collections.abc import Collection
from functools import lru_cache

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

Headers = tuple[tuple[str, str], ...]

POLICY = "content-security-policy"
METHODS = "GET, POST, PUT, PATCH, DELETE"
MAY_SEND = (
    "authorization, content-type, idempotency-key, if-match, if-none-match, last-event-id, traceparent, x-request-id"
)
MAY_READ = (
    "etag, idempotency-replayed, location, ratelimit, ratelimit-policy, retry-after, www-authenticate, x-request-id"
)
REMEMBERED_SECONDS = "600"
"""So long a browser need not ask again whether it may ask."""


class Browsers:
    """Nobody's pages may ask but our own and those of ``origins``, and none of them with cookies."""

    def __init__(self, *, is_https: bool, origins: Collection[str]) -> None:
        always = (
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            (POLICY, "default-src 'none'; frame-ancestors 'none'"),
            *([("strict-transport-security", "max-age=31536000; includeSubDomains")] if is_https else []),
            *([("vary", "Origin")] if origins else []),
        )
        self._told: dict[str | None, Headers] = {
            origin: (*always, ("access-control-allow-origin", origin), ("access-control-expose-headers", MAY_READ))
            for origin in origins
        }
        self._told_to_others = always

    def told(self, origin: str | None) -> Headers:
        """With the answer to a request that comes from a page of this origin."""
        return self._told.get(origin, self._told_to_others)

    def around(self, app: ASGIApp) -> ASGIApp:
        async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != ScopeType.HTTP:
                await app(scope, receive, send)
                return
            headers = dict(scope["headers"])
            origin = headers.get(b"origin", b"").decode("latin-1")
            told = encoded(self.told(origin))

            async def send_and_tell(message: Message) -> None:
                if message["type"] == "http.response.start":
                    said = {name.lower() for name, _ in message["headers"]} - {b"vary"}
                    message["headers"] = [*message["headers"], *(more for more in told if more[0] not in said)]
                await send(message)

            if self._told and scope["method"] == "OPTIONS" and b"access-control-request-method" in headers:
                await send_and_tell(
                    {"type": "http.response.start", "status": 204, "headers": encoded(self._permits(origin))}
                )
                await send_and_tell({"type": "http.response.body", "body": b"", "more_body": False})
            else:
                await app(scope, receive, send_and_tell)

        return middleware

    def _permits(self, origin: str) -> Headers:
        """What a browser hears that asks whether it may send what could change something."""
        if origin not in self._told:
            return ()
        return (
            ("access-control-allow-methods", METHODS),
            ("access-control-allow-headers", MAY_SEND),
            ("access-control-max-age", REMEMBERED_SECONDS),
        )


@lru_cache(maxsize=64)
def encoded(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Once for each of the few things that are told."""
    return [(name.encode(), value.encode()) for name, value in headers]
