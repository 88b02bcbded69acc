"""Nginx and Envoy in front of API processes, for tests."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx

from deploy.gateway.files import Address, Gateway
from deploy.gateway.servers import envoy, nginx
from deploy.ports import free_ports, is_free
from deploy.processes import Child, spawn, stop_all
from deploy.service import Service
from tests.support.waiting import eventually

HOST = "127.0.0.1"
ANYBODY = "203.0.113.1"


@dataclass
class Front:
    """What customers reach, and what is behind it."""

    url: str
    https_url: str
    nginx: Child
    envoys: list[Child]
    edge: Gateway
    """Of Nginx."""
    plans: list[Gateway]
    """Of each Envoy."""
    certificate: Path
    logs: Path
    _clients: dict[str, httpx.AsyncClient] = field(default_factory=dict)

    def of(self, address: str = ANYBODY) -> httpx.AsyncClient:
        """A client who comes from the address."""
        if address not in self._clients:
            headers = {"X-Forwarded-For": address}
            self._clients[address] = httpx.AsyncClient(base_url=self.url, timeout=60, headers=headers)
        return self._clients[address]

    async def close(self) -> None:
        for client in self._clients.values():
            await client.aclose()

    async def stats(self, number: int = 0) -> dict[str, float]:
        """What Envoy counts, as Prometheus reads it."""
        host, port = self.plans[number].stats
        async with httpx.AsyncClient() as client:
            text = (await client.get(f"http://{host}:{port}/metrics")).text
        rows = (line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, value in rows}

    async def stat(self, name: str) -> float:
        return (await self.stats()).get(f'{name}{{envoy_cluster_name="shop"}}', 0.0)


@asynccontextmanager
async def gateway(apis: Sequence[Address], directory: Path, *, envoys: int = 1, **more: Any) -> AsyncIterator[Front]:
    """Up when entered; clients may say who they are, as a load balancer before it would."""
    http, https, *ports = [(HOST, port) for port in free_ports(2 + 2 * envoys)]
    front = Gateway(
        directory=directory / "nginx",
        apis=tuple(apis),
        envoys=tuple(ports[:envoys]),
        http=http,
        https=https,
        certificate=directory / "nginx" / "tls.crt",
        certificate_key=directory / "nginx" / "tls.key",
        trusted=("127.0.0.0/8",),
        nginx_workers="1",
        nginx_user="root" if os.geteuid() == 0 else None,
        **more,
    )
    plans = [
        replace(front, directory=directory / f"envoy-{number}", envoy=ports[number], stats=ports[envoys + number])
        for number in range(envoys)
    ]
    children = [await started(envoy(plan), directory) for plan in plans]
    try:
        # Without anybody behind it nginx is ready as soon as it listens.
        children.append(await started(replace(nginx(front), ready=lambda: listens(http)), directory))
        url, https_url = f"http://{HOST}:{http[1]}", f"https://{HOST}:{https[1]}"
        shown = Front(
            url, https_url, children[-1], children[:-1], front, plans, directory / "nginx" / "tls.crt", directory
        )
        yield shown
        await shown.close()
        stop_all([shown.nginx, *shown.envoys])
    finally:
        stop_all(children)


async def started(service: Service, directory: Path) -> Child:
    log = directory / f"{service.name}.log"
    service.prepare()
    child = spawn(service, log)

    async def is_ready() -> bool:
        assert child.is_alive, log.read_text()
        return await asyncio.to_thread(service.ready)

    await eventually(is_ready)
    return child


def listens(address: Address) -> bool:
    return not is_free(address[1])
