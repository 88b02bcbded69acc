"""What machines ask: alive, ready, metrics, and the description of the API."""

import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.processes import answers, free_port, process


async def test_a_process_that_runs_is_healthy(api: httpx.AsyncClient) -> None:
    answer = await api.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_a_process_is_ready_with_all_that_it_depends_on(api: httpx.AsyncClient) -> None:
    answer = await api.get("/ready")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ok",
        "checks": {"database": "ok", "cache": "ok", "workflow_engine": "ok"},
    }


@pytest.fixture(
    params=[
        ("database", "APP_DATABASE__URL", "postgresql+asyncpg://postgres:@127.0.0.1:{port}/sutler"),
        ("cache", "APP_CACHE__URL", "redis://127.0.0.1:{port}/0"),
        ("workflow_engine", "APP_TEMPORAL__ADDRESS", "127.0.0.1:{port}"),
    ],
    ids=lambda param: param[0],
)
async def without(
    request: pytest.FixtureRequest, environment: dict[str, str], log_file: Path
) -> AsyncIterator[tuple[str, httpx.AsyncClient]]:
    """An API without one of the parts that it depends on."""
    part, variable, address = request.param
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = {**environment, "APP_API__PORT": str(port), variable: address.format(port=free_port())}
    with process("cli", "api", environment=settings, ready=answers(f"{url}/health"), log=log_file):
        async with httpx.AsyncClient(base_url=url, timeout=30) as client:
            yield part, client


async def test_a_missing_part_is_named_soon_and_only_the_cache_can_be_done_without(
    without: tuple[str, httpx.AsyncClient],
) -> None:
    part, api = without
    began = time.monotonic()

    answer = await api.get("/ready")

    assert time.monotonic() - began < 3
    checks = {"database": "ok", "cache": "ok", "workflow_engine": "ok", part: "unavailable"}
    status = 200 if part == "cache" else 503
    assert answer.status_code == status
    assert answer.json() == {"status": "ok" if status == 200 else "unavailable", "checks": checks}
    assert (await api.get("/health")).status_code == 200


async def counted(api: httpx.AsyncClient, line: str) -> float:
    text = (await api.get("/metrics")).text
    found = [row.rsplit(" ", 1)[1] for row in text.splitlines() if row.startswith(line)]
    return float(found[0]) if found else 0.0


async def test_requests_are_counted_under_the_template_of_their_route(api: httpx.AsyncClient) -> None:
    for address, status, path in (
        (f"/v1/carts/{uuid4()}", 404, "/v1/carts/{cart_id}"),
        (f"/nothing/{uuid4()}", 404, "unmatched"),
        ("/v1/users/me", 401, "/v1/users/me"),
    ):
        line = f'http_requests_total{{method="GET",path="{path}",status="{status}"}}'
        before = await counted(api, line)
        assert (await api.get(address)).status_code == status
        assert await counted(api, line) == before + 1
        duration = f'http_request_duration_seconds_count{{method="GET",path="{path}"}}'
        assert await counted(api, duration) >= 1


async def test_a_word_that_is_no_method_is_not_a_time_series(api: httpx.AsyncClient) -> None:
    await api.request("BREW", "/v1/users/me")
    text = (await api.get("/metrics")).text
    assert "BREW" not in text
    assert 'method="other"' in text


async def test_no_caller_makes_a_time_series(api: httpx.AsyncClient) -> None:
    for n in range(5):
        await api.request(f"WORD{n}", f"/v1/orders/{uuid4()}", headers={"X-Request-Id": f"series-{n}"})
        await api.get(f"/v1/products/{uuid4()}?q={uuid4()}")
        await api.get(f"/nowhere/{uuid4()}")
    read = text_string_to_metric_families((await api.get("/metrics")).text)
    samples = [sample for family in read for sample in family.samples]
    values = {(name, value) for sample in samples for name, value in sample.labels.items() if name != "le"}
    routes = {value for name, value in values if name == "path"}
    assert "/v1/products/{product}" in routes
    assert not [route for route in routes if re.search(r"[0-9a-f]{8}-", route)]
    assert {value for name, value in values if name == "method"} <= KNOWN_METHODS
    assert not [value for _, value in values if "series-" in value or "WORD" in value]
    assert {name for name, _ in values} <= BOUNDED


KNOWN_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other"}
BOUNDED = {
    *("method", "path", "status", "kind", "limit", "concern", "law", "server", "dependency", "state", "outcome"),
    *("sqlstate", "direction", "implementation", "major", "minor", "patchlevel", "version", "generation"),
}
"""All labels of the API's numbers: none holds what callers choose."""


async def test_the_metrics_come_in_the_format_of_prometheus(api: httpx.AsyncClient) -> None:
    answer = await api.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert answer.headers["content-type"].count("charset") == 1


@pytest.fixture
async def document(api: httpx.AsyncClient) -> dict[str, Any]:
    answer = await api.get("/openapi.json")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    body: dict[str, Any] = answer.json()
    return body


def test_the_description_is_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"


def test_every_operation_says_what_it_is_and_how_it_refuses(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            name = f"{method} {path}"
            assert operation.get("summary"), name
            assert operation.get("description"), name
            assert operation.get("tags"), name
            if path.startswith("/v1"):
                for status, answer in operation["responses"].items():
                    if int(status) >= 400:
                        assert "application/problem+json" in answer["content"], f"{name} {status}"


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    known = document["components"]["schemas"].keys()

    def references(part: Any) -> set[str]:
        match part:
            case {"$ref": str(reference)}:
                return {reference}
            case dict():
                return set().union(*(references(value) for value in part.values()))
            case list():
                return set().union(*(references(value) for value in part))
        return set()

    assert references(document) <= {f"#/components/schemas/{name}" for name in known}


def test_bodies_are_described_as_they_are_checked(document: dict[str, Any]) -> None:
    account = document["components"]["schemas"]["NewAccount"]
    assert account["additionalProperties"] is False
    assert account["required"] == ["username", "email", "password"]
    assert account["properties"]["username"] == {
        "type": "string",
        "title": "Username",
        "minLength": 3,
        "maxLength": 50,
        "pattern": "^[A-Za-z0-9_.-]+$",
    }
    assert account["properties"]["password"]["writeOnly"] is True


async def test_people_can_browse_the_description_without_the_internet(api: httpx.AsyncClient) -> None:
    page = await api.get("/docs")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "://" not in page.text
    for asset, kind in (("swagger-ui.css", "text/css"), ("swagger-ui-bundle.js", "text/javascript")):
        assert f"/docs/assets/{asset}" in page.text
        answer = await api.get(f"/docs/assets/{asset}")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == f"{kind}; charset=utf-8"
        assert len(answer.content) > 100_000
    assert (await api.get("/docs/assets/..%2Fswagger.html")).status_code == 404
