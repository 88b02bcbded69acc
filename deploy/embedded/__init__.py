"""Postgres, Valkey and Temporal, started from wheels in about two seconds.

In tests, once per session::

    from deploy.embedded import stack

    with stack() as running:            # in a temporary directory, on free ports; gone afterwards
        running.database_url            # "postgresql+asyncpg://postgres:@127.0.0.1:23456/sutler", an empty database
        migrated(running.database)      # the same as settings, for each of the shop's roles: makes the tables
        running.cache_url               # "redis://127.0.0.1:23457/0"
        running.temporal_address        # "127.0.0.1:23458", namespace "default", search attributes registered
        running.environment             # the same as APP_ variables, for child processes

Starting blocks for those two seconds, which a session fixture may do, also an asynchronous one. The servers leave
with the process that started them, even when it is killed. ``stack(directory)`` keeps the files in a directory of
yours; ``stack(ui=True)`` adds the Web UI.
"""

import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from deploy import probes
from deploy.embedded.postgres import app_environment, database_url, owner_environment, postgres
from deploy.embedded.temporal import temporal
from deploy.embedded.valkey import cache_url, valkey
from deploy.ports import free_ports
from deploy.processes import Child, spawn, stop_all
from deploy.service import Service
from runtime.settings import Database
from workflows.names import SEARCH_ATTRIBUTES


@dataclass(frozen=True)
class Running:
    """Where the three servers listen."""

    directory: Path
    postgres_port: int
    valkey_port: int
    temporal_port: int
    temporal_http_port: int
    temporal_ui_port: int | None

    @property
    def database_url(self) -> str:
        """As its superuser, which processes of the shop never are."""
        return database_url(self.postgres_port)

    @property
    def cache_url(self) -> str:
        return cache_url(self.valkey_port)

    @property
    def temporal_address(self) -> str:
        return f"127.0.0.1:{self.temporal_port}"

    @property
    def database(self) -> Database:
        """As processes of the shop see it, and as its owner does."""
        given = {**app_environment(self.postgres_port), **owner_environment(self.postgres_port)}
        return Database.model_validate(
            {name.removeprefix("APP_DATABASE__").lower(): value for name, value in given.items()}
        )

    @property
    def environment(self) -> dict[str, str]:
        """What a child process needs in order to find the servers."""
        return {
            **app_environment(self.postgres_port),
            "APP_CACHE__URL": self.cache_url,
            "APP_TEMPORAL__ADDRESS": self.temporal_address,
        }


@contextmanager
def stack(directory: Path | None = None, *, ui: bool = False, durable: bool = False) -> Iterator[Running]:
    """The three servers, ready, on free ports, and stopped at the end; quick unless they shall be ``durable``."""
    with ExitStack() as at_the_end:
        if directory is None:
            directory = Path(tempfile.mkdtemp(prefix="sutler-stack-"))
            at_the_end.callback(shutil.rmtree, directory, ignore_errors=True)
        ports = iter(free_ports(5))
        running = Running(
            directory=directory,
            postgres_port=next(ports),
            valkey_port=next(ports),
            temporal_port=next(ports),
            temporal_http_port=next(ports),
            temporal_ui_port=next(ports) if ui else None,
        )
        # Postgres last: its first start makes the cluster, while the other two come up beside it.
        services = [
            replace(
                temporal(
                    None,
                    running.temporal_port,
                    http_port=running.temporal_http_port,
                    ui_port=running.temporal_ui_port,
                    attributes=SEARCH_ATTRIBUTES,
                ),
                stop_signal=signal.SIGKILL,  # it would take a second to leave politely and has nothing to save
            ),
            valkey(directory / "valkey", running.valkey_port, hasty=not durable),
            postgres(directory / "postgres", running.postgres_port, hasty=not durable),
        ]
        logs = [directory / f"{service.name}.log" for service in services]
        children: list[Child] = []
        at_the_end.callback(stop_all, children)
        for service, log in zip(services, logs, strict=True):
            service.prepare()
            children.append(spawn(service, log))
        for service, child, log in zip(services, children, logs, strict=True):
            _await_ready(service, child, log)
        yield running


def _await_ready(service: Service, child: Child, log: Path) -> None:
    if not probes.awaited(service.ready, service.start_within, give_up=lambda: not child.is_alive):
        raise RuntimeError(f"{service.name} did not become ready:\n{log.read_text(errors='replace')[-2000:]}")
    service.settle()
