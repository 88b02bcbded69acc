"""Answers are counted in plain numbers; Prometheus reads what its own counters would have said."""

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from api.metrics import Answers

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
            answers.count("GET", path, status, seconds)
            requests.labels("GET", path, status).inc()
            durations.labels("GET", path).observe(seconds)
    expected = [line for line in generate_latest(theirs).splitlines() if b"_created" not in line]
    assert generate_latest(ours).splitlines() == expected
