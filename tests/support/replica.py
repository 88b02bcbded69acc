"""A streaming replica of the session's Postgres, which tests may stop, hold up and lose."""

import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import psutil

from deploy import probes
from deploy.embedded.postgres import database_url, replica
from deploy.processes import Child, spawn, stop_all
from deploy.service import Service
from tests.support.processes import free_port


class Copy:
    """The replica's process, and what can happen to it."""

    def __init__(self, service: Service, port: int, log: Path) -> None:
        self._service = service
        self._log = log
        self._child: Child | None = None
        self.url = database_url(port)

    @property
    def is_alive(self) -> bool:
        return self._child is not None and self._child.is_alive

    def start(self) -> None:
        self._service.prepare()
        self._child = spawn(self._service, self._log)
        if not probes.awaited(self._service.ready, 60):
            raise RuntimeError(f"the replica did not get ready:\n{self._log.read_text(errors='replace')[-2000:]}")

    def kill(self) -> None:
        assert self._child is not None
        self._child.process.kill()
        stop_all([self._child])

    def stop(self) -> None:
        if self._child is not None:
            stop_all([self._child])

    async def hold_up(self) -> None:
        """It goes on answering, with what it knew until now."""
        await self._tell("SELECT pg_wal_replay_pause()")
        while await self._tell("SELECT pg_get_wal_replay_pause_state()") != "paused":
            pass

    async def let_go_on(self) -> None:
        await self._tell("SELECT pg_wal_replay_resume()")

    async def _tell(self, statement: str) -> object:
        connection = await asyncpg.connect(self.url.replace("+asyncpg", ""))
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    def freeze(self) -> None:
        """It neither answers nor hangs up any more."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, what: signal.Signals) -> None:
        assert self._child is not None
        postmaster = psutil.Process(self._child.pid)
        for process in (postmaster, *postmaster.children(recursive=True)):
            process.send_signal(what)


@contextmanager
def a_copy(of: int) -> Iterator[Copy]:
    """Follows the server on that port; gone at the end."""
    directory = Path(tempfile.mkdtemp(prefix="sutler-replica-"))
    port = free_port()
    copy = Copy(replica(directory / "replica", port, of=of, hasty=True), port, directory / "replica.log")
    try:
        copy.start()
        yield copy
    finally:
        copy.stop()
        shutil.rmtree(directory, ignore_errors=True)
