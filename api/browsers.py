"""What browsers are told: which pages may ask, and what they must never do with an answer."""

from collections.abc import Collection, Mapping

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

Headers = list[tuple[bytes, bytes]]

POLICY = b"content-security-policy"
METHODS = b"GET, POST, PUT, PATCH, DELETE"
MAY_SEND = (
    b"authorization, content-type, idempotency-key, if-match, if-none-match, last-event-id, traceparent, x-request-id"
)
MAY_READ = (
    b"etag, idempotency-replayed, location, ratelimit, ratelimit-policy, retry-after, www-authenticate, x-request-id"
)
REMEMBERED_SECONDS = b"600"
"""So long a browser need not ask again whether it may ask."""


class Browsers:
    """Nobody's pages may ask but our own and those of ``origins``, and none of them with cookies."""

    def __init__(self, *, is_https: bool, origins: Collection[str]) -> None:
        self._welcome = frozenset(origin.encode() for origin in origins)
        self._always = [
            (b"x-content-type-options", b"nosniff"),
            (b"x-frame-options", b"DENY"),
            (b"referrer-policy", b"no-referrer"),
            (POLICY, b"default-src 'none'; frame-ancestors 'none'"),
            *([(b"strict-transport-security", b"max-age=31536000; includeSubDomains")] if is_https else []),
        ]

    def told(self, headers: Mapping[bytes, bytes]) -> Headers:
        """With the answer to a request that has these headers."""
        if not self._welcome:
            return self._always
        origin = headers.get(b"origin")
        if origin not in self._welcome:
            return [*self._always, (b"vary", b"Origin")]
        of_origin = [(b"access-control-allow-origin", origin), (b"access-control-expose-headers", MAY_READ)]
        return [*self._always, *of_origin, (b"vary", b"Origin")]

    def around(self, app: ASGIApp) -> ASGIApp:
        async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != ScopeType.HTTP:
                await app(scope, receive, send)
                return
            headers = dict(scope["headers"])
            told = self.told(headers)

            async def send_and_tell(message: Message) -> None:
                if message["type"] == "http.response.start":
                    said = {name.lower() for name, _ in message["headers"]} - {b"vary"}
                    message["headers"] = [*message["headers"], *(more for more in told if more[0] not in said)]
                await send(message)

            if self._welcome and scope["method"] == "OPTIONS" and b"access-control-request-method" in headers:
                await send_and_tell({"type": "http.response.start", "status": 204, "headers": self._permits(headers)})
                await send_and_tell({"type": "http.response.body", "body": b"", "more_body": False})
            else:
                await app(scope, receive, send_and_tell)

        return middleware

    def _permits(self, headers: Mapping[bytes, bytes]) -> Headers:
        """What a browser hears that asks whether it may send what could change something."""
        if headers.get(b"origin") not in self._welcome:
            return []
        return [
            (b"access-control-allow-methods", METHODS),
            (b"access-control-allow-headers", MAY_SEND),
            (b"access-control-max-age", REMEMBERED_SECONDS),
        ]
