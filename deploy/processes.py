"""Child processes that neither hear the terminal's Ctrl-C nor outlive the process that started them."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from deploy.service import Program

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


@dataclass(frozen=True)
class Child:
    """A process that we started, and how it wants to be stopped."""

    process: subprocess.Popen[bytes]
    stop_signal: signal.Signals
    stop_within: float

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None


def spawn(program: Program, log: Path, env: Mapping[str, str] | None = None) -> Child:
    """Start a program in a session of its own, its output appended to the log.

    Call it from the main thread: Linux delivers the parent's death when the *thread* that forked ends.
    """
    user = program.user
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            program.argv,
            env={**os.environ, **program.env, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_leave_with_parent(program.stop_signal),
            user=user,
            group=user,
            extra_groups=[] if user else None,
        )
    return Child(process, program.stop_signal, program.stop_within)


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


def stop_all(children: Sequence[Child]) -> None:
    """Ask all to leave at once, and wait; those that overstay are killed with everything they started."""
    asked = time.monotonic()
    for child in children:
        if child.is_alive:
            child.process.send_signal(child.stop_signal)
    for child in children:
        try:
            child.process.wait(max(0.0, asked + child.stop_within - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.process.kill()
            child.process.wait()
        kill_session(child.pid)


def kill_session(leader: int) -> None:
    """Kill what is left of the session that a dead child led, such as the workers of a killed web server."""
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


def birth(pid: int) -> str | None:
    """What tells a live process from any other that ever had its pid, also after a reboot or a change of the clock."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        if sys.platform != "linux":
            return str(process.create_time())
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        after_the_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return f"{boot}/{after_the_name[19]}"
    except (psutil.NoSuchProcess, OSError):
        return None


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
