"""``up`` as people meet it: a process that they start, interrupt, kill and start again."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import asyncpg
import psutil
import pytest
import redis

from deploy.embedded.temporal import cli as temporal_cli
from deploy.probes import awaited
from deploy.processes import birth
from deploy.settings import UpSettings
from tests.deploy.conftest import UpUnderTest, are_gone

PARTS = ["postgres", "valkey", "temporal", "sandbox", "api", "payments worker"]


async def remember(settings: UpSettings, word: str) -> None:
    """Store the word in each of the three servers."""
    async with shop_database(settings) as database:
        await database.execute("CREATE TABLE IF NOT EXISTS words (word text PRIMARY KEY)")
        await database.execute("INSERT INTO words VALUES ($1)", word)
    with cache(settings) as valkey:
        valkey.set(word, "kept")
    temporal(settings, "workflow", "start", "--workflow-id", word, "--type", "Word", "--task-queue", "nobody")


async def recalled(settings: UpSettings, word: str) -> tuple[object, object, object]:
    """What each of the three servers still knows of the word."""
    async with shop_database(settings) as database:
        row = await database.fetchval("SELECT word FROM words WHERE word = $1", word)
    with cache(settings) as valkey:
        value = valkey.get(word)
    workflow = temporal(settings, "workflow", "describe", "--workflow-id", word, "--output", "json")
    return row, value, json.loads(workflow)["workflowExecutionInfo"]["status"]


KNOWN = "WORKFLOW_EXECUTION_STATUS_RUNNING"


@asynccontextmanager
async def shop_database(settings: UpSettings) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(f"postgresql://postgres:@127.0.0.1:{settings.postgres_port}/sutler")
    try:
        yield connection
    finally:
        connection.terminate()


@contextmanager
def cache(settings: UpSettings) -> Iterator["redis.Redis"]:
    client = redis.Redis(port=settings.valkey_port)
    yield client
    client.close()


def temporal(settings: UpSettings, *arguments: str) -> str:
    command = [temporal_cli(), *arguments, "--address", settings.temporal_address]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("part", PARTS)
async def test_a_killed_part_is_noticed_and_restarted_and_nothing_is_lost(up_for_all: UpUnderTest, part: str) -> None:
    word = part.replace(" ", "-")
    await remember(up_for_all.settings, word)
    before = up_for_all.pids()

    up_for_all.kill(part)

    up_for_all.await_output(f"{part} died (killed by signal 9); restarting")
    up_for_all.await_output(f"{part} restarted, ready after ")
    after = up_for_all.pids()
    assert after.keys() == before.keys() == set(PARTS)
    assert [name for name in PARTS if after[name] != before[name]] == [part]
    assert await recalled(up_for_all.settings, word) == (word, b"kept", KNOWN)


async def test_postgres_comes_back_although_a_busy_backend_of_the_killed_one_lives_on(up_for_all: UpUnderTest) -> None:
    restarts = up_for_all.output.count("postgres restarted")
    async with shop_database(up_for_all.settings) as database, shop_database(up_for_all.settings) as observer:
        # A backend that computes does not notice the death of its postmaster, and holds on to the shared memory.
        backend = database.get_server_pid()
        born = birth(backend)
        query = asyncio.create_task(database.fetchval("SELECT count(*) FROM generate_series(1, 10000000000)"))
        while await observer.fetchval("SELECT state FROM pg_stat_activity WHERE pid = $1", backend) != "active":
            pass

        up_for_all.kill("postgres")

        up_for_all.wait_until(lambda: up_for_all.output.count("postgres restarted") > restarts)
        assert birth(backend) != born
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
            await query


def test_no_child_shares_the_terminal_of_the_supervisor(up_for_all: UpUnderTest) -> None:
    pids = up_for_all.pids()
    assert {name: os.getsid(pid) for name, pid in pids.items()} == pids


def test_everything_listens_on_the_loopback_address_only(up_for_all: UpUnderTest) -> None:
    addresses = {
        connection.laddr.ip
        for process in up_for_all.processes()
        for connection in process.net_connections(kind="tcp")
        if connection.status == "LISTEN" and connection.laddr
    }
    assert addresses == {"127.0.0.1"}


def test_the_overview_names_every_part_with_its_address_and_the_sign_ins(up_for_all: UpUnderTest) -> None:
    settings = up_for_all.settings
    for expected in (
        f"│ postgres            │ postgresql://postgres@127.0.0.1:{settings.postgres_port}/sutler",
        f"│ temporal web ui     │ {settings.web_ui_url}",
        "│ payments worker     │ task queue payments",
        "│ sign in as operator │ operator@example.com, password sutler-demo-1",
        "│ sign in as customer │ shopper@example.com, password sutler-demo-1",
        f"workflow list --address {settings.temporal_address}\n",
        f"  curl -s '{settings.api_url}/v1/products?limit=3'\n",
    ):
        assert expected in up_for_all.output


def test_a_second_stack_in_the_same_directory_is_refused(up_for_all: UpUnderTest) -> None:
    first = up_for_all.runs[-1]
    second = subprocess.run(
        [sys.executable, "-m", "deploy.up"], env=up_for_all.environment(), capture_output=True, text=True, check=False
    )
    assert second.returncode == 1
    assert second.stdout == (
        f"The stack already runs in {up_for_all.data} (pid {first.pid}). "
        "Use that one, stop it first, or choose another directory with APP_UP__DATA_DIR.\n"
    )
    assert first.poll() is None


def test_reset_is_refused_while_the_stack_runs(up_for_all: UpUnderTest) -> None:
    refused = subprocess.run(
        [sys.executable, "-m", "deploy.up", "reset", "--yes"],
        env=up_for_all.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 1
    assert refused.stdout.startswith(f"The stack already runs in {up_for_all.data} ")
    assert (up_for_all.data / "postgres" / "PG_VERSION").exists()


async def test_ctrl_c_leaves_no_process_behind_and_the_next_up_finds_the_data(up_here: UpUnderTest) -> None:
    up_here.up()
    await remember(up_here.settings, "word")
    lives = {process.pid: birth(process.pid) for process in up_here.processes()}
    assert set(up_here.pids().values()) <= set(lives)

    assert up_here.stop() == 0

    assert are_gone(lives)
    assert up_here.processes() == []
    assert up_here.output.endswith("Stopped. The data is kept; `make up` finds it again.\n")

    up_here.up()
    assert await recalled(up_here.settings, "word") == ("word", b"kept", KNOWN)
    assert up_here.stop() == 0


async def test_nothing_survives_a_killed_supervisor_and_the_next_up_finds_the_data(up_here: UpUnderTest) -> None:
    supervisor = up_here.up()
    await remember(up_here.settings, "word")
    parts = {pid: birth(pid) for pid in up_here.pids().values()}
    everything = {process.pid: birth(process.pid) for process in up_here.processes()}

    supervisor.kill()
    supervisor.wait()

    assert awaited(lambda: are_gone(parts), within=20)
    assert not are_gone(everything)  # the child of our stand-in for a web server: Linux tells only its parent
    up_here.up()
    assert up_here.output.startswith("Stopped api, left over from a stack that was killed.\n")
    assert are_gone(everything)
    assert await recalled(up_here.settings, "word") == ("word", b"kept", KNOWN)
    assert up_here.stop() == 0


def test_a_part_that_outlives_a_killed_supervisor_is_stopped_by_the_next_up(up_here: UpUnderTest) -> None:
    supervisor = up_here.up("stubborn")
    (api,) = up_here.pids().values()
    born = birth(api)
    supervisor.kill()
    supervisor.wait()
    assert birth(api) == born  # it ignores SIGTERM

    up_here.up("hollow")

    assert up_here.output.startswith("Stopped api, left over from a stack that was killed.\n")
    assert birth(api) != born
    assert up_here.stop() == 0


def test_a_second_ctrl_c_does_not_wait_for_a_part_that_does_not_leave(up_here: UpUnderTest) -> None:
    supervisor = up_here.up("stubborn")
    supervisor.send_signal(signal.SIGINT)
    up_here.await_output("Stopping. Press Ctrl-C again to stop at once.")
    assert supervisor.poll() is None

    assert up_here.stop() == 0

    assert "Stopping at once." in up_here.output
    assert up_here.processes() == []


def test_ctrl_c_while_the_stack_comes_up_stops_it(up_here: UpUnderTest) -> None:
    up_here.launch("endless")
    up_here.await_output("migrations …")
    up_here.wait_until(lambda: "chore 0" in up_here.pids())

    assert up_here.stop() == 0

    assert up_here.processes() == []


def test_a_failing_chore_stops_the_start_and_shows_its_log(up_here: UpUnderTest) -> None:
    failed = up_here.launch("failing")

    assert failed.wait(30) == 1

    log = up_here.data / "logs" / "migrations.log"
    assert f"migrations failed (exit code 7).\n  | no such table\n  Log: {log}\n" in up_here.output
    assert "api …" not in up_here.output
    assert up_here.processes() == []


def test_every_taken_port_is_named_with_its_holder_before_anything_starts(up_here: UpUnderTest) -> None:
    settings = up_here.settings
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", settings.api_port))
        stranger.listen()
        refused = up_here.launch(APP_UP__VALKEY_PORT=str(settings.sandbox_port))
        assert refused.wait(30) == 1

    first, choose_first, second, choose_second = up_here.output.splitlines()
    assert first == f"Port {settings.api_port} for the API is taken by {own_name()} (pid {os.getpid()})."
    assert choose_first.startswith("  Choose another one: APP_UP__API_PORT=")
    assert second == f"Port {settings.sandbox_port} is chosen twice: for the sandbox and Valkey."
    assert choose_second.startswith("  Choose another one: APP_UP__VALKEY_PORT=")
    assert [path.name for path in up_here.data.iterdir()] == ["lock"]


def own_name() -> str:
    return psutil.Process().name()


def test_a_port_that_is_no_port_is_refused_by_its_variable(up_here: UpUnderTest) -> None:
    refused = subprocess.run(
        [sys.executable, "-m", "deploy.up"],
        env=up_here.environment() | {"APP_UP__API_PORT": "eighty"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 1
    assert refused.stdout == (
        "APP_UP__API_PORT=eighty: Input should be a valid integer, unable to parse string as an integer\n"
    )


def test_the_development_stack_refuses_production(up_here: UpUnderTest) -> None:
    refused = up_here.launch(APP_ENV="production")
    assert refused.wait(30) == 1
    assert up_here.output == "`up` is the development stack; unset APP_ENV=production to use it.\n"
    assert not up_here.data.exists()
