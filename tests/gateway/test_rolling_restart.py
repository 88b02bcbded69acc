"""Everything but Postgres and Temporal is restarted while customers shop, and nobody notices."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text

from deploy.embedded.valkey import cache_url, valkey
from deploy.gateway.files import Gateway
from deploy.gateway.servers import envoy
from deploy.processes import stop_all
from runtime.resources import Resources
from tests.gateway.conftest import ApiProcess
from tests.support.catalog import AProduct, a_product
from tests.support.engines import make_namespace
from tests.support.gateways import HOST, Front, gateway, listens, started
from tests.support.processes import free_port, process
from tests.support.shopper import Shopper
from tests.support.waiting import eventually

CUSTOMERS = 4


@dataclass
class Crowd:
    """Customers who look around, and buy one thing after the other, until they are told to go."""

    front: Front
    product: AProduct
    failures: list[str] = field(default_factory=list)
    looks: int = 0
    orders: set[str] = field(default_factory=set)
    is_open: bool = True

    async def shop(self, number: int) -> None:
        shopper = Shopper(self.front.of(f"203.0.113.{number}"), email=f"rolling{number}@example.com")
        while self.is_open:
            for path in (f"/v1/products/{self.product.product_id}", "/v1/products?limit=5"):
                await self._tell(await shopper.send("GET", path), 200)
                self.looks += 1
            cart = await shopper.a_cart((self.product.variant_id, 1))
            bought = await shopper.check_out(cart)
            # 202: a worker has just left, and the order goes on with the next one.
            await self._tell(bought, 201, 202)
            self.orders.add(bought.json()["id"])

    async def _tell(self, answer: httpx.Response, *expected: int) -> None:
        if answer.status_code not in expected:
            self.failures.append(f"{answer.request.method} {answer.url.path}: {answer.status_code} {answer.text}")

    async def goes_on(self) -> None:
        """Returns when everybody has looked around and somebody has bought since."""
        looks, orders = self.looks, len(self.orders)

        async def has_gone_on() -> bool:
            return self.looks >= looks + 2 * CUSTOMERS and len(self.orders) > orders

        await eventually(has_gone_on, within=60)


@asynccontextmanager
async def crowd(front: Front, product: AProduct) -> AsyncIterator[Crowd]:
    crowd = Crowd(front, product)
    shopping = [asyncio.create_task(crowd.shop(number)) for number in range(1, CUSTOMERS + 1)]
    try:
        yield crowd
    finally:
        crowd.is_open = False
        await asyncio.gather(*shopping)


@dataclass(frozen=True)
class Own:
    environment: dict[str, str]
    restart_valkey: Callable[[], Awaitable[None]]


@pytest.fixture
async def own(
    servers: None, environment: dict[str, str], resources: Resources, sandbox_url: str, tmp_path: Path
) -> AsyncIterator[Own]:
    """Settings of a shop with a Valkey and a namespace of its own."""
    port = free_port()
    await make_namespace(resources, f"rolling-{port}")
    service = valkey(tmp_path / "valkey", port, hasty=True)
    cache = await started(service, tmp_path)

    async def restart_valkey() -> None:
        nonlocal cache
        await asyncio.to_thread(stop_all, [cache])
        cache = await started(service, tmp_path)

    settings = {
        **environment,
        "APP_TEMPORAL__NAMESPACE": f"rolling-{port}",
        "APP_CACHE__URL": cache_url(port),
        "APP_API__LEAVE_SECONDS": "2",
        "APP_API__GATEWAY_SECONDS": "1",
        "APP_LIMITS__TRUSTED_PROXIES": '["127.0.0.0/8"]',
    }
    yield Own(settings, restart_valkey)
    stop_all([cache])


@pytest.mark.timeout(300)
async def test_nobody_notices_that_everything_is_restarted_one_after_the_other(
    own: Own, resources: Resources, tmp_path: Path
) -> None:
    product = await a_product(resources.sessions, price="10.00", stock=100_000)
    names = count()
    async with AsyncExitStack() as stack:

        async def a_worker() -> Callable[[], Awaitable[None]]:
            """A worker of all queues that is polling; call what is returned to stop it."""
            number = next(names)
            ready = tmp_path / f"worker-{number}.ready"
            run = process(
                "cli",
                "worker",
                "all",
                environment={**own.environment, "APP_READY_FILE": str(ready)},
                ready=ready.exists,
                log=tmp_path / f"worker-{number}.log",
            )
            await asyncio.to_thread(run.__enter__)

            async def stop() -> None:
                await asyncio.to_thread(run.__exit__, None, None, None)

            return stop

        apis = [ApiProcess(free_port(), own.environment, tmp_path / f"api-{number}.log") for number in range(2)]
        stop_the_worker = await a_worker()
        await asyncio.gather(*(api.start() for api in apis))
        for api in apis:
            stack.push_async_callback(api.stop)
        front = await stack.enter_async_context(
            gateway([(HOST, api.port) for api in apis], tmp_path / "front", envoys=2)
        )
        async with crowd(front, product) as customers:
            await customers.goes_on()
            for api in apis:
                await api.stop()
                await api.start()
                await eventually(lambda: all_are_asked(front))
                await customers.goes_on()
            stop_the_next = await a_worker()
            await stop_the_worker()
            await customers.goes_on()
            await own.restart_valkey()
            await customers.goes_on()
            await restart_envoys(front, tmp_path / "front", customers)
        await stop_the_next()

    assert customers.failures == []
    assert len(customers.orders) >= 10
    await eventually(lambda: all_are_confirmed(resources, customers.orders))


async def all_are_confirmed(resources: Resources, orders: set[str]) -> bool:
    """No activity was lost: each order came to its end, and holds its unit."""
    async with resources.sessions() as session:
        found = await session.execute(
            text("SELECT status, count(*) AS number FROM orders WHERE id = ANY(:ids) GROUP BY status"),
            {"ids": [UUID(order) for order in orders]},
        )
        return {row.status: row.number for row in found} == {"confirmed": len(orders)}


async def all_are_asked(front: Front) -> bool:
    return await front.stat("envoy_cluster_membership_healthy") == 2


async def restart_envoys(front: Front, directory: Path, customers: Crowd) -> None:
    """One after the other: it finishes what it has begun and listens no more, and another one takes its place."""
    for number, plan in enumerate(front.plans):
        async with admin(plan) as client:
            await client.post("/drain_listeners?graceful")
        await eventually(partial(is_left_alone, plan), within=30)
        await asyncio.to_thread(stop_all, [front.envoys[number]])
        front.envoys[number] = await started(envoy(plan), directory)
        await eventually(partial(is_asked, plan))
        await customers.goes_on()


async def is_left_alone(plan: Gateway) -> bool:
    return not listens(plan.envoy) and await counted(plan, "downstream_cx_active") == 0


async def is_asked(plan: Gateway) -> bool:
    return await counted(plan, "downstream_rq_total") > 0


async def counted(plan: Gateway, name: str) -> int:
    async with admin(plan) as client:
        told = await client.get(f"/stats?filter=^http.shop.{name}$")
    return int(told.text.partition(": ")[2])


def admin(plan: Gateway) -> httpx.AsyncClient:
    transport = httpx.AsyncHTTPTransport(uds=str(plan.directory / "admin.sock"))
    return httpx.AsyncClient(transport=transport, base_url="http://envoy")
