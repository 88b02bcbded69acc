"""Two API processes behind Nginx and Envoy."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

import httpx
import pytest

from deploy.gateway.debian import NotToBeHadError, nginx_program
from deploy.gateway.servers import envoy_program
from deploy.processes import kill_session
from tests.support.gateways import HOST, Front, gateway
from tests.support.processes import answers, free_port, process


@pytest.fixture(scope="session")
def servers() -> None:
    """Nginx and Envoy are to be had."""
    try:
        nginx_program()
        envoy_program()
    except (NotToBeHadError, RuntimeError) as reason:
        pytest.skip(str(reason))


@dataclass
class ApiProcess:
    port: int
    environment: dict[str, str]
    log: Path
    child: "Popen[bytes] | None" = None
    _run: "AbstractContextManager[Popen[bytes]] | None" = None

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def pid(self) -> int:
        assert self.child is not None
        return self.child.pid

    async def start(self) -> None:
        own = {**self.environment, "APP_API__PORT": str(self.port)}
        self._run = process("cli", "api", environment=own, ready=answers(f"{self.url}/health"), log=self.log)
        self.child = await asyncio.to_thread(self._run.__enter__)

    async def stop(self) -> None:
        if self._run is not None:
            await asyncio.to_thread(self._run.__exit__, None, None, None)

    def kill(self) -> None:
        kill_session(self.pid)

    async def counted(self, path: str) -> float:
        """How many requests for the path it has answered."""
        async with httpx.AsyncClient(base_url=self.url, timeout=10) as client:
            text = (await client.get("/metrics")).text
        rows = [row for row in text.splitlines() if row.startswith("http_requests_total{") and f'path="{path}"' in row]
        return sum(float(row.rsplit(" ", 1)[1]) for row in rows)


@pytest.fixture(scope="module")
async def behind(
    servers: None, environment: dict[str, str], workers: None, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[list[ApiProcess]]:
    """Two API processes that expect gateways before them."""
    folder = tmp_path_factory.mktemp("behind")
    own = {
        **environment,
        "APP_API__LEAVE_SECONDS": "2",
        "APP_API__GATEWAY_SECONDS": "1",
        "APP_LIMITS__TRUSTED_PROXIES": '["127.0.0.0/8"]',
        "APP_LIMITS__ADDRESS_LOGIN": "4/min",
    }
    apis = [ApiProcess(free_port(), own, folder / f"api-{number}.log") for number in range(2)]
    await asyncio.gather(*(api.start() for api in apis))
    try:
        yield apis
    finally:
        await asyncio.gather(*(api.stop() for api in apis))


@pytest.fixture(scope="module")
async def front(behind: list[ApiProcess], tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Front]:
    apis = [(HOST, api.port) for api in behind]
    async with gateway(apis, tmp_path_factory.mktemp("front"), limit_of_an_address=50) as front:
        yield front
