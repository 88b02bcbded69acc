"""Traces: what a request did, where and for how long, told to an OpenTelemetry collector over OTLP/HTTP.

A trace begins at a request, and only there. The caller's decision holds whether it is told; where there is none, the
settings' share of all requests is. What requests ask of workflows, and those of activities, goes on in their trace,
whichever process does it and however often.

Spans wait in a bounded queue for a thread of their own: nobody waits for the collector, and while it is away, spans are
lost and nothing else.
"""

import asyncio
import os
import socket
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, Sampler, TraceIdRatioBased
from opentelemetry.trace import Link, Status
from opentelemetry.util.types import AttributeValue
from prometheus_client import Counter
from temporalio.contrib.opentelemetry import TracingInterceptor

from runtime.settings import Settings

SPANS = Counter("sutler_spans_total", "Spans that were handed to the collector, or lost on the way", ["outcome"])

QUEUE = 2048
BUNDLE = 512
EVERY_SECONDS = 0.5
"""What a process loses at most when it is killed."""
SEND_SECONDS = 2.0
LONGEST_FAREWELL_SECONDS = 2.0

TOLD = frozenset(
    {
        *("http.request.method", "http.route", "http.response.status_code", "url.scheme", "url.template"),
        *("server.address", "server.port", "error.type", "exception.type"),
        *("db.system.name", "db.operation.name", "db.collection.name"),
        *("messaging.system", "messaging.operation.name", "messaging.destination.name", "messaging.message.id"),
        *("cloudevents.event_type", "temporalWorkflowID", "temporalRunID", "temporalActivityID", "temporalUpdateID"),
    }
)
"""All that spans say besides their names. No addresses, headers, bodies, parameters or messages of errors: these hold
people, cards and carts, and who knows a guest's cart may order it."""

SECRET_IDS = ("reminder:",)
"""Beginnings of workflow ids that hold the id of a cart."""


class Ids(RandomIdGenerator):
    """The next trace may have been given its id already: problems and logs name a request by it, traced or not."""

    given: int | None = None

    def generate_trace_id(self) -> int:
        given, self.given = self.given, None
        return given or super().generate_trace_id()


class Discreet(SpanExporter):
    """Passes on what spans may tell, whoever put something else into them, and counts them."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export([discreet(span) for span in spans])
        SPANS.labels("sent" if result is SpanExportResult.SUCCESS else "lost").inc(len(spans))
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


def discreet(span: ReadableSpan) -> ReadableSpan:
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=_told(span.attributes),
        events=[Event(event.name, _told(event.attributes), event.timestamp) for event in span.events],
        links=[Link(link.context) for link in span.links],
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _told(attributes: Mapping[str, AttributeValue] | None) -> dict[str, AttributeValue]:
    return {
        name: value
        for name, value in (attributes or {}).items()
        if name in TOLD and not (isinstance(value, str) and value.startswith(SECRET_IDS))
    }


def provider_of(
    settings: Settings, process: str, exporter: SpanExporter, *, roots: Sampler = ALWAYS_OFF
) -> TracerProvider:
    provider = TracerProvider(
        sampler=ParentBased(roots),
        resource=Resource(
            {
                "service.name": f"sutler-{process}",
                "service.namespace": settings.database.shop_schema,
                "service.instance.id": f"{socket.gethostname()}:{os.getpid()}",
                "deployment.environment.name": settings.env.value,
            }
        ),
        id_generator=Ids(),
        shutdown_on_exit=False,  # it would wait for a collector that is away
    )
    provider.add_span_processor(
        BatchSpanProcessor(
            Discreet(exporter),
            max_queue_size=QUEUE,
            max_export_batch_size=BUNDLE,
            schedule_delay_millis=EVERY_SECONDS * 1000,
        )
    )
    return provider


def begin(settings: Settings, process: str, *, begins_traces: bool = False) -> TracerProvider | None:
    """From now on this process tells traces, if the settings say where to."""
    telemetry = settings.telemetry
    if not telemetry.otlp_endpoint:
        return None
    exporter = OTLPSpanExporter(
        endpoint=f"{telemetry.otlp_endpoint.rstrip('/')}/v1/traces",
        headers=telemetry.headers,
        timeout=SEND_SECONDS,
    )
    roots = TraceIdRatioBased(telemetry.sample_ratio) if begins_traces else ALWAYS_OFF
    provider = provider_of(settings, process, exporter, roots=roots)
    trace.set_tracer_provider(provider)
    return provider


def is_tracing() -> bool:
    return isinstance(trace.get_tracer_provider(), TracerProvider)


def through_stories() -> list[TracingInterceptor]:
    """What carries the trace from a request into workflows and on into their activities.

    Its spans of workflows have no duration and all hang on the span that started the workflow: what a worker had in its
    memory is not needed to tell them, so a trace has no gap where one was killed, and a replay tells nothing twice.
    """
    return [TracingInterceptor()] if is_tracing() else []


@asynccontextmanager
async def told_to_the_end(provider: TracerProvider | None) -> AsyncIterator[None]:
    """What waits when the block ends is still sent, if the collector takes it at once."""
    try:
        yield
    finally:
        if provider is not None:
            farewell = threading.Thread(target=provider.force_flush, daemon=True)
            farewell.start()
            await asyncio.to_thread(farewell.join, LONGEST_FAREWELL_SECONDS)
