"""A shop of its own within the session's servers, for tests that stop and kill parts of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen
from typing import Literal
from uuid import uuid4

import httpx
from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.common import SearchAttributePair, TypedSearchAttributes
from temporalio.service import RPCError

from deploy.processes import kill_session
from runtime import temporal
from runtime.resources import Resources
from tests.support.gate import Gate
from tests.support.processes import answers, free_port, process
from tests.support.waiting import eventually
from workflows.names import ORDER_NUMBER, SEARCH_ATTRIBUTES, Queue


@dataclass
class PrivateShop:
    """An API and workers of one's own; nobody else's workers serve its queues."""

    client: Client
    http: httpx.AsyncClient
    api: "Popen[bytes]"
    environment: dict[str, str]
    directory: Path
    _parts: ExitStack
    _workers: ExitStack = field(default_factory=ExitStack)

    async def start_api(self) -> None:
        """Its API, at the address of the one before, which is gone."""
        part = api_process(self.environment, self.directory)
        self.api = await asyncio.to_thread(self._parts.enter_context, part)

    async def start_worker(self, queue: Queue | Literal["all"]) -> "Popen[bytes]":
        """A worker process that is polling when this returns."""
        return await self.start("cli", "worker", queue)

    async def start(self, *program: str, **variables: str) -> "Popen[bytes]":
        """The same, of another program or with settings of its own."""
        name = f"{program[-1]}-{uuid4().hex[:6]}"
        ready = self.directory / f"{name}.ready"
        part = process(
            *program,
            environment={**self.environment, **variables, "APP_READY_FILE": str(ready)},
            ready=ready.exists,
            log=self.directory / f"{name}.log",
        )
        return await asyncio.to_thread(self._workers.enter_context, part)

    async def stop_workers(self) -> None:
        """Nobody serves its queues any more."""
        await asyncio.to_thread(self._workers.close)


@asynccontextmanager
async def private_shop(
    resources: Resources, environment: dict[str, str], directory: Path, *, port: int | None = None
) -> AsyncIterator[PrivateShop]:
    namespace = f"private-{uuid4().hex[:8]}"
    await make_namespace(resources, namespace)
    port = port or free_port()
    own = {**environment, "APP_TEMPORAL__NAMESPACE": namespace, "APP_API__PORT": str(port)}
    client = await temporal.connect(resources.settings.temporal.model_copy(update={"namespace": namespace}))
    with ExitStack() as parts:
        api = await asyncio.to_thread(parts.enter_context, api_process(own, directory))
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as http:
            shop = PrivateShop(client, http, api, own, directory, parts)
            parts.callback(shop._workers.close)
            yield shop


def api_process(environment: dict[str, str], directory: Path) -> AbstractContextManager["Popen[bytes]"]:
    ready = answers(f"http://127.0.0.1:{environment['APP_API__PORT']}/health")
    return process("cli", "api", environment=environment, ready=ready, log=directory / "api.log")


async def kill(part: "Popen[bytes]") -> None:
    """As ``kill -9``, the whole of it; gone when this returns."""
    await asyncio.to_thread(kill_session, part.pid)
    await asyncio.to_thread(part.wait)


@dataclass
class Remote:
    """An API process whose way to the engine can be cut; everybody else reaches the engine."""

    http: httpx.AsyncClient
    gate: Gate


@asynccontextmanager
async def an_api_far_from_the_engine(
    resources: Resources, environment: dict[str, str], log: Path
) -> AsyncIterator[Remote]:
    """Its way to the engine is closed at first."""
    host, _, engine = resources.settings.temporal.address.partition(":")
    port, gate = free_port(), Gate(free_port(), host, int(engine))
    own = {**environment, "APP_API__PORT": str(port), "APP_TEMPORAL__ADDRESS": f"127.0.0.1:{gate.port}"}
    url = f"http://127.0.0.1:{port}"
    part = process("cli", "api", environment=own, ready=answers(f"{url}/health"), log=log)
    await asyncio.to_thread(part.__enter__)
    try:
        async with httpx.AsyncClient(base_url=url, timeout=60) as http:
            yield Remote(http, gate)
    finally:
        await gate.close()
        await asyncio.to_thread(part.__exit__, None, None, None)


async def make_namespace(resources: Resources, namespace: str) -> None:
    """A namespace of the engine with the shop's search attributes, ready for use."""
    client = resources.temporal
    await client.workflow_service.register_namespace(
        RegisterNamespaceRequest(namespace=namespace, workflow_execution_retention_period=Duration(seconds=24 * 3600))
    )
    attributes = {key.name: IndexedValueType.ValueType(key.indexed_value_type) for key in SEARCH_ATTRIBUTES}
    wish = AddSearchAttributesRequest(search_attributes=attributes, namespace=namespace)

    async def is_made() -> bool:
        try:
            await client.operator_service.add_search_attributes(wish)
        except RPCError as error:
            return "already" in str(error).lower()
        return True

    await eventually(is_made)
    await eventually(lambda: _takes_orders(resources, namespace))


async def _takes_orders(resources: Resources, namespace: str) -> bool:
    """The engine knows new search attributes only a moment after it was told of them."""
    client = await temporal.connect(resources.settings.temporal.model_copy(update={"namespace": namespace}))
    numbered = TypedSearchAttributes([SearchAttributePair(ORDER_NUMBER, "S-1")])
    try:
        first = await client.start_workflow("Probe", id="probe", task_queue="probe", search_attributes=numbered)
    except RPCError:
        return False
    await first.terminate()
    return True
