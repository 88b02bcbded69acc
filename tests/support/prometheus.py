"""Prometheus and promtool: installed, or else out of Debian's package, which is unpacked and not installed."""

import fcntl
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

KEPT = Path.home() / ".cache" / "sutler" / "prometheus"


def program(name: str) -> str:
    """Where it is; the test is skipped where it cannot be had."""
    found = shutil.which(name) or _unpacked(name)
    if found is None:
        pytest.skip(f"{name} is neither installed nor to be had from Debian")
    return found


@cache
def _unpacked(name: str) -> str | None:
    there = KEPT / "usr" / "bin" / name
    try:
        KEPT.mkdir(parents=True, exist_ok=True)
        with (KEPT / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # tests run in several processes, and one of them fetches it
            if not there.exists():
                _fetch()
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return str(there) if there.exists() else None


def _fetch() -> None:
    """With package lists of its own, so that nothing of the machine is changed."""
    for folder in ("lists/partial", "archives/partial"):
        (KEPT / folder).mkdir(parents=True, exist_ok=True)
    apt = ["apt-get", "-qq", "-o", f"Dir::State::Lists={KEPT}/lists", "-o", f"Dir::Cache={KEPT}/archives"]
    for command in ([*apt, "update"], [*apt, "download", "prometheus"]):
        subprocess.run(command, cwd=KEPT, check=True, capture_output=True, timeout=60)
    [package, *_] = KEPT.glob("prometheus_*.deb")
    unpack = ["dpkg-deb", "--extract", package.name, "."]
    subprocess.run(unpack, cwd=KEPT, check=True, capture_output=True, timeout=60)
