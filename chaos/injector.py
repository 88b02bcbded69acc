"""Carries the schedule out, and counts what was really done."""

import asyncio
import contextlib
import os
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from chaos.schedule import Fault, Kill, KillAt, Misbehave
from deploy.processes import kill_session
from deploy.supervisor import Supervisor
from workers.breakpoints import REACHED, breakpoint_name

ARMED_AT_ONCE = 12
PATIENCE = 60.0
"""Seconds within which some order has to come to a breakpoint."""
PAUSE = 0.01


@dataclass
class Damage:
    """What was done to the shop."""

    at_random: Counter[str] = field(default_factory=Counter)
    at_a_step: Counter[str] = field(default_factory=Counter)
    outside: Counter[str] = field(default_factory=Counter)
    boundaries: set[str] = field(default_factory=set)
    """Step boundaries at which something was killed."""
    not_reached: int = 0
    """Breakpoints that no order came to in time; nothing was done there."""

    def as_json(self) -> dict[str, Any]:
        return {
            "at_random": dict(self.at_random),
            "at_a_step": dict(self.at_a_step),
            "outside": dict(self.outside),
            "boundaries": sorted(self.boundaries),
            "not_reached": self.not_reached,
        }

    @property
    def total(self) -> int:
        return self.at_random.total() + self.at_a_step.total() + self.outside.total()


class Injector:
    def __init__(
        self, supervisor: Supervisor, breakpoints: Path, sandbox_url: str, http: aiohttp.ClientSession
    ) -> None:
        self.damage = Damage()
        self._supervisor = supervisor
        self._breakpoints = breakpoints
        self._sandbox_url = sandbox_url
        self._http = http
        self._armed = asyncio.Semaphore(ARMED_AT_ONCE)
        self._is_over = asyncio.Event()

    async def run(self, faults: Iterator[tuple[float, Fault]], seconds: float) -> None:
        """Inflict one fault after the other until the time is over; several may be under way at once."""
        deadline = asyncio.get_running_loop().time() + seconds
        async with asyncio.TaskGroup() as group:
            for pause, fault in faults:
                await asyncio.sleep(pause)
                if asyncio.get_running_loop().time() >= deadline:
                    self._is_over.set()
                    break
                group.create_task(self._inflict(fault))
        await self._behave()

    async def _inflict(self, fault: Fault) -> None:
        match fault:
            case Kill(part=part):
                if self._kill(part):
                    self.damage.at_random[fault.kind] += 1
            case KillAt():
                async with self._armed:
                    if not self._is_over.is_set():
                        await self._kill_at(fault)
            case Misbehave(kind=kind, faults=faults, seconds=seconds):
                if await self._tell_the_sandbox(faults):
                    self.damage.outside[kind] += 1
                    await asyncio.sleep(seconds)
                    await self._behave()

    async def _kill_at(self, fault: KillAt) -> None:
        name = breakpoint_name(fault.step, fault.moment)
        wanted, reached = self._breakpoints / name, self._breakpoints / f"{name}{REACHED}"
        wanted.touch()
        try:
            async with asyncio.timeout(PATIENCE):
                while not reached.exists():
                    if self._is_over.is_set():
                        raise TimeoutError
                    await asyncio.sleep(PAUSE)
        except TimeoutError:
            self.damage.not_reached += 1
            return
        finally:
            wanted.unlink(missing_ok=True)
        try:
            if self._kill(fault.part):
                self.damage.at_a_step[fault.kind] += 1
                self.damage.boundaries.add(f"{fault.moment} {fault.step}")
        finally:
            reached.unlink(missing_ok=True)

    def _kill(self, part: str) -> bool:
        """Whether there was anything to kill: a part that is just being restarted cannot die."""
        pid = self._supervisor.pids().get(part)
        if pid is None:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        kill_session(pid)
        return True

    async def _tell_the_sandbox(self, faults: object) -> bool:
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with self._http.put(f"{self._sandbox_url}/faults", json=faults) as answer:
                return answer.status == 200
        return False

    async def _behave(self) -> None:
        """Tell the sandbox to misbehave no more, as soon as it listens."""
        while True:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with self._http.delete(f"{self._sandbox_url}/faults"):
                    return
            await asyncio.sleep(0.1)
