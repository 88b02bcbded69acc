"""One id for every request, taken from the caller's W3C trace context where there is one."""

import re
from random import getrandbits

import structlog
from litestar.datastructures import MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

TRACEPARENT = re.compile(r"^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$")
REQUEST_ID = re.compile(r"^[A-Za-z0-9._-]{1,128}$")


def trace_id_of(scope: Scope) -> str:
    return str(scope.get("state", {}).get("trace_id", ""))


def ids_of(traceparent: str | None, given: str | None) -> tuple[str, str]:
    """The trace id, the caller's own or a new one, and the request id, the caller's own or the trace id."""
    trace = TRACEPARENT.match(traceparent) if traceparent else None
    # A new one has to be unique, not secret.
    trace_id = trace[1] if trace and trace[1] != "0" * 32 else f"{getrandbits(128):032x}"
    return trace_id, given if given and REQUEST_ID.match(given) else trace_id


def tracing(app: ASGIApp) -> ASGIApp:
    """Every answer carries ``X-Request-Id``: the caller's own, or the trace id."""

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        named = (headers.get(name, b"").decode("latin-1") for name in (b"traceparent", b"x-request-id"))
        trace_id, request_id = ids_of(*named)
        scope["state"]["trace_id"] = trace_id

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableScopeHeaders(message)["X-Request-Id"] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(trace_id=trace_id):
            await app(scope, receive, send_with_id)

    return middleware
