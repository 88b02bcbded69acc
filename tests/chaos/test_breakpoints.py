"""Workers stop where a chaos run tells them to, and nowhere in production."""

import asyncio
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest
from pydantic import ValidationError
from temporalio.testing import ActivityEnvironment
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput

from runtime.settings import Settings, Workers
from tests.support.waiting import eventually
from workers.breakpoints import Breakpoints, breakpoints


@pytest.mark.parametrize("env", ["production", "development"])
def test_only_tests_may_have_breakpoints(env: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_ENV", env)
    monkeypatch.setenv("APP_WORKERS__BREAKPOINTS", str(tmp_path))
    with pytest.raises(ValidationError, match="APP_WORKERS__BREAKPOINTS"):
        Settings()


def test_a_worker_without_breakpoints_is_not_slowed_down() -> None:
    assert breakpoints(Workers().breakpoints) == []


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_worker_waits_at_a_breakpoint_until_it_is_let_go(tmp_path: Path, moment: str) -> None:
    (tmp_path / f"unknown.{moment}").touch()
    performing = asyncio.create_task(perform(tmp_path))

    reached = tmp_path / f"unknown.{moment}.reached"
    await eventually(lambda: asyncio.to_thread(reached.exists))
    assert not performing.done()
    reached.unlink()
    assert await performing == "done"
    assert await perform(tmp_path) == "done"  # a breakpoint stops one


async def perform(directory: Path) -> Any:
    class Performer(ActivityInboundInterceptor):
        def __init__(self) -> None:
            pass

        execute_activity = AsyncMock(return_value="done")

    interceptor = Breakpoints(directory).intercept_activity(Performer())
    asked = ExecuteActivityInput(fn=perform, args=[], executor=None, headers={})
    return await ActivityEnvironment().run(interceptor.execute_activity, asked)
