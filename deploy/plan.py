"""What makes up the development stack, in the order in which it comes up."""

import os
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from deploy import probes
from deploy.embedded.postgres import postgres
from deploy.embedded.temporal import temporal
from deploy.embedded.valkey import valkey
from deploy.gateway.files import Gateway
from deploy.gateway.servers import envoy, nginx
from deploy.service import Chore, Service, Stage
from deploy.settings import HOST, UpSettings
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
        [*_apis(settings, environment), *(_worker(queue, settings, environment) for queue in Queue)],
        *([[envoy(_gateway(settings))], [nginx(_gateway(settings))]] if settings.gateway else []),
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


def _apis(settings: UpSettings, environment: dict[str, str]) -> list[Service]:
    first = _api("api", settings.api_url, environment)
    if not settings.gateway:
        return [first]
    elsewhere = {**environment, "APP_API__PORT": str(settings.second_api_port)}
    return [first, _api("second api", settings.second_api_url, elsewhere)]


def _api(name: str, url: str, environment: dict[str, str]) -> Service:
    return Service(
        name=name,
        argv=_python("cli", "api"),
        env=environment,
        address=url,
        ready=partial(probes.http_answers, f"{url}/ready"),
    )


def _gateway(settings: UpSettings) -> Gateway:
    directory = settings.directory / "gateway"
    return Gateway(
        directory=directory,
        apis=((HOST, settings.api_port), (HOST, settings.second_api_port)),
        envoys=((HOST, settings.envoy_port),),
        envoy=(HOST, settings.envoy_port),
        stats=(HOST, settings.envoy_metrics_port),
        http=(HOST, settings.gateway_port),
        https=(HOST, settings.gateway_tls_port),
        certificate=directory / "tls.crt",
        certificate_key=directory / "tls.key",
        nginx_workers="1",
        nginx_user="root" if os.geteuid() == 0 else None,
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
