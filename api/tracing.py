"""One id for every request, taken from the caller's W3C trace context where there is one."""

import re
import secrets

import structlog
from litestar.datastructures import MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

TRACEPARENT = re.compile(rb"^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$")
REQUEST_ID = re.compile(rb"^[A-Za-z0-9._-]{1,128}$")


def trace_id_of(scope: Scope) -> str:
    return str(scope.get("state", {}).get("trace_id", ""))


def tracing(app: ASGIApp) -> ASGIApp:
    """Every answer carries ``X-Request-Id``: the caller's own, or the trace id."""

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        trace = TRACEPARENT.match(headers.get(b"traceparent", b""))
        trace_id = trace[1].decode() if trace and trace[1] != b"0" * 32 else secrets.token_hex(16)
        given = headers.get(b"x-request-id", b"")
        request_id = given.decode() if REQUEST_ID.match(given) else trace_id
        scope["state"]["trace_id"] = trace_id

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableScopeHeaders(message)["X-Request-Id"] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(trace_id=trace_id):
            await app(scope, receive, send_with_id)

    return middleware
