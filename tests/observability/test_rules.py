"""Every alert is heard when it should be and only then, and leads to a page that says what to do and how it is drilled.

All are drilled with made-up numbers, in ``CASES``, and by a real shop, in ``CAUSED``.
"""

import json
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.prometheus import program

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "observability"
RULES: dict[str, dict[str, Any]] = {
    rule["alert"]: rule
    for group in yaml.safe_load((FOLDER / "rules.yml").read_text())["groups"]
    for rule in group["rules"]
}


@dataclass(frozen=True)
class Case:
    """What is measured when the alert is heard, and what when it is not; ``a+bxn``: n steps of b from a."""

    heard: dict[str, str]
    quiet: dict[str, str]
    says: str
    labels: dict[str, str] = field(default_factory=dict)
    at: str = "30m"


def http(status: str, rate: int, **labels: str) -> dict[str, str]:
    told = {"job": "sutler-api", "method": "GET", "path": "/v1/products", "status": status, **labels}
    return {f"http_requests_total{{{_written(told)}}}": f"0+{rate}x60"}


def durations(method: str, path: str, *, fast: int, slow: int, limits: tuple[str, str]) -> dict[str, str]:
    base = f'http_request_duration_seconds_bucket{{method="{method}",path="{path}",le='
    return {
        f'{base}"{limits[0]}"}}': f"0+{fast}x60",
        f'{base}"{limits[1]}"}}': f"0+{fast + slow}x60",
        f'{base}"+Inf"}}': f"0+{fast + slow}x60",
    }


def waits(fast: int, slow: int) -> dict[str, str]:
    base = 'temporal_workflow_task_schedule_to_start_latency_seconds_bucket{task_queue="checkout",le='
    return {
        f'{base}"0.5"}}': f"0+{fast}x60",
        f'{base}"2.0"}}': f"0+{fast + slow}x60",
        f'{base}"+Inf"}}': f"0+{fast + slow}x60",
    }


def answers(**rates: int) -> dict[str, str]:
    return {
        f'sutler_payment_answers_total{{step="payments.authorize",answer="{answer}"}}': f"0+{rate}x60"
        for answer, rate in rates.items()
    }


def _written(labels: dict[str, str]) -> str:
    return ",".join(f'{name}="{value}"' for name, value in labels.items())


UP, ONE = {"job": "sutler-api", "instance": "a:8080"}, {"job": "sutler-worker", "instance": "w:9101"}
OPEN = 'sutler_circuit_breaker_state{dependency="valkey",state="open",instance="a"}'
IN_USE = 'sutler_database_connections{state="in_use",job="sutler-api",instance="a"}'
MOST = 'sutler_database_connections{state="most",job="sutler-api",instance="a"}'
SLOTS = 'temporal_worker_task_slots_available{worker_type="ActivityWorker",task_queue="payments"}'
WATCHED_SHOP = "tests/journeys/test_watched_shop.py"
CAUSED = {
    "test_orders_that_need_a_person_are_heard_of_until_somebody_came": (
        "OrdersNeedAttention",
        "PaymentsUnknown",
        "BooksDoNotAddUp",
    ),
    "test_a_provider_that_does_not_answer_and_cards_that_are_declined_are_heard_of": (
        "PaymentProviderSilent",
        "CardsAreDeclined",
    ),
    "test_a_process_without_valkey_and_collector_that_is_asked_too_much_is_heard_of": (
        "ApiDown",
        "RequestsFail",
        "RequestsAreShed",
        "ManyAreLimited",
        "StatementsGivenUp",
        "CircuitBreakerOpen",
        "TelemetryLost",
    ),
    "test_a_worker_that_is_away_is_heard_of_and_so_is_what_waits_for_it": ("WorkerDown", "EventsWait", "MailsWait"),
    "test_a_catalogue_that_answers_late_is_heard_of": ("ReadsAreSlow",),
    "test_checkouts_that_wait_for_one_lock_are_heard_of_and_so_is_the_worker_that_has_no_hands_left": (
        "CheckoutsAreSlow",
        "TooFewWorkers",
        "WorkerSlotsGone",
        "DatabaseConnectionsGone",
    ),
    "test_stories_that_this_build_cannot_tell_are_heard_of": ("StoriesCannotGoOn",),
    "test_webhook_endpoints_that_take_nothing_are_heard_of_and_so_is_what_waits_for_them": (
        "WebhookEndpointPaused",
        "WebhooksWait",
        "WebhooksGivenUp",
    ),
    "test_an_engine_out_of_reach_is_heard_of_and_so_is_what_it_could_not_be_told": (
        "EngineRefuses",
        "ProviderEventsWait",
    ),
    "test_a_replica_that_does_not_keep_up_is_heard_of": ("ReplicaBehind",),
}
"""Alerts that are heard by what Prometheus measures of a real shop, by the test that brings it into that state."""

DRILLS = {alert: f"Drill: `{WATCHED_SHOP}::{test}`." for test, alerts in CAUSED.items() for alert in alerts}
LIMITS = ("0.5", "1.0")
NOTHING, OVER = "_x61", "110m"
"""An hour in which nothing is measured; and when, after an hour in which an alert is heard, it is no more."""

CASES: dict[str, Case] = {
    "ApiDown": Case(
        {f"up{{{_written(UP)}}}": "0x60"},
        {f"up{{{_written(UP)}}}": "1x60"},
        "An API process does not answer Prometheus: a:8080",
        UP,
    ),
    "WorkerDown": Case(
        {f"up{{{_written(ONE)}}}": "0x60"},
        {f"up{{{_written(ONE)}}}": "1x60"},
        "A worker process does not answer Prometheus: w:9101",
        ONE,
    ),
    "RequestsFail": Case(
        http("200", 90) | http("503", 10), http("200", 1000) | http("503", 5), "10% of all requests are answered 5xx"
    ),
    "ReadsAreSlow": Case(
        durations("GET", "/v1/products", fast=0, slow=10, limits=LIMITS),
        durations("GET", "/v1/products", fast=1000, slow=1, limits=LIMITS),
        "One reader of the catalogue in a hundred waits longer than 995ms",
    ),
    "CheckoutsAreSlow": Case(
        durations("POST", "/v1/checkouts", fast=0, slow=10, limits=("5.0", "10.0")),
        durations("POST", "/v1/checkouts", fast=100, slow=1, limits=("5.0", "10.0")),
        "One checkout in twenty takes longer than 9.75s",
    ),
    "RequestsAreShed": Case(
        {'sutler_requests_shed_total{kind="checkouts"}': "0+60x60"},
        {'sutler_requests_shed_total{kind="checkouts"}': "0+1x60"},
        "Requests of the kind checkouts are turned away, since there are too many at a time",
        {"kind": "checkouts"},
    ),
    "ManyAreLimited": Case(
        {'sutler_requests_limited_total{limit="address"}': "0+600x60"},
        {'sutler_requests_limited_total{limit="address"}': "0+60x60"},
        "Somebody meets the limit address again and again",
        {"limit": "address"},
    ),
    "OrdersNeedAttention": Case(
        {'sutler_orders_needing_attention{concern="payment_unknown"}': "2x60"},
        {'sutler_orders_needing_attention{concern="payment_unknown"}': "0x20 2x5 0x60"},
        "2 orders need a person: payment_unknown",
        {"concern": "payment_unknown"},
    ),
    "BooksDoNotAddUp": Case(
        {'sutler_audit_breaches{law="stock_adds_up"}': "1x60"},
        {'sutler_audit_breaches{law="stock_adds_up"}': "0x60"},
        "The audit found what must not be: stock_adds_up",
        {"law": "stock_adds_up"},
    ),
    "PaymentsUnknown": Case(
        {"sutler_payments_unknown": "3x60"},
        {"sutler_payments_unknown": "0x60"},
        "Of 3 orders nobody knows whether they are paid",
    ),
    "PaymentProviderSilent": Case(
        answers(authorized=90, unknown=10),
        answers(authorized=1000, unknown=1),
        "10% of what the payment provider was asked had no answer",
    ),
    "CardsAreDeclined": Case(
        answers(authorized=25, declined=75), answers(authorized=75, declined=25), "75% of all cards are declined"
    ),
    "ProviderEventsWait": Case(
        {"sutler_provider_events_oldest_waiting_seconds": "90x60"},
        {"sutler_provider_events_oldest_waiting_seconds": "4x60"},
        "What the payment provider told has been waiting for 1m 30s",
    ),
    "EventsWait": Case(
        {"sutler_events_oldest_waiting_seconds": "120x60"},
        {"sutler_events_oldest_waiting_seconds": "0x60"},
        "The rest of the company hears of orders 2m 0s late",
    ),
    "MailsWait": Case(
        {"sutler_letters_oldest_waiting_seconds": "1800x60"},
        {"sutler_letters_oldest_waiting_seconds": "60x60"},
        "The oldest mail has been waiting for 30m 0s",
    ),
    "WebhookEndpointPaused": Case(
        {'sutler_webhook_endpoints{status="paused"}': "2x60"},
        {
            'sutler_webhook_endpoints{status="paused"}': "0x20 1x3 0x60",
            'sutler_webhook_endpoints{status="active"}': "5x60",
        },
        "Webhook endpoints that take nothing any more, and are left alone: 2",
    ),
    "WebhooksWait": Case(
        {"sutler_webhook_oldest_waiting_seconds": "1200x60", 'sutler_webhook_endpoints{status="paused"}': "0x60"},
        {"sutler_webhook_oldest_waiting_seconds": "1200x60", 'sutler_webhook_endpoints{status="paused"}': "1x60"},
        "An event has been waiting for a webhook endpoint for 20m 0s",
    ),
    "WebhooksGivenUp": Case(
        {'sutler_webhook_deliveries_total{outcome="given_up"}': "0x20 1x39"},
        {
            'sutler_webhook_deliveries_total{outcome="given_up"}': "1x60",
            'sutler_webhook_deliveries_total{outcome="delivered"}': "0+10x60",
        },
        "Webhook endpoints have not taken events for three days, and are not sent them any more",
    ),
    "TooFewWorkers": Case(
        waits(0, 10),
        waits(1000, 1),
        "Work of the queue checkout waits 1.985s for a worker",
        {"task_queue": "checkout"},
    ),
    "WorkerSlotsGone": Case(
        {SLOTS: "0x60"},
        {SLOTS: "1x60"},
        "A worker of payments has no place left for ActivityWorker",
        {"task_queue": "payments", "worker_type": "ActivityWorker"},
    ),
    "StoriesCannotGoOn": Case(
        {'temporal_workflow_task_execution_failed_total{workflow_type="Checkout"}': "0x20 1+1x60"},
        {'temporal_workflow_task_execution_failed_total{workflow_type="Checkout"}': "5x60"},
        "The code of Checkout fails, and its workflows wait for a repaired build",
        {"workflow_type": "Checkout"},
    ),
    "EngineRefuses": Case(
        {"temporal_request_failure_total": "0+10x60", "temporal_request_total": "0+100x60"},
        {"temporal_request_failure_total": "0+1x60", "temporal_request_total": "0+1000x60"},
        "10% of what is asked of the workflow engine fails",
    ),
    "CircuitBreakerOpen": Case(
        {OPEN: "1x60"}, {OPEN: "0x60"}, "valkey does not answer and is left alone", {"dependency": "valkey"}
    ),
    "DatabaseConnectionsGone": Case(
        {IN_USE: "10x60", MOST: "10x60"},
        {IN_USE: "9x60", MOST: "10x60"},
        "All connections to Postgres of a are in use",
        {"job": "sutler-api", "instance": "a"},
    ),
    "StatementsGivenUp": Case(
        {'sutler_statements_given_up_total{sqlstate="57014"}': "0+60x60"},
        {'sutler_statements_given_up_total{sqlstate="57014"}': "0+1x60"},
        "Postgres gives up 1 statements a second, since they take too long or meet others",
    ),
    "ReplicaBehind": Case(
        {"sutler_replica_behind_seconds": "45x60"},
        {"sutler_replica_behind_seconds": "1x60"},
        "The replica is 45s behind, and nobody reads from it",
    ),
    "TelemetryLost": Case(
        {"sutler_log_lines_lost_total": "0+10x60"},
        {"sutler_log_lines_lost_total": "5x60", 'sutler_spans_total{outcome="lost"}': "0x60"},
        "Log lines or spans are lost: nobody takes them",
    ),
}


def test_promtool_accepts_the_rules_and_the_configuration() -> None:
    for kind, file in (("rules", "rules.yml"), ("config", "prometheus.yml")):
        run([program("promtool"), "check", kind, str(FOLDER / file)])


def test_each_alert_is_heard_when_it_should_be_and_only_then_and_goes_out_again(tmp_path: Path) -> None:
    assert CASES.keys() == RULES.keys()
    tests = [made(names) for names in _side_by_side() for made in (_heard_and_over, _quiet)]
    told = tmp_path / "rules_test.yml"
    told.write_text(json.dumps({"rule_files": [str(FOLDER / "rules.yml")], "tests": tests}))
    run([program("promtool"), "test", "rules", str(told)])


def _side_by_side() -> list[list[str]]:
    """The alerts in few lists, in each of which no two ask for the same metric: a test for each list is soon done."""
    lists: list[tuple[list[str], set[str]]] = []
    for name, case in CASES.items():
        metrics = {series.partition("{")[0] for series in case.heard | case.quiet}
        names, taken = next((each for each in lists if not each[1] & metrics), ([], set()))
        if not names:
            lists.append((names, taken))
        names.append(name)
        taken |= metrics
    return [names for names, _ in lists]


def _heard_and_over(names: list[str]) -> dict[str, Any]:
    """What is measured while they are heard, and after it what is measured when they are not."""
    series = {
        each: f"{case.heard.get(each, NOTHING)} {case.quiet.get(each, NOTHING)}"
        for case in map(CASES.__getitem__, names)
        for each in case.heard | case.quiet
    }
    heard = [_at(CASES[name].at, name, is_heard=True) for name in names]
    return _test(series, heard + [_at(OVER, name, is_heard=False) for name in names])


def _quiet(names: list[str]) -> dict[str, Any]:
    series = {each: values for name in names for each, values in CASES[name].quiet.items()}
    return _test(series, [_at(CASES[name].at, name, is_heard=False) for name in names])


def _at(moment: str, name: str, *, is_heard: bool) -> dict[str, Any]:
    rule, case = RULES[name], CASES[name]
    alert = {
        "exp_labels": {**rule["labels"], **case.labels},
        "exp_annotations": {"summary": case.says, "runbook_url": rule["annotations"]["runbook_url"]},
    }
    return {"eval_time": moment, "alertname": name, "exp_alerts": [alert] if is_heard else []}


def _test(series: dict[str, str], moments: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "interval": "1m",
        "input_series": [{"series": each, "values": values} for each, values in series.items()],
        "alert_rule_test": moments,
    }


def run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", RULES)
def test_each_alert_leads_to_what_to_do(name: str) -> None:
    rule, runbook = RULES[name], (ROOT / "docs" / "runbook.md").read_text()
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{name.lower()}"
    section = re.search(rf"^### {name}\n(.*?)(?=^### |\Z)", runbook, re.MULTILINE | re.DOTALL)
    assert section, f"docs/runbook.md has no section {name}"
    assert len(section[1].split()) > 25
    assert section[1].partition("\n## ")[0].rstrip().splitlines()[-1] == DRILLS[name]


def test_every_alert_has_a_drill_and_every_drill_is_a_test() -> None:
    tests = set(re.findall(r"^async def (test_\w+)", (ROOT / WATCHED_SHOP).read_text(), re.MULTILINE))
    assert CAUSED.keys() <= tests
    assert DRILLS.keys() == RULES.keys()


def test_the_runbook_speaks_of_no_alert_that_there_is_not() -> None:
    assert set(re.findall(r"^### (\w+)$", (ROOT / "docs" / "runbook.md").read_text(), re.MULTILINE)) == RULES.keys()
