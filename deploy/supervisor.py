"""Keeps processes running: starts them in order, restarts what dies, stops them in reverse."""

import asyncio
import contextlib
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from deploy.claim import ownership, record
from deploy.processes import Child, kill_session, spawn, stop_all
from deploy.service import Chore, Service, Stage

PAUSE_BETWEEN_PROBES = 0.05
LOG_LINES_SHOWN = 15


@dataclass(frozen=True)
class Patience:
    """How a part that keeps dying is treated."""

    a_good_life: float = 30.0
    """Seconds after which a death counts as the first again."""
    quick_deaths: int = 3
    """So many deaths are answered at once; then the log is shown and tries become rare."""
    between_rare_tries: float = 30.0


class Display(Protocol):
    """Where the supervisor tells what it does."""

    def starting(self, name: str) -> None: ...
    def ready(self, name: str, seconds: float) -> None: ...
    def say(self, message: str) -> None: ...


class DidNotStartError(Exception):
    """A part failed; the message says how, with the end of its log."""


class DiedEarlyError(DidNotStartError):
    """A part ended before it was ready."""


class Life:
    """One process of a part, from its start to its death."""

    def __init__(self, child: Child, log_start: int) -> None:
        self.child = child
        self.log_start = log_start
        self.started = time.monotonic()
        self.exit = _exit_of(child)

    @property
    def age(self) -> float:
        return time.monotonic() - self.started


@dataclass
class Part:
    """A service, and its present process once it has one."""

    service: Service
    log: Path
    life: Life | None = None


class Supervisor:
    """The processes of one data directory. Used from the main thread, inside one event loop."""

    def __init__(self, directory: Path, display: Display, patience: Patience | None = None) -> None:
        self.directory = directory
        self.display = display
        self.patience = patience or Patience()
        self._stages: list[list[Part]] = []
        self._keepers: list[asyncio.Task[None]] = []
        self._chores: list[Child] = []
        self._begun = time.monotonic()

    @property
    def age(self) -> float:
        return time.monotonic() - self._begun

    async def bring_up(self, stages: Sequence[Stage]) -> None:
        """Start every stage after the one before is ready; raises DidNotStartError at the first failure."""
        for stage in stages:
            if isinstance(stage, Chore):
                await self._do(stage)
            else:
                await self._start_together(stage)

    async def stop(self) -> None:
        """Ask all to leave, the last stage first; returns when no process is left."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        for stage in [self._chores, *(_children(parts) for parts in reversed(self._stages))]:
            await asyncio.to_thread(stop_all, stage)
        self._record()

    def kill(self) -> None:
        """Kill all at once, also while they stop."""
        for child in self._running().values():
            child.process.kill()

    def pids(self) -> dict[str, int]:
        """The present process of each part that is alive."""
        return {name: child.pid for name, child in self._running().items()}

    def _running(self) -> dict[str, Child]:
        parts = {part.service.name: part.life.child for parts in self._stages for part in parts if part.life}
        chores = {f"chore {number}": chore for number, chore in enumerate(self._chores)}
        return {name: child for name, child in {**parts, **chores}.items() if child.is_alive}

    def _record(self) -> None:
        record(self.directory, self.pids())

    async def _start_together(self, services: Sequence[Service]) -> None:
        parts = [Part(service, self._fresh_log(service.name)) for service in services]
        self._stages.append(parts)
        try:
            async with asyncio.TaskGroup() as group:
                for part in parts:
                    group.create_task(self._start_and_keep(part))
        except* DidNotStartError as failures:
            raise failures.exceptions[0] from None

    async def _start_and_keep(self, part: Part) -> None:
        self.display.starting(part.service.name)
        life = await self._start(part)
        self.display.ready(part.service.name, life.age)
        self._keepers.append(asyncio.create_task(self._keep(part, life)))

    async def _start(self, part: Part) -> Life:
        service = part.service
        try:
            await asyncio.to_thread(service.prepare)
            log_start = part.log.stat().st_size if part.log.exists() else 0
            part.life = life = Life(spawn(service, part.log, ownership(self.directory)), log_start)
            self._record()
            await self._becomes_ready(part, life)
            await asyncio.to_thread(service.settle)
        except (OSError, RuntimeError, subprocess.SubprocessError) as problem:
            raise DidNotStartError(f"{service.name} did not start: {problem}") from problem
        return life

    async def _becomes_ready(self, part: Part, life: Life) -> None:
        service = part.service
        while not await asyncio.to_thread(service.ready):
            if life.exit.done():
                how = how_it_ended(life.exit.result())
                raise DiedEarlyError(
                    f"{service.name} died before it was ready ({how}).{_tail(part.log, life.log_start)}"
                )
            if life.age > service.start_within:
                tail = _tail(part.log, life.log_start)
                raise DidNotStartError(f"{service.name} was not ready after {service.start_within:g} s.{tail}")
            await asyncio.wait([life.exit], timeout=PAUSE_BETWEEN_PROBES)

    async def _keep(self, part: Part, life: Life) -> None:
        """Restart the part whenever it dies, at once at first, rarely when it keeps dying."""
        deaths = 0
        while True:
            code = await life.exit
            deaths = 1 if life.age > self.patience.a_good_life else deaths + 1
            kill_session(life.child.pid)
            await self._mourn(part, life, f"{part.service.name} died ({how_it_ended(code)})", deaths)
            try:
                life = await self._start(part)
                self.display.say(f"{part.service.name} restarted, ready after {life.age:.1f} s")
            except DiedEarlyError:
                life = part.life or life  # its death is told in the next round
            except DidNotStartError as problem:
                self.display.say(str(problem))
                life = part.life or life
                await asyncio.to_thread(stop_all, [life.child])

    async def _mourn(self, part: Part, life: Life, news: str, deaths: int) -> None:
        if deaths <= self.patience.quick_deaths:
            self.display.say(f"{news}; restarting")
            return
        pause = self.patience.between_rare_tries
        self.display.say(f"{news} and keeps dying; next try in {pause:g} s.{_tail(part.log, life.log_start)}")
        await asyncio.sleep(pause)

    async def _do(self, chore: Chore) -> None:
        self.display.starting(chore.name)
        log = self._fresh_log(chore.name)
        life = Life(spawn(chore, log, ownership(self.directory)), 0)
        self._chores.append(life.child)
        self._record()
        await asyncio.wait([life.exit], timeout=chore.within)
        if not life.exit.done():
            raise DidNotStartError(f"{chore.name} was not done after {chore.within:g} s.{_tail(log)}")
        if (code := life.exit.result()) != 0:
            raise DidNotStartError(f"{chore.name} failed ({how_it_ended(code)}).{_tail(log)}")
        self.display.ready(chore.name, life.age)

    def _fresh_log(self, name: str) -> Path:
        """The part's log of this run; the one of the run before stays beside it."""
        log = self.directory / "logs" / f"{name.replace(' ', '-')}.log"
        if log.exists():
            log.replace(log.with_suffix(".log.before"))
        return log


def how_it_ended(code: int) -> str:
    """An exit code in words."""
    return f"killed by signal {-code}" if code < 0 else f"exit code {code}"


def _children(parts: Sequence[Part]) -> list[Child]:
    return [part.life.child for part in parts if part.life]


def _exit_of(child: Child) -> asyncio.Future[int]:
    """Resolved at the moment the process ends."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[int] = loop.create_future()

    def tell(code: int) -> None:
        if not future.done():
            future.set_result(code)

    def wait() -> None:
        code = child.process.wait()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody asks any more
            loop.call_soon_threadsafe(tell, code)

    threading.Thread(target=wait, daemon=True, name=f"exit of {child.pid}").start()
    return future


def _tail(log: Path, start: int = 0) -> str:
    """The last lines written since the start position, and where to read the rest."""
    text = log.read_bytes()[start:].decode(errors="replace") if log.exists() else ""
    lines = [f"  | {line}" for line in text.rstrip().splitlines()[-LOG_LINES_SHOWN:]]
    return "\n".join(["", *lines, f"  Log: {log}"])
