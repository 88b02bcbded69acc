"""Real processes of the shop, started for tests and always stopped."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from deploy.ports import free_ports
from deploy.processes import kill_session


def uncounted() -> dict[str, str]:
    """The environment for processes whose lines are not counted, and that may keep bytecode: they start much sooner."""
    slow = ("COVERAGE_", "PYTHONDONTWRITEBYTECODE")
    return {name: value for name, value in os.environ.items() if not name.startswith(slow)}


def free_port() -> int:
    [port] = free_ports(1)
    return port


def answers(url: str) -> Callable[[], bool]:
    """A readiness probe: does the address answer 200?"""

    def probe() -> bool:
        try:
            with urlopen(url, timeout=1) as response:  # noqa: S310 (a loopback address that the test chose)
                return bool(response.status == 200)
        except HTTPError as e:
            return e.code == 404
        except (URLError, ConnectionError, TimeoutError):
            return False

    return probe


@contextmanager
def process(
    *argv: str,
    environment: Mapping[str, str],
    ready: Callable[[], bool],
    log: Path,
    within: float = 90.0,
    is_counted: bool = False,
) -> Iterator["subprocess.Popen[bytes]"]:
    """``python -m …`` with the given settings, ready when yielded; the log is shown when it does not get ready.

    ``is_counted``: its lines count for the coverage, for which it pays with its time to start.
    """
    with log.open("ab") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", *argv],
            env={**(os.environ if is_counted else uncounted()), **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + within
        while not ready():
            if child.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{' '.join(argv)} did not get ready:\n{log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.02)
        yield child
    finally:
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait(10)
        kill_session(child.pid)
