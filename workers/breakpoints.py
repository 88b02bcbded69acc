"""Places where a chaos run holds a worker for a moment in order to kill something exactly there.

A breakpoint is an empty file named ``<step>.<before|after>``. The worker that comes to that point renames the file to
``….reached`` and waits until that is gone too: whoever put the file there has then done what it wanted, unless that
was to kill the worker itself.
"""

import asyncio
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

REACHED = ".reached"
PAUSE = 0.01
LONGEST_HALT = 2.0
"""A chaos run that died must not leave its shop standing still."""


class Moment(StrEnum):
    BEFORE = "before"
    AFTER = "after"


def breakpoint_name(step: str, moment: Moment) -> str:
    return f"{step}.{moment}"


def breakpoints(directory: Path | None) -> Sequence[Interceptor]:
    """Nothing, unless a directory is set; settings refuse one outside of tests."""
    return [] if directory is None else [Breakpoints(directory)]


class Breakpoints(Interceptor):
    """Every step is a place where a chaos run may stop a worker, before it begins and after it ended."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 (the SDK's name)
        return _Halting(next, self._directory)


class _Halting(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, directory: Path) -> None:  # noqa: A002 (the SDK's name)
        super().__init__(next)
        self._directory = directory

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 (the SDK's name)
        step = activity.info().activity_type
        await self._halt(step, Moment.BEFORE)
        try:
            return await self.next.execute_activity(input)
        finally:
            await self._halt(step, Moment.AFTER)

    async def _halt(self, step: str, moment: Moment) -> None:
        wanted = self._directory / breakpoint_name(step, moment)
        reached = wanted.with_name(wanted.name + REACHED)
        try:
            wanted.rename(reached)  # of many that come by, one stops
        except FileNotFoundError:
            return
        for _ in range(int(LONGEST_HALT / PAUSE)):
            if not reached.exists():
                return
            await asyncio.sleep(PAUSE)
