"""One id for every request, from the caller's W3C trace context where there is one; and its span, if it is traced."""

import re
import time
from contextlib import nullcontext
from random import getrandbits

import structlog
from litestar.datastructures import MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from runtime.tracing import Ids

TRACEPARENT = re.compile(r"^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$")
REQUEST_ID = re.compile(r"^[A-Za-z0-9._-]{1,128}$")


def trace_id_of(scope: Scope) -> str:
    return str(scope.get("state", {}).get("trace_id", ""))


def ids_of(traceparent: str | None, given: str | None) -> tuple[str, str]:
    """The trace id, the caller's own or a new one, and the request id, the caller's own or the trace id."""
    trace = TRACEPARENT.match(traceparent) if traceparent else None
    # A new one has to be unique, not secret.
    trace_id = trace[1] if trace and trace[1] != "0" * 32 else getrandbits(128).to_bytes(16).hex()
    return trace_id, given if given and REQUEST_ID.match(given) else trace_id


class RequestSpans:
    """The spans in which the answering of requests is told."""

    def __init__(self, provider: TracerProvider, *, ready_ratio: float) -> None:
        self._tracer = provider.get_tracer("sutler.api")
        self._ids = provider.id_generator
        self._highest = f"{min(int(ready_ratio * (1 << 64)), (1 << 64) - 1):016x}"

    def begin(self, method: str, traceparent: str | None, trace_id: str, *, began_ns: int | None = None) -> Span:
        """One that belongs to the caller's span, or else begins the trace of this id."""
        if isinstance(self._ids, Ids):
            self._ids.given = int(trace_id, 16)
        span = self._tracer.start_span(
            method,
            _callers(traceparent),
            kind=SpanKind.SERVER,
            attributes={"http.request.method": method},
            start_time=began_ns,
        )
        if isinstance(self._ids, Ids):
            self._ids.given = None  # the caller's trace needed none
        return span

    def wants(self, traceparent: str | None, trace_id: str) -> bool:
        """Whether a ready answer is traced, for a tenth of what asking the sampler costs: most are not."""
        if traceparent is not None and (caller := TRACEPARENT.match(traceparent)) is not None:
            return bool(int(caller[3], 16) & 1)
        return trace_id[16:] <= self._highest

    def tell_of_ready(self, traceparent: str | None, trace_id: str, path: str, status: int, seconds: float) -> None:
        if self.wants(traceparent, trace_id):
            now = time.time_ns()
            span = self.begin("GET", traceparent, trace_id, began_ns=now - int(seconds * 1e9))
            end(span, "GET", path, status, at_ns=now)


def _callers(traceparent: str | None) -> Context:
    caller = TRACEPARENT.match(traceparent) if traceparent else None
    if caller is None:
        return Context()
    of_caller = SpanContext(int(caller[1], 16), int(caller[2], 16), True, TraceFlags(int(caller[3], 16)))
    return trace.set_span_in_context(NonRecordingSpan(of_caller), Context()) if of_caller.is_valid else Context()


def end(span: Span, method: str, path: str, status: int, *, at_ns: int | None = None) -> None:
    if span.is_recording():
        span.update_name(f"{method} {path}")
        span.set_attribute("http.route", path)
        span.set_attribute("http.response.status_code", status)
        if status >= 500:
            span.set_status(Status(StatusCode.ERROR))
    span.end(at_ns)


def tracing(app: ASGIApp, spans: RequestSpans | None = None) -> ASGIApp:
    """Every answer carries ``X-Request-Id``: the caller's own, or the trace id."""

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        traceparent, given = (
            headers[name].decode("latin-1") if name in headers else None for name in (b"traceparent", b"x-request-id")
        )
        trace_id, request_id = ids_of(traceparent, given)
        scope["state"]["trace_id"] = trace_id
        status = 499  # nobody was there any more to be answered

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableScopeHeaders(message)["X-Request-Id"] = request_id
            await send(message)

        method = known_method(scope["method"])
        span = spans.begin(method, traceparent, trace_id) if spans else None
        try:
            with (
                structlog.contextvars.bound_contextvars(trace_id=trace_id),
                trace.use_span(span, record_exception=False) if span else nullcontext(),
            ):
                await app(scope, receive, send_with_id)
        finally:
            if span is not None:
                end(span, method, scope.get("path_template") or "unmatched", status)

    return middleware


METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def known_method(method: str) -> str:
    """Clients may send any word as a method, and every word would be a new time series."""
    return method if method in METHODS else "other"
