"""Tables and workflows that nobody else has, on the session's servers, for workers that are killed."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from subprocess import Popen
from uuid import uuid4

from runtime.databases import migrated
from runtime.resources import Resources, opened
from runtime.settings import Settings
from tests.support.engines import make_namespace
from tests.support.processes import process


@asynccontextmanager
async def apart(
    name: str, resources: Resources, settings: Settings, environment: Mapping[str, str]
) -> AsyncIterator[tuple[Resources, dict[str, str]]]:
    """A shop whose tables and namespace begin with the name, and the environment of its workers."""
    schema = f"{name}_{uuid4().hex[:8]}"
    namespace = schema.replace("_", "-")
    await make_namespace(resources, namespace)
    database = settings.database.model_copy(update={"shop_schema": schema})
    await asyncio.to_thread(migrated, database)
    variables = {"APP_TEMPORAL__NAMESPACE": namespace, "APP_DATABASE__SHOP_SCHEMA": schema}
    async with opened(settings.model_copy(update={"database": database})) as of_its_own:
        yield of_its_own, {**environment, **variables}


async def a_worker(
    parts: AsyncExitStack, queue: str, environment: Mapping[str, str], folder: Path, name: str
) -> "Popen[bytes]":
    """A process that serves the queue, until the stack is left."""
    ready = folder / f"{name}.ready"
    variables = {**environment, "APP_READY_FILE": str(ready)}
    worker = process("cli", "worker", queue, environment=variables, ready=ready.exists, log=folder / f"{name}.log")
    child = await asyncio.to_thread(worker.__enter__)
    parts.push_async_callback(asyncio.to_thread, worker.__exit__, None, None, None)
    return child
