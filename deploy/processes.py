"""Child processes that neither hear the terminal's Ctrl-C nor outlive the process that started them."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

from deploy.service import Service

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def spawn(service: Service, log: Path) -> subprocess.Popen[bytes]:
    """Start the service in a session of its own, its output appended to the log.

    Call it from the main thread: Linux delivers the parent's death when the *thread* that forked ends.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            service.argv,
            env={**os.environ, **service.env},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_leave_with_parent(service.stop_signal),
            user=service.user,
            group=service.user,
            extra_groups=[] if service.user else None,
        )


def _leave_with_parent(farewell: signal.Signals) -> Callable[[], None] | None:
    """What the child does before exec, so that the kernel signals it when we die, even by kill -9."""
    if LIBC is None:
        return None
    libc, parent = LIBC, os.getpid()

    def in_the_child() -> None:
        libc.prctl(PR_SET_PDEATHSIG, farewell)
        if os.getppid() != parent:  # we died before the kernel was told
            os.kill(os.getpid(), signal.SIGKILL)

    return in_the_child


def stop_all(processes: Iterable[tuple[Service, subprocess.Popen[bytes]]]) -> None:
    """Ask all to leave at once, and wait; those that overstay are killed with everything they started."""
    processes = list(processes)
    for service, process in processes:
        if process.poll() is None:
            process.send_signal(service.stop_signal)
    for service, process in processes:
        try:
            process.wait(service.stop_within)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        kill_session(process.pid)


def kill_session(leader: int) -> None:
    """Kill what is left of the session that a stopped process led, such as the workers of a killed web server."""
    for process in session_members(leader):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def session_members(leader: int) -> list[psutil.Process]:
    """Every live process of the session."""

    def belongs(process: psutil.Process) -> bool:
        try:
            return os.getsid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE
        except (ProcessLookupError, PermissionError, psutil.Error):
            return False

    return [process for process in psutil.process_iter() if belongs(process)]


def end(processes: Iterable[psutil.Process], farewell: signal.Signals, patience: float) -> None:
    """Signal processes that are not our children, and kill those that have not left in time."""
    processes = list(processes)
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(farewell)
    _, alive = psutil.wait_procs(processes, timeout=patience)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=patience)
