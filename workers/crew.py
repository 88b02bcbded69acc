"""A worker as several processes, because one Python process uses one core.

The first process serves nothing: it starts the others, starts one anew that dies, passes on what it is told, and ends
when all have ended. Should it be killed itself, the others go on as workers of their own.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import structlog

from runtime.settings import Settings
from runtime.telemetry import configure_logging
from workflows.names import Queue

log = structlog.get_logger()

LONGEST_PAUSE_SECONDS = 30.0
A_GOOD_LIFE_SECONDS = 30.0
"""After so long a life a death counts as the first one again, and the next process begins at once."""
READY_LOOK_SECONDS = 0.1


def run(settings: Settings, queues: Sequence[Queue], processes: int) -> int:
    """Until told to stop; the exit code is 1 when one of them did not end well then."""
    sink = configure_logging(settings.log_level)
    crew = Crew([sys.executable, "-m", "cli", "worker", *queues], [_own(settings, n) for n in range(processes)])
    code = asyncio.run(crew.work())
    sink.drain()
    return code


def _own(settings: Settings, number: int) -> dict[str, str]:
    """What a process must not share with the others: its file, and its ports, which follow one after the other."""
    workers = settings.workers
    ports = {
        "APP_WORKERS__METRICS_PORT": workers.metrics_port,
        "APP_WORKERS__ENGINE_METRICS_PORT": workers.engine_metrics_port,
    }
    own = {name: str(port + number) for name, port in ports.items() if port is not None}
    if ready := _ready_file():
        own["APP_READY_FILE"] = f"{ready}.{number}"
    return own


def _ready_file() -> Path | None:
    named = os.environ.get("APP_READY_FILE")
    return Path(named) if named else None


class Crew:
    """``members``: the variables of each process."""

    def __init__(self, program: Sequence[str], members: Sequence[dict[str, str]]) -> None:
        self._program = program
        self._members = members
        self._running: dict[int, asyncio.subprocess.Process] = {}
        self._leaving = asyncio.Event()
        self._told: signal.Signals | None = None

    async def work(self) -> int:
        for sign in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(sign, self._pass_on, sign)
        announcing = asyncio.create_task(self._announce())
        codes = await asyncio.gather(*(self._keep(number) for number in range(len(self._members))))
        announcing.cancel()
        return 1 if any(not self._ended_well(code) for code in codes) else 0

    def _ended_well(self, code: int) -> bool:
        """One that was still starting is ended by what it is told, and has begun nothing."""
        return code == 0 or (self._told is not None and code == -self._told)

    def _pass_on(self, sign: signal.Signals) -> None:
        self._told = sign
        self._leaving.set()
        for process in self._running.values():
            with suppress(ProcessLookupError):
                process.send_signal(sign)

    async def _keep(self, number: int) -> int:
        """One place in the crew, whoever fills it; the exit code of the last one."""
        loop, pause, code = asyncio.get_running_loop(), 0.0, 0
        while not self._leaving.is_set():
            began = loop.time()
            code = await self._life(number)
            if not self._leaving.is_set():
                pause = 0.0 if loop.time() - began > A_GOOD_LIFE_SECONDS else pause
                log.warning("worker_died", number=number, exit_code=code, next_in_seconds=pause)
                await self._rest(pause)
                pause = min(max(1.0, 2 * pause), LONGEST_PAUSE_SECONDS)
        return code

    async def _life(self, number: int) -> int:
        process = await asyncio.create_subprocess_exec(*self._program, env={**os.environ, **self._members[number]})
        self._running[number] = process
        if self._told is not None:  # while it was being started
            process.send_signal(self._told)
        code = await process.wait()
        del self._running[number]
        return code

    async def _rest(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._leaving.wait()

    async def _announce(self) -> None:
        """All are ready."""
        ready, theirs = _ready_file(), [Path(own["APP_READY_FILE"]) for own in self._members if "APP_READY_FILE" in own]
        if ready is None:
            return
        for file in theirs:
            file.unlink(missing_ok=True)
        while not all(file.exists() for file in theirs):  # noqa: ASYNC110 (it happens in other processes)
            await asyncio.sleep(READY_LOOK_SECONDS)
        ready.touch()
