"""One id for every request, taken from the caller's W3C trace context where there is one."""

import re
from collections.abc import Mapping
from random import getrandbits

import structlog
from litestar.datastructures import MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

TRACEPARENT = re.compile(rb"^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$")
REQUEST_ID = re.compile(rb"^[A-Za-z0-9._-]{1,128}$")


def trace_id_of(scope: Scope) -> str:
    return str(scope.get("state", {}).get("trace_id", ""))


def ids_of(headers: Mapping[bytes, bytes]) -> tuple[bytes, bytes]:
    """The trace id, the caller's own or a new one, and the request id, the caller's own or the trace id."""
    traceparent = headers.get(b"traceparent")
    trace = TRACEPARENT.match(traceparent) if traceparent else None
    # A new one has to be unique, not secret.
    trace_id = trace[1] if trace and trace[1] != b"0" * 32 else b"%032x" % getrandbits(128)
    given = headers.get(b"x-request-id")
    return trace_id, given if given and REQUEST_ID.match(given) else trace_id


def tracing(app: ASGIApp) -> ASGIApp:
    """Every answer carries ``X-Request-Id``: the caller's own, or the trace id."""

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await app(scope, receive, send)
            return
        trace_id, request_id = ids_of(dict(scope["headers"]))
        scope["state"]["trace_id"] = trace_id.decode()

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableScopeHeaders(message)["X-Request-Id"] = request_id.decode()
            await send(message)

        with structlog.contextvars.bound_contextvars(trace_id=trace_id.decode()):
            await app(scope, receive, send_with_id)

    return middleware
