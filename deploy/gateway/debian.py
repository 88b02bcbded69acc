"""Nginx for machines that have none: Debian's package, fetched and verified by apt, unpacked without being root."""

import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path


class NotToBeHadError(RuntimeError):
    """The message says what to do."""


@cache
def nginx_program() -> Path:
    """The machine's own Nginx, or Debian's in a folder of ours; raises NotToBeHadError."""
    if installed := shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"):
        return Path(installed)
    program = _cache() / "usr" / "sbin" / "nginx"
    if not program.exists():
        _unpack(program)
    if (tried := subprocess.run([program, "-v"], capture_output=True, text=True, check=False)).returncode != 0:
        raise NotToBeHadError(f"Debian's nginx does not run on this machine: {tried.stderr.strip()}")
    return program


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sutler" / "nginx"


def _unpack(program: Path) -> None:
    """apt compares what it fetches with the checksum in its list of packages, which Debian signs."""
    apt, dpkg = shutil.which("apt-get"), shutil.which("dpkg-deb")
    if apt is None or dpkg is None:
        raise NotToBeHadError(
            "There is no nginx here and no apt to fetch it with: install nginx, or go without GATEWAY."
        )
    with tempfile.TemporaryDirectory(prefix="sutler-nginx-") as folder:
        fetched = subprocess.run(
            [apt, "download", "--quiet", "nginx"], cwd=folder, capture_output=True, text=True, check=False
        )
        packages = list(Path(folder).glob("nginx_*.deb"))
        if fetched.returncode != 0 or not packages:
            why = fetched.stderr.strip().splitlines()[-1:] or ["apt fetched nothing"]
            raise NotToBeHadError(
                f"nginx cannot be fetched ({why[0]}): install nginx, or try again after apt-get update."
            )
        unpacked = Path(folder) / "unpacked"
        subprocess.run([dpkg, "--extract", str(packages[0]), str(unpacked)], check=True, capture_output=True)
        target = program.parents[2]
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(dir=target.parent, prefix="nginx-"))
        shutil.copytree(unpacked, beside, dirs_exist_ok=True)
        try:
            beside.rename(target)
        except OSError:  # another process was quicker
            shutil.rmtree(beside)
