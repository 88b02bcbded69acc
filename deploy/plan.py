"""What makes up the development stack, in the order in which it comes up."""

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from deploy import probes
from deploy.embedded.postgres import postgres
from deploy.embedded.temporal import temporal
from deploy.embedded.valkey import valkey
from deploy.service import Chore, Service, Stage
from deploy.settings import UpSettings
from workflows.names import SEARCH_ATTRIBUTES, Queue

READY_FILE = "APP_READY_FILE"

NICE = {
    Queue.FULFILLMENT: 10,
    Queue.REGISTRATION: 10,
    Queue.NOTIFICATIONS: 10,
    Queue.OPERATIONS: 10,
    Queue.EVENTS: 10,
    Queue.WEBHOOKS: 10,
    Queue.CATALOG: 15,
}
"""On one machine, work that a customer waits for goes before mails and parcels."""


def the_stack(
    settings: UpSettings, overrides: Mapping[str, str] | None = None, *, products: int | None = None
) -> list[Stage]:
    """Servers, then data, then the sandbox, then ourselves.

    ``overrides`` are variables that win over all others; ``products`` says how many the catalogue begins with.
    """
    how_many = ["--products", str(products)] if products else []
    environment = {**settings.environment(), "PYTHONUNBUFFERED": "1", **(overrides or {})}
    return [
        servers(settings),
        Chore(name="migrations", argv=_python("cli", "migrate"), env={**environment, **settings.owner_environment()}),
        Chore(name="catalogue", argv=_python("cli", "catalog", "demo", "--if-empty", *how_many), env=environment),
        Chore(name="demo accounts", argv=_python("cli", "accounts", "demo"), env=environment),
        [_sandbox(settings, environment)],
        [_api(settings, environment), *(_worker(queue, settings, environment) for queue in Queue)],
    ]


def servers(settings: UpSettings) -> list[Service]:
    """PostgreSQL, Valkey and Temporal, with their data kept."""
    return [
        postgres(settings.directory / "postgres", settings.postgres_port),
        valkey(settings.directory / "valkey", settings.valkey_port),
        temporal(
            settings.directory / "temporal.sqlite3",
            settings.temporal_port,
            http_port=settings.temporal_http_port,
            ui_port=settings.web_ui_port,
            attributes=SEARCH_ATTRIBUTES,
            codec_url=f"{settings.api_url}/codec",
        ),
    ]


def _sandbox(settings: UpSettings, environment: dict[str, str]) -> Service:
    return Service(
        name="sandbox",
        argv=_python("sandbox"),
        env=environment,
        address=settings.sandbox_url,
        ready=partial(probes.http_answers, f"{settings.sandbox_url}/health"),
    )


def _api(settings: UpSettings, environment: dict[str, str]) -> Service:
    return Service(
        name="api",
        argv=_python("cli", "api"),
        env=environment,
        address=settings.api_url,
        ready=partial(probes.http_answers, f"{settings.api_url}/ready"),
    )


def _worker(queue: Queue, settings: UpSettings, environment: dict[str, str]) -> Service:
    ready_file = settings.directory / "run" / f"{queue}-worker.ready"
    return Service(
        name=f"{queue} worker",
        argv=_python("cli", "worker", queue),
        env={**environment, READY_FILE: str(ready_file), "APP_WORKERS__NICE": str(NICE.get(queue, 0))},
        address=f"task queue {queue}",
        prepare=partial(_expect, ready_file),
        ready=ready_file.exists,
    )


def _expect(ready_file: Path) -> None:
    ready_file.parent.mkdir(parents=True, exist_ok=True)
    ready_file.unlink(missing_ok=True)


def _python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]
