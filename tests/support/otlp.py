"""A collector of traces: takes OTLP over HTTP as a real one does, and keeps what it was told."""

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass(frozen=True)
class Told:
    """A span as it arrived."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: str
    service: str
    attributes: dict[str, Any]
    is_error: bool
    events: list[dict[str, Any]]
    begun: int
    ended: int


@dataclass
class Collector:
    url: str
    raw: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def spans(self, trace_id: str) -> list[Told]:
        """Of one trace, in the order in which they began."""
        found = [span for body in list(self.raw) for span in _spans(body) if span.trace_id == trace_id]
        return sorted(found, key=lambda span: (span.begun, span.name))


Tree = dict[str, Any]


def tree_of(spans: list[Told], *, root: str) -> list[Tree]:
    """What hangs on the span of this id, as names and what hangs on them in turn."""
    below: dict[str, list[Told]] = defaultdict(list)
    for span in spans:
        below[span.parent_id].append(span)

    def hanging_on(parent: str) -> list[Tree]:
        return [{span.name: hanging_on(span.span_id)} for span in below[parent]]

    return hanging_on(root)


def _spans(body: bytes) -> Iterator[Told]:
    for of_process in ExportTraceServiceRequest.FromString(body).resource_spans:
        [service] = [each.value.string_value for each in of_process.resource.attributes if each.key == "service.name"]
        for of_library in of_process.scope_spans:
            for span in of_library.spans:
                yield Told(
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    name=span.name,
                    kind=Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
                    service=service,
                    attributes=_plain(span.attributes),
                    is_error=span.status.code == span.status.STATUS_CODE_ERROR,
                    events=[{"name": event.name, **_plain(event.attributes)} for event in span.events],
                    begun=span.start_time_unix_nano,
                    ended=span.end_time_unix_nano,
                )


def _plain(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


@contextmanager
def collector() -> Iterator[Collector]:
    class Taking(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            assert (self.path, self.headers["Content-Type"]) == ("/v1/traces", "application/x-protobuf")
            told.headers.append({name.lower(): value for name, value in self.headers.items()})
            told.raw.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Taking)
    told = Collector(f"http://127.0.0.1:{server.server_port}")
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
