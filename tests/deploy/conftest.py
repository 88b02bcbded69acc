"""A stack under test: ``up`` in a process of its own, with a directory and ports of its own."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psutil
import pytest

from deploy.claim import OWNER
from deploy.ports import free_ports
from deploy.probes import awaited
from deploy.processes import birth
from deploy.settings import PREFIX, UpSettings

SCRIPT = Path(__file__).with_name("standin_stack.py")
PATIENCE = 30.0


class UpUnderTest:
    """Starts, watches and ends ``up`` processes in one data directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        names = [name for name in UpSettings.model_fields if name.endswith("_port")]
        ports = dict(zip(names, free_ports(len(names)), strict=True))
        self.settings = UpSettings.model_validate({"data_dir": directory / "data", **ports})
        self.runs: list[subprocess.Popen[bytes]] = []

    @property
    def data(self) -> Path:
        return self.settings.directory

    @property
    def output(self) -> str:
        """What the last run has said so far."""
        return self._output_file.read_text()

    @property
    def _output_file(self) -> Path:
        return self.directory / f"output-{len(self.runs)}"

    def environment(self) -> dict[str, str]:
        ports = {variable: str(port) for variable, (port, _) in self.settings.ports().items()}
        return {**os.environ, **ports, f"{PREFIX}DATA_DIR": str(self.data)}

    def launch(self, wish: str = "", **variables: str) -> subprocess.Popen[bytes]:
        """Start ``up`` without waiting for it."""
        argv = [sys.executable, str(SCRIPT), wish]
        environment = self.environment() | variables
        with (self.directory / f"output-{len(self.runs) + 1}").open("wb") as output:
            run = subprocess.Popen(
                argv, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
        self.runs.append(run)
        return run

    def up(self, wish: str = "") -> subprocess.Popen[bytes]:
        """Start ``up`` and wait until it says that everything runs."""
        run = self.launch(wish)
        self.await_output("Ctrl-C stops everything.")
        return run

    def await_output(self, text: str) -> None:
        self.wait_until(lambda: text in self.output)

    def wait_until(self, condition: Callable[[], bool]) -> None:
        given_up = not awaited(condition, PATIENCE, give_up=lambda: self.runs[-1].poll() is not None)
        assert not given_up or condition(), self.output

    def pids(self) -> dict[str, int]:
        """The parts that the supervisor has on record."""
        return {name: entry["pid"] for name, entry in json.loads((self.data / "processes.json").read_text()).items()}

    def kill(self, part: str) -> None:
        os.kill(self.pids()[part], signal.SIGKILL)

    def stop(self) -> int:
        """Ctrl-C; the exit code."""
        self.runs[-1].send_signal(signal.SIGINT)
        return self.runs[-1].wait(PATIENCE)

    def processes(self) -> list[psutil.Process]:
        """Every live process that belongs to the data directory, recorded or not."""
        return [process for process in psutil.process_iter() if belongs(process, self.data)]


def belongs(process: psutil.Process, data: Path) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return process.environ().get(OWNER) == str(data) or process.cwd().startswith(str(data))
    except (psutil.Error, OSError):
        return False


def are_gone(lives: Mapping[int, str | None]) -> bool:
    """Whether none of the processes, known by pid and birth, is alive."""
    return all(birth(pid) != born for pid, born in lives.items())


@pytest.fixture
def up_here() -> Iterator[UpUnderTest]:
    yield from _under_test()


@pytest.fixture(scope="module")
def up_for_all() -> Iterator[UpUnderTest]:
    """One running stack for the tests of a module that leave it running."""
    for under_test in _under_test():
        under_test.up()
        yield under_test


def _under_test() -> Iterator[UpUnderTest]:
    # Not pytest's tmp_path: its parents are closed to Postgres' user, and the next pytest would close them again.
    directory = Path(tempfile.mkdtemp(prefix="sutler-up-"))
    under_test = UpUnderTest(directory)
    yield under_test
    for run in under_test.runs:
        if run.poll() is None:
            run.kill()
            run.wait()
    for process in under_test.processes():
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    shutil.rmtree(directory, ignore_errors=True)
