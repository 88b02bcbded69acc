"""The real stack, once per test session: Postgres, Valkey, Temporal, the sandbox, the workers and the API.

Tests share one database and never empty it; each makes the products, carts and people that it needs.
"""

import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import hypothesis
import pytest

from deploy import embedded
from deploy.private import on_free_ports
from domain.customers import Role
from runtime.databases import migrated
from runtime.resources import Resources, opened
from runtime.settings import Settings
from tests.support.events import events_tell_the_orders
from tests.support.processes import answers, process
from tests.support.staff import headers_of
from workers.run import serving

LONGEST_FIRST = (
    "chaos",
    "journeys",
    "gateway",
    "deploy",
    "failures",
    "operations",
    "replay",
    "api",
    "runtime",
    "workflows",
)
"""Folders whose files take long. Two files run at a time; the short ones come last and fill what is left."""


hypothesis.settings.register_profile(
    "however busy the machine is", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("however busy the machine is")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell that starts tests in the background has them ignore Ctrl-C, and so would whatever they stop by it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

THROUGH_THE_API = "api"
"""Its tests are about the API's process, which is measured. To measure its workers as well, which run beside the tests
and have tests of their own, would take half as long again."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {folder: place for place, folder in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: places.get(item.path.parent.name, len(places)))
    for item in items:
        if item.path.parent.name == THROUGH_THE_API:
            item.add_marker(pytest.mark.no_cover)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """A run is long, and somebody may have to stop it: what fails is told when it fails."""
    if report.failed and "PYTEST_XDIST_WORKER" not in os.environ:
        print(f"\n{report.nodeid} failed: {reason_of(report)}", flush=True)


def reason_of(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    return crash.message if crash else report.longreprtext[-1000:]


@pytest.fixture(scope="session")
def stack() -> Iterator[embedded.Running]:
    with embedded.stack() as running:
        migrated(running.database)
        yield running


@pytest.fixture(scope="session")
def environment(stack: embedded.Running, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The APP_ variables of every process of this session."""
    shop = on_free_ports(
        tmp_path_factory.mktemp("shop"),
        postgres_port=stack.postgres_port,
        valkey_port=stack.valkey_port,
        temporal_port=stack.temporal_port,
        temporal_http_port=stack.temporal_http_port,
    )
    return {
        **shop.environment(),
        **shop.owner_environment(),
        "APP_ENV": "test",
        "APP_LOG_LEVEL": "WARNING",
        "APP_SHOP__LANGUAGES": '["de", "de-AT", "fr"]',
        # How long an answer takes on a busy machine is not what tests are about.
        "APP_DATABASE__POOL_WAIT_SECONDS": "20",
        "APP_API__CHECKOUT_WAIT_SECONDS": "40",
        # Tests write orders without workflows into the database that they share; no audit may judge those.
        "APP_OPERATIONS__IS_SCHEDULED": "false",
    }


@pytest.fixture(scope="session")
def settings(environment: dict[str, str]) -> Iterator[Settings]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        yield Settings()


@pytest.fixture(scope="session")
def sandbox_url(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The sandbox process: payments, mail, ledger and faults."""
    url = f"http://127.0.0.1:{environment['APP_SANDBOX__PORT']}"
    log = tmp_path_factory.mktemp("sandbox") / "sandbox.log"
    with process("sandbox", environment=environment, ready=answers(f"{url}/health"), log=log, is_counted=True):
        yield url


@pytest.fixture(scope="session")
async def sandbox(sandbox_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the sandbox: its mails, its ledger, its faults."""
    async with httpx.AsyncClient(base_url=sandbox_url) as client:
        yield client


@pytest.fixture(scope="session")
async def resources(settings: Settings) -> AsyncIterator[Resources]:
    async with opened(settings) as opened_resources:
        yield opened_resources
        await events_tell_the_orders(opened_resources.sessions)


@pytest.fixture(scope="session")
async def workers(resources: Resources, sandbox_url: str) -> AsyncIterator[None]:
    """All task queues, served by the test process itself."""
    async with serving(resources):
        yield


@pytest.fixture(scope="session")
def api_url(settings: Settings, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The API as it runs in production: its own process behind its real server."""
    log = tmp_path_factory.mktemp("api") / "api.log"
    url = f"http://127.0.0.1:{settings.api.port}"
    ready = answers(f"{url}/health")
    with process("cli", "api", environment=environment, ready=ready, log=log, is_counted=True):
        yield url


@pytest.fixture
async def api(api_url: str, workers: None) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a session of its own: pass headers to be somebody."""
    limits = httpx.Limits(max_connections=250)
    async with httpx.AsyncClient(base_url=api_url, timeout=60, limits=limits) as client:
        yield client


@pytest.fixture
async def operator(resources: Resources) -> dict[str, str]:
    """Headers of somebody who may do what operators may, for a quarter of an hour."""
    return await headers_of(resources, Role.OPERATOR)


@pytest.fixture
def log_file(tmp_path: Path) -> Path:
    return tmp_path / "process.log"
