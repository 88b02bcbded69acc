"""The supervisor by itself, with parts that misbehave."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from deploy.ports import free_ports
from deploy.service import Service, Stage
from deploy.supervisor import DidNotStartError, Patience, Supervisor, how_it_ended
from tests.deploy.standin_stack import STANDIN, web


class Notes:
    """A display that remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.spoken: asyncio.Queue[str] = asyncio.Queue()

    def starting(self, name: str) -> None:
        self.lines.append(f"{name} …")

    def ready(self, name: str, seconds: float) -> None:
        self.lines.append(f"{name} ready")

    def say(self, message: str) -> None:
        self.spoken.put_nowait(message)

    async def hear(self, times: int) -> list[str]:
        async with asyncio.timeout(20 * times):
            return [await self.spoken.get() for _ in range(times)]


@asynccontextmanager
async def supervised(directory: Path, *stages: Stage, patience: Patience | None = None) -> AsyncIterator[Notes]:
    notes = Notes()
    supervisor = Supervisor(directory, notes, patience)
    try:
        await supervisor.bring_up(stages)
        yield notes
    finally:
        await supervisor.stop()
        assert supervisor.pids() == {}


def told_by_file(directory: Path, manner: str, **changes: object) -> Service:
    """A stand-in that touches a file when it is ready."""
    file = directory / f"{manner}.ready"
    argv = [*STANDIN, manner]
    service = Service(name=manner, argv=argv, env={"APP_READY_FILE": str(file)}, ready=file.exists)
    return Service(**{**vars(service), "prepare": partial(file.unlink, missing_ok=True), **changes})


async def test_stages_wait_for_the_one_before(tmp_path: Path) -> None:
    first, second = free_ports(2)
    async with supervised(tmp_path, [web("first", first)], [web("second", second)]) as notes:
        assert notes.lines == ["first …", "first ready", "second …", "second ready"]


async def test_a_part_that_keeps_dying_is_tried_again_ever_more_rarely_and_its_log_is_shown(tmp_path: Path) -> None:
    doomed = told_by_file(tmp_path, "doomed")
    patience = Patience(quick_deaths=2, between_rare_tries=0.25)
    async with supervised(tmp_path, [doomed], patience=patience) as notes:
        heard: list[str] = []
        while sum("keeps dying" in line for line in heard) < 2:
            heard += await notes.hear(1)
    deaths = [line for line in heard if line.startswith("doomed died")]
    log = tmp_path / "logs" / "doomed.log"
    rarely = f"doomed died (exit code 3) and keeps dying; next try in 0.25 s.\n  | the roof is on fire\n  Log: {log}"
    assert deaths == ["doomed died (exit code 3); restarting"] * 2 + [rarely] * 2


async def test_a_part_that_does_not_get_ready_stops_the_start(tmp_path: Path) -> None:
    mute = told_by_file(tmp_path, "mute", start_within=3.0)
    with pytest.raises(DidNotStartError) as problem:
        async with supervised(tmp_path, [mute], [web("never", free_ports(1)[0])]):
            pass
    log = tmp_path / "logs" / "mute.log"
    assert str(problem.value) == f"mute was not ready after 3 s.\n  | thinking\n  Log: {log}"
    assert not (tmp_path / "logs" / "never.log").exists()


async def test_a_part_that_dies_before_it_is_ready_stops_the_start(tmp_path: Path) -> None:
    broken = Service(name="broken part", argv=["sh", "-c", "echo no config; exit 4"], ready=lambda: False)
    with pytest.raises(DidNotStartError) as problem:
        async with supervised(tmp_path, [broken]):
            pass
    log = tmp_path / "logs" / "broken-part.log"
    assert str(problem.value) == f"broken part died before it was ready (exit code 4).\n  | no config\n  Log: {log}"


async def test_a_program_that_does_not_exist_is_said_in_words(tmp_path: Path) -> None:
    absent = Service(name="absent", argv=["/nowhere/absent"], ready=lambda: True)
    with pytest.raises(DidNotStartError, match=r"^absent did not start: .*/nowhere/absent"):
        async with supervised(tmp_path, [absent]):
            pass


async def test_a_part_that_overstays_is_killed_with_its_children(tmp_path: Path) -> None:
    port = free_ports(1)[0]
    stubborn = web("stubborn", port, "stubborn")
    async with supervised(tmp_path, [Service(**{**vars(stubborn), "stop_within": 0.2})]):
        assert stubborn.ready()
    assert not stubborn.ready()


async def test_the_log_of_the_run_before_is_kept_beside_the_new_one(tmp_path: Path) -> None:
    def said(word: str) -> Service:
        argv = [sys.executable, "-c", f"print('{word}', flush=True); import signal; signal.pause()"]
        log = tmp_path / "logs" / "talker.log"
        return Service(name="talker", argv=argv, ready=lambda: log.exists() and word in log.read_text())

    async with supervised(tmp_path, [said("first")]):
        pass
    async with supervised(tmp_path, [said("second")]):
        pass
    assert (tmp_path / "logs" / "talker.log").read_text() == "second\n"
    assert (tmp_path / "logs" / "talker.log.before").read_text() == "first\n"


@pytest.mark.parametrize(("code", "words"), [(-9, "killed by signal 9"), (0, "exit code 0"), (3, "exit code 3")])
def test_an_exit_code_is_told_in_words(code: int, words: str) -> None:
    assert how_it_ended(code) == words
