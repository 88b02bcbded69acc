"""Which processes of a killed supervisor are ended, and whose are not."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.claim import AlreadyRunningError, claimed, end_leftovers, ownership, record
from deploy.processes import birth


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(["/bin/sleep", "600"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


def test_a_recorded_process_is_ended(tmp_path: Path, sleeper: "subprocess.Popen[bytes]") -> None:
    record(tmp_path, {"sleeper": sleeper.pid})
    assert end_leftovers(tmp_path) == ["sleeper"]
    assert birth(sleeper.pid) is None
    assert end_leftovers(tmp_path) == []


def test_a_stranger_that_has_got_a_recorded_pid_is_left_alone(
    tmp_path: Path, sleeper: "subprocess.Popen[bytes]"
) -> None:
    record(tmp_path, {"sleeper": sleeper.pid})
    recorded = tmp_path / "processes.json"
    born = birth(sleeper.pid)
    assert born is not None
    recorded.write_text(recorded.read_text().replace(born, "another-boot/1"))

    assert end_leftovers(tmp_path) == []

    assert birth(sleeper.pid) == born


@pytest.mark.parametrize("is_ours", [True, False])
def test_of_a_dead_leaders_session_only_our_own_processes_are_ended(tmp_path: Path, *, is_ours: bool) -> None:
    shell = subprocess.Popen(
        ["/bin/sh", "-c", "sleep 600 & echo $!; exec sleep 600"],
        stdout=subprocess.PIPE,
        env=ownership(tmp_path if is_ours else tmp_path / "other"),
        start_new_session=True,
    )
    assert shell.stdout is not None
    orphan = int(shell.stdout.readline())
    record(tmp_path, {"shell": shell.pid})
    shell.kill()
    shell.wait()

    assert end_leftovers(tmp_path) == (["shell"] if is_ours else [])

    assert (birth(orphan) is None) == is_ours
    with contextlib.suppress(ProcessLookupError):
        os.kill(orphan, signal.SIGKILL)
    shell.stdout.close()


@pytest.mark.parametrize("content", ["", "{", "{}"])
def test_a_record_that_says_nothing_ends_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "processes.json").write_text(content)
    assert end_leftovers(tmp_path) == []


def test_a_directory_is_claimed_by_one_at_a_time(tmp_path: Path) -> None:
    with claimed(tmp_path), pytest.raises(AlreadyRunningError), claimed(tmp_path):
        pass
    with claimed(tmp_path):
        pass
