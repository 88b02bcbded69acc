"""Backups of a Postgres cluster, and its state at any moment since: Postgres' own tools, as an operator would use them.

A backup is the cluster's files; the archive is what was written since, segment by segment, and together they are the
cluster at any moment between.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from deploy import probes
from deploy.embedded.postgres import SUPERUSER, let_pass, program, run, system_user
from deploy.processes import spawn, stop_all
from deploy.service import Program

SLOT = "archive"
"""Postgres keeps whatever the archive has not got yet, also while nobody archives."""


@dataclass(frozen=True)
class Archive:
    """A folder in which everything lies that a server has written, as it was written."""

    directory: Path

    @contextmanager
    def kept(self, port: int) -> Iterator[None]:
        """While entered, what the server on this port writes is in the archive the moment it is written."""
        _belongs_to_postgres(self.directory)
        source = ["--no-password", *_server(port), f"--slot={SLOT}", f"--directory={self.directory}"]
        run("pg_receivewal", *source, "--create-slot", "--if-not-exists")
        receiver = spawn(
            Program(name="archive", argv=[program("pg_receivewal"), *source], user=system_user()),
            self.directory.with_suffix(".log"),
        )
        try:
            if not probes.awaited(lambda: any(self.directory.iterdir()), 30, give_up=lambda: not receiver.is_alive):
                raise RuntimeError("pg_receivewal does not receive anything")
            yield
        finally:
            stop_all([receiver])
            self._finish()

    def _finish(self) -> None:
        """The segment that was being written counts as whole: what follows in it is zeros, where recovery ends."""
        for partial in self.directory.glob("*.partial"):
            partial.rename(partial.with_suffix(""))


def back_up(port: int, into: Path) -> None:
    """A copy of the running cluster, which is found to be whole by its own checksums."""
    _belongs_to_postgres(into)
    run("pg_basebackup", *_server(port), f"--pgdata={into}", "--wal-method=stream", "--checkpoint=fast")
    run("pg_verifybackup", str(into))


def restore(backup: Path, archive: Archive, until: datetime, data: Path) -> None:
    """Make ``data`` a cluster that, once started, has everything that was committed ``until`` then and nothing later.

    Raises FileExistsError where something lies already: what is broken is moved away, never written over.
    """
    shutil.copytree(backup, data)
    with (data / "postgresql.auto.conf").open("a") as settings:
        settings.write(
            f'restore_command = \'cp "{archive.directory}/%f" "%p"\'\n'
            f"recovery_target_time = '{until.isoformat()}'\n"
            "recovery_target_action = 'promote'\n"
        )
    (data / "recovery.signal").touch()
    _belongs_to_postgres(data)


def _server(port: int) -> list[str]:
    return ["--host=127.0.0.1", f"--port={port}", f"--username={SUPERUSER}"]


def _belongs_to_postgres(directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if user := system_user():
        let_pass(directory)
        for path in [directory, *directory.rglob("*")]:
            shutil.chown(path, user, user)
