"""What spans may tell, and how statements are named in them."""

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Status, StatusCode

from api.tracing import RequestSpans
from db.tracing import what_it_does
from runtime.settings import Settings, Telemetry
from runtime.tracing import Discreet, Ids, begin

PLANTED = "zanzibar"


class Kept(SpanExporter):
    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def export(self, spans: "list[ReadableSpan]") -> SpanExportResult:  # type: ignore[override]
        self.spans += spans
        return SpanExportResult.SUCCESS


def test_a_span_says_nothing_but_what_spans_may_say() -> None:
    kept, provider = Kept(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(Discreet(kept)))
    span = provider.get_tracer("test").start_span(
        "POST /v1/carts/{cart_id}",
        attributes={
            "http.route": "/v1/carts/{cart_id}",
            "url.path": f"/v1/carts/{PLANTED}",
            "http.request.header.authorization": PLANTED,
            "db.query.text": PLANTED,
            "temporalWorkflowID": f"reminder:{PLANTED}",
        },
    )
    span.record_exception(ValueError(PLANTED))
    span.set_status(Status(StatusCode.ERROR, f"ValueError: {PLANTED}"))
    span.end()

    [told] = kept.spans
    assert dict(told.attributes or {}) == {"http.route": "/v1/carts/{cart_id}"}
    assert [(event.name, dict(event.attributes or {})) for event in told.events] == [
        ("exception", {"exception.type": "ValueError"})
    ]
    assert (told.status.status_code, told.status.description) == (StatusCode.ERROR, None)
    assert PLANTED not in told.to_json()


@pytest.mark.parametrize(
    ("statement", "does"),
    [
        ("SELECT id FROM orders WHERE id = $1 FOR UPDATE OF orders", ("SELECT", "orders")),
        ("SELECT 1 FROM ONLY stock FOR UPDATE SKIP LOCKED", ("SELECT", "stock")),
        ("\n  WITH placed AS (\n INSERT INTO orders VALUES (1)) SELECT 1 FROM placed", ("INSERT", "orders")),
        ("INSERT INTO carts VALUES (1) ON CONFLICT DO UPDATE SET a = 1", ("INSERT", "carts")),
        ('update "users" set a = 1', ("UPDATE", "users")),
        ("DELETE FROM letters", ("DELETE", "letters")),
        ("WITH a AS (SELECT 1) SELECT * FROM a", ("SELECT", "a")),
        ("SELECT pg_advisory_xact_lock(1)", ("SELECT", None)),
        ("", ("QUERY", None)),
    ],
)
def test_a_statement_is_named_by_its_verb_and_its_table(statement: str, does: tuple[str, str | None]) -> None:
    assert what_it_does(statement) == does


def test_nothing_is_traced_without_a_collector() -> None:
    assert begin(Settings(), "api") is None


def test_a_collectors_headers_are_read_as_opentelemetry_writes_them() -> None:
    told = Telemetry.model_validate({"otlp_headers": "authorization=Bearer a=b, x-shop = 7,"})
    assert told.headers == {"authorization": "Bearer a=b", "x-shop": "7"}
    assert Telemetry().headers == {}


LOW, HIGH, CALLER = f"{1:032x}", "f" * 32, "ab" * 16


@pytest.mark.parametrize(
    ("traceparent", "trace", "is_wanted"),
    [
        (None, LOW, True),
        (None, HIGH, False),
        (f"00-{CALLER}-{'cd' * 8}-01", HIGH, True),
        (f"00-{CALLER}-{'cd' * 8}-00", LOW, False),
        ("not one", HIGH, False),
    ],
    ids=["in_the_share", "not_in_the_share", "wanted_by_the_caller", "not_wanted_by_the_caller", "no_traceparent"],
)
def test_a_ready_answer_is_traced_as_its_caller_says_or_else_by_its_share(
    traceparent: str | None, trace: str, *, is_wanted: bool
) -> None:
    kept = Kept()
    provider = TracerProvider(sampler=ParentBased(TraceIdRatioBased(0.5)), id_generator=Ids(), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    spans = RequestSpans(provider, ready_ratio=0.5)

    spans.tell_of_ready(traceparent, trace, "/v1/products", 200, 0.001)

    told = [(span.name, f"{span.context.trace_id:032x}") for span in kept.spans if span.context]
    of_caller = traceparent is not None and traceparent.startswith("00-")
    assert told == ([("GET /v1/products", CALLER if of_caller else trace)] if is_wanted else [])
