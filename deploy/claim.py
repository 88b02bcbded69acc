"""One supervisor per data directory, and the end of what a killed one left behind."""

import contextlib
import fcntl
import json
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

from deploy.processes import birth, end, session_members

LOCK = "lock"
RECORD = "processes.json"
OWNER = "SUTLER_OWNER"
"""Set in every child's environment to the data directory, so that a stray one can be recognised."""


class AlreadyRunningError(Exception):
    """Another supervisor works in this data directory."""


@contextmanager
def claimed(directory: Path) -> Iterator[None]:
    """Hold the data directory; refused while another process holds it. A killed holder lets go by itself."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / LOCK).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise AlreadyRunningError(
                f"The stack already runs in {directory} (pid {lock.read().strip() or 'unknown'}). "
                "Use that one, stop it first, or choose another directory with APP_UP__DATA_DIR."
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def ownership(directory: Path) -> dict[str, str]:
    """The mark that children of this data directory carry."""
    return {OWNER: str(directory.resolve())}


def record(directory: Path, pids: Mapping[str, int]) -> None:
    """Write down which processes run, for the supervisor that comes after a kill -9 of this one."""
    running = {name: {"pid": pid, "birth": birth(pid)} for name, pid in pids.items()}
    draft = directory / f"{RECORD}.new"
    draft.write_text(json.dumps(running, indent=2))
    draft.replace(directory / RECORD)


def end_leftovers(directory: Path) -> list[str]:
    """End the recorded processes that still run, and what they started; the names of those that did."""
    try:
        recorded = json.loads((directory / RECORD).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return []
    found: dict[str, list[psutil.Process]] = {}
    for name, entry in recorded.items():
        if survivors := _survivors(entry["pid"], entry["birth"], str(directory.resolve())):
            found[name] = survivors
    end([process for survivors in found.values() for process in survivors], signal.SIGTERM, patience=5)
    (directory / RECORD).unlink()
    return list(found)


def _survivors(leader: int, born: str | None, owner: str) -> list[psutil.Process]:
    """The recorded process and its session, never a stranger that has got the pid since."""
    if birth(leader) not in (born, None):
        return []
    return [member for member in session_members(leader) if member.pid == leader or _is_owned(member, owner)]


def _is_owned(process: psutil.Process, owner: str) -> bool:
    with contextlib.suppress(psutil.Error, OSError):
        return process.environ().get(OWNER) == owner
    return False
