"""The workflow engine, and those who work for it."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr

from runtime.settings.section import Port, Section


class Temporal(Section):
    """The workflow engine."""

    address: str = "127.0.0.1:7233"
    """Host and port of the Temporal frontend."""
    namespace: str = "default"
    """The engine's namespace, which has to be there."""
    is_compressed: bool = False
    """Compress what goes to the engine: for slow networks; inside a data centre it only costs processor time."""
    encryption_keys: SecretStr = SecretStr("")
    """What payloads are encrypted with: ``id:base64`` of 32 random bytes, several with commas between, the newest
    first. Empty, they are not encrypted, which production refuses."""
    ui_url: str = "http://127.0.0.1:8233"
    """Where people open the Web UI; printed in links, never called."""


class Workers(Section):
    """How a worker works, and where it can be watched."""

    sandboxed: bool = True
    """Run workflow code in Temporal's determinism sandbox. Costs a quarter of a worker's CPU; CI always has it on."""
    max_concurrent_activities: Annotated[int, Field(ge=1)] = 20
    """So many activities of one task queue a process carries out at a time."""
    max_concurrent_workflow_tasks: Annotated[int, Field(ge=2)] = 10
    """So many stories of one task queue a process moves on at a time."""
    graceful_stop_seconds: Annotated[int, Field(ge=1)] = 15
    """How long a worker that was told to stop may finish what it has begun."""
    metrics_host: str = "0.0.0.0"  # noqa: S104 (Prometheus and orchestrators ask from elsewhere)
    """The address on which a worker answers what the ports below are for."""
    metrics_port: Port | None = None
    """Where the process answers ``/metrics``, ``/health`` and ``/ready``; unset, it does not."""
    engine_metrics_port: Port | None = None
    """Where what the engine's SDK counts is read, at ``/metrics``: queues, latencies, failures; unset, nowhere."""
    nice: Annotated[int, Field(ge=0, le=19)] = 0
    """How far the process gives way to others on the same machine; where workers have machines of their own, 0."""
    deployment: str | None = None
    """The Worker Deployment that this process belongs to; together with ``build_id`` it makes the engine tell builds of
    the code apart. Unset, as in development, every worker takes every order."""
    build_id: str | None = None
    """Which build of the code this is, such as the tag of its image; no two builds may share one."""
    breakpoints: Path | None = None
    """Where a chaos run names the steps at which workers stop so that something can be killed; only in tests."""


class Operations(Section):
    """What the shop does by the clock."""

    is_scheduled: bool = True
    """Audit and reconciliation run by the clock; otherwise their schedules are made paused."""
