"""Answers are counted in plain numbers; Prometheus reads what its own counters would have said."""

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from sqlalchemy import text

from api.metrics import BREACHES, Answers, _read_the_breaches
from domain.audit import Law
from runtime.resources import Resources, opened
from runtime.settings import Settings

TIMES = [(200, 0.005), (200, 0.03), (404, 0.004), (503, 11.0)]


def test_prometheus_reads_what_its_own_counters_would_have_said() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    answers = Answers()
    ours.register(answers)
    requests = Counter(
        "http_requests_total", "Requests that were answered", ["method", "path", "status"], registry=theirs
    )
    durations = Histogram(
        "http_request_duration_seconds",
        "Time from a request to the beginning of its answer",
        ["method", "path"],
        registry=theirs,
    )
    answers.ready = 3
    Counter("sutler_ready_answers_total", "Answers that were ready in this process's memory", registry=theirs).inc(3)
    for path in ("/v1/products", "unmatched"):
        for status, seconds in TIMES:
            answers.tally("GET", path, status).count(seconds)
            requests.labels("GET", path, status).inc()
            durations.labels("GET", path).observe(seconds)
    expected = [line for line in generate_latest(theirs).splitlines() if b"_created" not in line]
    assert generate_latest(ours).splitlines() == expected


async def test_who_reads_the_numbers_is_answered_also_while_a_table_of_theirs_stays_locked(
    settings: Settings, resources: Resources
) -> None:
    waits_for_ever = settings.database.model_copy(update={"lock_seconds": 0, "statement_seconds": 0})
    known = BREACHES.labels(Law.RESERVED_IS_HELD)
    known.set(-1)
    async with opened(settings.model_copy(update={"database": waits_for_ever})) as own:
        async with resources.sessions.begin() as session:
            await session.execute(text("LOCK TABLE breaches IN ACCESS EXCLUSIVE MODE"))
            await _read_the_breaches(own)
            assert known._value.get() == -1
        await _read_the_breaches(own)
    assert known._value.get() >= 0
