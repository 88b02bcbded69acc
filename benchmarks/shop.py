"""A whole shop on free ports, run as `sutler up` runs it: one process per part, workers per queue."""

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil

from db import migrations
from deploy import embedded
from deploy.plan import NICE
from deploy.ports import free_ports
from workflows.names import Queue


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
    """Production settings: workflow code outside the determinism sandbox, logs at WARNING."""
    with embedded.stack(durable=True) as stack, tempfile.TemporaryDirectory() as temporary:
        await asyncio.to_thread(migrations.upgrade, stack.database_url)
        directory = Path(temporary)
        api, sandbox, smtp = free_ports(3)
        environment = {
            **stack.environment,
            "APP_ENV": "development",
            "APP_LOG_LEVEL": "WARNING",
            "APP_AUTH__SIGNING_KEY_FILE": str(directory / "signing-key.pem"),
            "APP_API__PORT": str(api),
            "APP_SANDBOX__PORT": str(sandbox),
            "APP_SANDBOX__SMTP_PORT": str(smtp),
            "APP_SANDBOX__DATABASE": str(directory / "sandbox.sqlite3"),
            "APP_SANDBOX__WEBHOOK_URL": f"http://127.0.0.1:{api}/v1/webhooks/stripe",
            "APP_PAYMENTS__STRIPE_API_BASE": f"http://127.0.0.1:{sandbox}",
            "APP_MAIL__PORT": str(smtp),
            "APP_WORKERS__SANDBOXED": "false",
            **overrides,
        }
        async with AsyncExitStack() as running:
            await products(environment)
            processes = {
                "sandbox": await running.enter_async_context(part("sandbox", environment=environment, log=directory)),
                "api": await running.enter_async_context(part("cli", "api", environment=environment, log=directory)),
            }
            for queue in Queue:
                ready = directory / f"{queue}.ready"
                processes[f"worker {queue}"] = await running.enter_async_context(
                    part(
                        "cli",
                        "worker",
                        queue,
                        environment={
                            **environment,
                            "APP_READY_FILE": str(ready),
                            "APP_WORKERS__NICE": str(NICE.get(queue, 0)),
                        },
                        log=directory,
                    )
                )
                await awaited(ready.exists)
            await answering(f"http://127.0.0.1:{api}/health")
            await answering(f"http://127.0.0.1:{sandbox}/health")
            yield Shop(
                environment=environment,
                api_url=f"http://127.0.0.1:{api}",
                api_port=api,
                sandbox_url=f"http://127.0.0.1:{sandbox}",
                processes={**processes, **servers()},
                temporal_address=stack.temporal_address,
            )


async def products(environment: Mapping[str, str]) -> None:
    """A real catalogue to read."""
    command = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "cli",
        "catalog",
        "demo",
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.DEVNULL,
    )
    if await command.wait() != 0:
        raise RuntimeError("the demo catalogue could not be imported")


def servers() -> dict[str, psutil.Process]:
    names = {"postgres": "postgres", "temporal": "temporal", "valkey-server": "valkey"}
    return {names[child.name()]: child for child in psutil.Process().children() if child.name() in names}


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
