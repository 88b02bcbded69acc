"""What Prometheus reads: how requests were answered and how soon, and how many orders need a person."""

import asyncio
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import fields
from itertools import accumulate
from math import nan
from time import perf_counter

from litestar import Response, get
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from api.tracing import known_method
from db import breaches, concerns, measures, outbox, webhook_deliveries, webhooks
from domain.attention import Concern
from domain.audit import Law
from domain.events import cursor_of
from domain.permissions import Permission
from domain.webhooks import EndpointStatus
from runtime.resources import Resources, measure_connections

BREACHES = Gauge("sutler_audit_breaches", "What audits found wrong and nobody has seen healed since", ["law"])
NEEDING_ATTENTION = Gauge(
    "sutler_orders_needing_attention", "Orders that need a person, by what they need one for", ["concern"]
)
EVENTS_WAITING = Gauge("sutler_events_waiting", "Events that are not yet where the relay carries them to")
OLDEST_EVENT = Gauge("sutler_events_oldest_waiting_seconds", "For how long the oldest of them waits; 0 where none does")
WEBHOOKS_WAITING = Gauge("sutler_webhook_deliveries_waiting", "Events that wait to be taken by webhook endpoints")
OLDEST_WEBHOOK = Gauge(
    "sutler_webhook_oldest_waiting_seconds", "For how long the oldest of them waits; 0 where none does"
)
ENDPOINTS = Gauge("sutler_webhook_endpoints", "Webhook endpoints, by how it stands with them", ["status"])
CATALOG_READS = Counter(
    "sutler_catalog_reads_total", "What the catalogue's memory lacked, by the server that it was read from", ["server"]
)
REPLICA_BEHIND = Gauge(
    "sutler_replica_behind_seconds", "For how long the replica has not had all changes of the catalogue, or been away"
)
LONGEST_COUNT_SECONDS = 1.0

IN_FLIGHT = Gauge("sutler_requests_in_flight", "Requests that are being worked on", ["kind"])
SHED = Counter("sutler_requests_shed_total", "Requests over the limit of their kind, answered 503 at once", ["kind"])
LIMITED = Counter(
    "sutler_requests_limited_total", "Requests over a limit, answered 429, by the limit that they met", ["limit"]
)
TURNED_AWAY = Counter("sutler_checkouts_turned_away_total", "Checkouts that the admission gate turned away")
GATE_CHANGES = Counter(
    "sutler_admission_gate_changes_total",
    "Units by which the tables set the admission gate right: given back, received, or lost by the gate",
    ["direction"],
)

ORDERS_PENDING = Gauge("sutler_orders_pending", "Orders that are placed and neither confirmed nor cancelled")
OLDEST_PENDING = Gauge("sutler_orders_oldest_pending_seconds", "For how long the oldest of them is; 0 where none is")
PAYMENTS_UNKNOWN = Gauge("sutler_payments_unknown", "Pending orders of which nobody knows whether they are paid")
PROVIDER_EVENTS = Gauge("sutler_provider_events_waiting", "Provider's webhooks that no workflow has heard of yet")
OLDEST_PROVIDER_EVENT = Gauge(
    "sutler_provider_events_oldest_waiting_seconds", "For how long the oldest of them waits; 0 where none does"
)
LETTERS_WAITING = Gauge("sutler_letters_waiting", "Mails that are to be sent and are not")
OLDEST_LETTER = Gauge(
    "sutler_letters_oldest_waiting_seconds", "For how long the oldest of them waits; 0 where none does"
)
UNKNOWN = measures.Measures(**dict.fromkeys((each.name for each in fields(measures.Measures)), nan))

READY_ANSWERS = "sutler_ready_answers"

UNKNOWN_LAG = outbox.Lag(waiting=nan, oldest_seconds=nan)


class Tally:
    """How often and how soon one route was answered with one status, in plain numbers."""

    __slots__ = ("buckets", "seconds")

    LIMITS = Histogram.DEFAULT_BUCKETS
    """Of the buckets that durations are counted in, seconds; the last one is infinite."""

    def __init__(self) -> None:
        self.buckets = [0] * len(self.LIMITS)
        self.seconds = 0.0

    def count(self, seconds: float) -> None:
        self.buckets[bisect_left(self.LIMITS, seconds)] += 1
        self.seconds += seconds


class Answers(Collector):
    """How requests were answered, put into Prometheus' words only when it reads them.

    The library's own counters take a lock for every number, which would be half of what a ready answer costs.
    """

    def __init__(self) -> None:
        self._tallies: defaultdict[tuple[str, str, int], Tally] = defaultdict(Tally)
        self.ready = 0
        """How many of them were ready in memory."""

    def tally(self, method: str, path: str, status: int) -> Tally:
        return self._tallies[method, path, status]

    def collect(self) -> Iterable[Metric]:
        requests = CounterMetricFamily(
            "http_requests", "Requests that were answered", labels=["method", "path", "status"]
        )
        by_route: defaultdict[tuple[str, str], list[Tally]] = defaultdict(list)
        for (method, path, status), tally in self._tallies.items():
            requests.add_metric([method, path, str(status)], sum(tally.buckets))
            by_route[method, path].append(tally)
        yield requests
        durations = HistogramMetricFamily(
            "http_request_duration_seconds",
            "Time from a request to the beginning of its answer",
            labels=["method", "path"],
        )
        names = [*map(str, Tally.LIMITS[:-1]), "+Inf"]
        for route, tallies in by_route.items():
            buckets = map(sum, zip(*(tally.buckets for tally in tallies), strict=True))
            seconds = sum(tally.seconds for tally in tallies)
            durations.add_metric(route, list(zip(names, accumulate(buckets), strict=True)), seconds)
        yield durations
        yield CounterMetricFamily(READY_ANSWERS, "Answers that were ready in this process's memory", self.ready)


ANSWERS = Answers()
REGISTRY.register(ANSWERS)


def counting(app: ASGIApp) -> ASGIApp:
    """Counts under the route's template, so that ids in addresses do not become time series."""

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await app(scope, receive, send)
            return
        began = perf_counter()
        method = known_method(scope["method"])

        async def send_and_count(message: Message) -> None:
            if message["type"] == "http.response.start":
                tally = ANSWERS.tally(method, scope.get("path_template") or "unmatched", message["status"])
                tally.count(perf_counter() - began)
            await send(message)

        await app(scope, receive, send_and_count)

    return middleware


async def count_orders_that_need_a_person(resources: Resources) -> None:
    """Counted in Postgres at every reading. While that is away there is no number, rather than an old one."""
    try:
        async with asyncio.timeout(LONGEST_COUNT_SECONDS), resources.autocommit() as session:
            counted = await concerns.open_orders(session)
    except (SQLAlchemyError, OSError, TimeoutError):
        NEEDING_ATTENTION.clear()
        return
    for concern in Concern:
        NEEDING_ATTENTION.labels(concern).set(counted.get(concern, 0))


@get("/metrics", permission=Permission.PROBE, summary="Metrics", tags=["Machines"], include_in_schema=False)
async def metrics(resources: Resources) -> Response[bytes]:
    await count_orders_that_need_a_person(resources)
    await _read_the_breaches(resources)
    await _measure_the_lag(resources)
    await _measure_what_waits(resources)
    measure_connections(resources)
    await _look_at_webhooks(resources)
    if resources.replica is not None:
        REPLICA_BEHIND.set(resources.replica.behind_seconds)
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST.partition("; charset")[0])


async def _read_the_breaches(resources: Resources) -> None:
    """As the last audit left them; what was known stays when Postgres does not answer."""
    try:
        async with asyncio.timeout(LONGEST_COUNT_SECONDS), resources.autocommit() as session:
            found = await breaches.counts(session)
    except (SQLAlchemyError, OSError, TimeoutError):
        return
    for law in Law:
        BREACHES.labels(law).set(found.get(law, 0))


async def _measure_what_waits(resources: Resources) -> None:
    """The same."""
    try:
        async with asyncio.timeout(LONGEST_COUNT_SECONDS), resources.autocommit() as session:
            found = await measures.measured(session)
    except (SQLAlchemyError, OSError, TimeoutError):
        found = UNKNOWN
    ORDERS_PENDING.set(found.orders_pending)
    OLDEST_PENDING.set(found.oldest_pending_seconds)
    PAYMENTS_UNKNOWN.set(found.payments_unknown)
    PROVIDER_EVENTS.set(found.provider_events_waiting)
    OLDEST_PROVIDER_EVENT.set(found.oldest_provider_event_seconds)
    LETTERS_WAITING.set(found.letters_waiting)
    OLDEST_LETTER.set(found.oldest_letter_seconds)


async def _measure_the_lag(resources: Resources) -> None:
    """While Postgres is away there is no number, rather than an old one that says that all is well."""
    try:
        async with asyncio.timeout(LONGEST_COUNT_SECONDS), resources.autocommit() as session:
            lag = await outbox.lag(session, cursor_of(resources.settings.events.destination))
    except (SQLAlchemyError, OSError, TimeoutError):
        lag = UNKNOWN_LAG
    EVENTS_WAITING.set(lag.waiting)
    OLDEST_EVENT.set(lag.oldest_seconds)


async def _look_at_webhooks(resources: Resources) -> None:
    """The same: no number rather than an old one."""
    try:
        async with asyncio.timeout(LONGEST_COUNT_SECONDS), resources.autocommit() as session:
            waiting, oldest = await webhook_deliveries.waiting(session)
            found = await webhooks.statuses(session)
    except (SQLAlchemyError, OSError, TimeoutError):
        WEBHOOKS_WAITING.set(nan)
        OLDEST_WEBHOOK.set(nan)
        ENDPOINTS.clear()
        return
    WEBHOOKS_WAITING.set(waiting)
    OLDEST_WEBHOOK.set(oldest)
    for status in EndpointStatus:
        ENDPOINTS.labels(status).set(found.get(status, 0))
