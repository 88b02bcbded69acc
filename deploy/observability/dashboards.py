"""Grafana's dashboards, from one table: ``python -m deploy.observability.dashboards`` writes them as JSON beside it."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "dashboards"
PROMETHEUS = {"type": "prometheus", "uid": "${prometheus}"}
WIDTH, HEIGHT = 12, 8


@dataclass(frozen=True)
class Panel:
    """A picture of what a query gives; ``legend`` names each line by its labels."""

    title: str
    query: str
    legend: str = ""
    unit: str = "short"


def per_second(metric: str, by: str, chosen: str = "") -> str:
    return f"sum by ({by}) (rate({metric}{{{chosen}}}[5m]))"


def slowest(metric: str, share: float, by: str = "", chosen: str = "") -> str:
    """How long it takes for all but the slowest."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, sum by ({labels}) (rate({metric}_bucket{{{chosen}}}[5m])))"


def or_nothing(query: str) -> str:
    """What may never have happened is shown as 0."""
    return f"{query} or vector(0)"


def oldest(metric: str) -> str:
    return f"max({metric})"


REQUESTS, DURATION = "http_requests_total", "http_request_duration_seconds"
CHECKOUTS = 'method="POST",path="/v1/checkouts"'
CATALOGUE = 'method="GET",path=~"/v1/(products|categories|search).*"'

DASHBOARDS: dict[str, list[Panel]] = {
    "Shop": [
        Panel("Requests by status", per_second(REQUESTS, "status"), "{{status}}", "reqps"),
        Panel("Requests by route", f"topk(10, {per_second(REQUESTS, 'method, path')})", "{{method}} {{path}}", "reqps"),
        Panel("Answered 5xx", or_nothing(f'sum(rate({REQUESTS}{{status=~"5.."}}[5m]))'), "5xx", "reqps"),
        Panel("Catalogue, 99 % within", slowest(DURATION, 0.99, chosen=CATALOGUE), "p99", "s"),
        Panel("Checkout, 95 % within", slowest(DURATION, 0.95, chosen=CHECKOUTS), "p95", "s"),
        Panel("Checkouts by outcome", per_second("sutler_checkouts_total", "outcome"), "{{outcome}}", "ops"),
        Panel(
            "From a checkout's beginning to its decision, 95 % within",
            slowest("sutler_checkout_duration_seconds", 0.95, "outcome"),
            "{{outcome}}",
            "s",
        ),
        Panel("Alive", 'up{job=~"sutler-(api|worker|engine)"}', "{{job}} {{instance}}"),
    ],
    "Orders": [
        Panel(
            "What happens to orders", per_second("sutler_events_total", "type", 'type=~"order.*"'), "{{type}}", "ops"
        ),
        Panel(
            "Parcels, refunds, returns",
            or_nothing(per_second("sutler_events_total", "type", 'type=~"(fulfillment|refund|return|payment).*"')),
            "{{type}}",
            "ops",
        ),
        Panel("Stock", or_nothing(per_second("sutler_events_total", "type", 'type=~"stock.*"')), "{{type}}", "ops"),
        Panel(
            "What the payment provider answers",
            per_second("sutler_payment_answers_total", "step, answer"),
            "{{step}} {{answer}}",
            "ops",
        ),
        Panel("Pending orders", oldest("sutler_orders_pending"), "pending"),
        Panel("The oldest pending order", oldest("sutler_orders_oldest_pending_seconds"), "oldest", "s"),
        Panel("Unknown payments", oldest("sutler_payments_unknown"), "unknown"),
        Panel("Orders that need a person", "max by (concern) (sutler_orders_needing_attention)", "{{concern}}"),
        Panel("What does not add up", "max by (law) (sutler_audit_breaches)", "{{law}}"),
        Panel("Provider's webhooks that wait", oldest("sutler_provider_events_oldest_waiting_seconds"), "oldest", "s"),
        Panel("Events that wait", oldest("sutler_events_oldest_waiting_seconds"), "oldest", "s"),
        Panel("Mails that wait", oldest("sutler_letters_oldest_waiting_seconds"), "oldest", "s"),
    ],
    "Webhooks": [
        Panel(
            "Attempts, by what came of them",
            or_nothing(per_second("sutler_webhook_attempts_total", "outcome")),
            "{{outcome}}",
            "ops",
        ),
        Panel(
            "Share of attempts that fail",
            or_nothing(
                'sum(rate(sutler_webhook_attempts_total{outcome!="taken"}[5m]))'
                " / (sum(rate(sutler_webhook_attempts_total[5m])) > 0)"
            ),
            "fail",
            "percentunit",
        ),
        Panel(
            "Taken, and given up",
            or_nothing(per_second("sutler_webhook_deliveries_total", "outcome")),
            "{{outcome}}",
            "ops",
        ),
        Panel("Endpoints", "max by (status) (sutler_webhook_endpoints)", "{{status}}"),
        Panel("Events that wait for endpoints", oldest("sutler_webhook_deliveries_waiting"), "waiting"),
        Panel("The oldest of them", oldest("sutler_webhook_oldest_waiting_seconds"), "oldest", "s"),
    ],
    "Engine": [
        Panel(
            "Workflow tasks wait for a worker, 99 % within",
            slowest("temporal_workflow_task_schedule_to_start_latency_seconds", 0.99, "task_queue"),
            "{{task_queue}}",
            "s",
        ),
        Panel(
            "Steps wait for a worker, 99 % within",
            slowest("temporal_activity_schedule_to_start_latency_seconds", 0.99, "task_queue"),
            "{{task_queue}}",
            "s",
        ),
        Panel(
            "Steps take, 95 % within",
            slowest("temporal_activity_execution_latency_seconds", 0.95, "activity_type"),
            "{{activity_type}}",
            "s",
        ),
        Panel(
            "Local steps take, 95 % within",
            slowest("temporal_local_activity_execution_latency_seconds", 0.95, "activity_type"),
            "{{activity_type}}",
            "s",
        ),
        Panel(
            "Places left in workers",
            "min by (task_queue, worker_type) (temporal_worker_task_slots_available)",
            "{{task_queue}} {{worker_type}}",
        ),
        Panel("Pollers", "sum by (task_queue, poller_type) (temporal_num_pollers)", "{{task_queue}} {{poller_type}}"),
        Panel(
            "Steps that fail",
            or_nothing(per_second("temporal_activity_execution_failed_total", "activity_type")),
            "{{activity_type}}",
            "ops",
        ),
        Panel(
            "Workflow tasks that fail",
            or_nothing(per_second("temporal_workflow_task_execution_failed_total", "workflow_type")),
            "{{workflow_type}}",
            "ops",
        ),
        Panel("Asked of the engine", per_second("temporal_request_total", "operation"), "{{operation}}", "reqps"),
        Panel(
            "Refused by the engine",
            or_nothing(per_second("temporal_request_failure_total", "operation, status_code")),
            "{{operation}} {{status_code}}",
            "reqps",
        ),
        Panel("Workflows in memory", "sum by (task_queue) (temporal_sticky_cache_size)", "{{task_queue}}"),
    ],
    "Database": [
        Panel("Connections in use", 'sutler_database_connections{state="in_use"}', "{{job}} {{instance}}"),
        Panel(
            "Share of connections in use",
            'sum by (job, instance) (sutler_database_connections{state="in_use"})'
            ' / sum by (job, instance) (sutler_database_connections{state="most"})',
            "{{job}} {{instance}}",
            "percentunit",
        ),
        Panel(
            "Statements given up",
            or_nothing(per_second("sutler_statements_given_up_total", "sqlstate")),
            "{{sqlstate}}",
            "ops",
        ),
        Panel("The replica is behind", oldest("sutler_replica_behind_seconds"), "behind", "s"),
        Panel(
            "Catalogue reads by server",
            or_nothing(per_second("sutler_catalog_reads_total", "server")),
            "{{server}}",
            "ops",
        ),
    ],
    "Cache": [
        Panel(
            "Share of catalogue reads that were ready in memory",
            f"sum(rate(sutler_ready_answers_total[5m])) / sum(rate({REQUESTS}{{{CATALOGUE}}}[5m]))",
            "ready",
            "percentunit",
        ),
        Panel("Ready answers", per_second("sutler_ready_answers_total", "instance"), "{{instance}}", "reqps"),
        Panel(
            "Circuit breakers that are open",
            'max by (dependency) (sutler_circuit_breaker_state{state="open"})',
            "{{dependency}}",
        ),
        Panel(
            "What memory lacked", or_nothing(per_second("sutler_catalog_reads_total", "server")), "{{server}}", "ops"
        ),
    ],
    "Gateway": [
        Panel("In flight, by kind", "sum by (kind) (sutler_requests_in_flight)", "{{kind}}"),
        Panel("Shed, by kind", or_nothing(per_second("sutler_requests_shed_total", "kind")), "{{kind}}", "reqps"),
        Panel("Over a limit", or_nothing(per_second("sutler_requests_limited_total", "limit")), "{{limit}}", "reqps"),
        Panel("Turned away before hot variants", "sum(rate(sutler_checkouts_turned_away_total[5m]))", "away", "reqps"),
        Panel("Answered 4xx", or_nothing(per_second(REQUESTS, "status", 'status=~"4.."')), "{{status}}", "reqps"),
        Panel(
            "Upstreams that Envoy takes for healthy",
            "sum by (envoy_cluster_name) (envoy_cluster_membership_healthy)",
            "{{envoy_cluster_name}}",
        ),
        Panel(
            "Envoy's answers",
            per_second("envoy_cluster_upstream_rq_xx", "envoy_response_code_class"),
            "{{envoy_response_code_class}}xx",
            "reqps",
        ),
        Panel("Spans", or_nothing(per_second("sutler_spans_total", "outcome")), "{{outcome}}", "ops"),
        Panel("Log lines that were lost", "sum(rate(sutler_log_lines_lost_total[5m]))", "lost", "ops"),
    ],
}


def dashboard(name: str, panels: Iterable[Panel]) -> dict[str, Any]:
    return {
        "uid": f"sutler-{name.lower()}",
        "title": f"Sutler: {name}",
        "tags": ["sutler"],
        "timezone": "browser",
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [{"name": "prometheus", "type": "datasource", "query": "prometheus"}]},
        "panels": [_drawn(number, panel) for number, panel in enumerate(panels)],
    }


def _drawn(number: int, panel: Panel) -> dict[str, Any]:
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "datasource": PROMETHEUS,
        "gridPos": {"x": number % 2 * WIDTH, "y": number // 2 * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": "A", "datasource": PROMETHEUS, "expr": panel.query, "legendFormat": panel.legend, "range": True}
        ],
    }


def written(name: str) -> str:
    return json.dumps(dashboard(name, DASHBOARDS[name]), indent=2) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for each in DASHBOARDS:
        (FOLDER / f"{each.lower()}.json").write_text(written(each))
