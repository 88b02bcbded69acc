"""A whole shop on free ports, run as `sutler up` runs it: one process per part, workers per queue."""

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil

from deploy.private import private_shop


@dataclass(frozen=True)
class Shop:
    environment: Mapping[str, str]
    api_url: str
    api_port: int
    sandbox_url: str
    processes: dict[str, psutil.Process]
    temporal_address: str

    def cpu_seconds(self) -> dict[str, float]:
        """Processor time that each part has used so far, its children included."""
        used = {}
        for name, process in self.processes.items():
            family = [process, *process.children(recursive=True)]
            used[name] = sum(sum(member.cpu_times()[:2]) for member in family)
        return used


@asynccontextmanager
async def shop(**overrides: str) -> AsyncIterator[Shop]:
    """Production settings: workflow code outside the determinism sandbox, logs at WARNING.

    But all shoppers come from one address, so that one may ask as often as all together.
    """
    production = {
        "APP_LOG_LEVEL": "WARNING",
        "APP_WORKERS__SANDBOXED": "false",
        "APP_LIMITS__ADDRESS_CATALOGUE": "100000/s",
    }
    with tempfile.TemporaryDirectory() as directory:
        async with private_shop(Path(directory), {**production, **overrides}) as running:
            settings = running.settings
            yield Shop(
                environment=running.environment,
                api_url=settings.api_url,
                api_port=settings.api_port,
                sandbox_url=settings.sandbox_url,
                processes={name: psutil.Process(pid) for name, pid in running.supervisor.pids().items()},
                temporal_address=settings.temporal_address,
            )


@asynccontextmanager
async def part(*argv: str, environment: Mapping[str, str], log: Path) -> AsyncIterator[psutil.Process]:
    with (log / f"{'-'.join(argv)}.log").open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", *argv, env={**os.environ, **environment}, stdout=output, stderr=output
        )
    try:
        yield psutil.Process(process.pid)
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


async def awaited(condition: Callable[[], bool], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


async def answering(url: str) -> None:
    async with aiohttp.ClientSession() as http, asyncio.timeout(30):
        while True:
            try:
                async with http.get(url):
                    return
            except aiohttp.ClientError:
                await asyncio.sleep(0.02)
