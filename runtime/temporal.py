"""How every process speaks to the engine: one converter for the API, the workers and the replay tests."""

import asyncio

import structlog
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

log = structlog.get_logger()

DATA_CONVERTER = pydantic_data_converter

LONGEST_PAUSE_SECONDS = 5.0


async def connect(address: str, namespace: str) -> Client:
    """A client that connects on its first call, so that a process starts while the engine is away."""
    return await Client.connect(address, namespace=namespace, data_converter=DATA_CONVERTER, lazy=True)


async def connect_now(address: str, namespace: str) -> Client:
    """A connected client, as workers need it; waits for an engine that is away."""
    pause = 0.1
    while True:
        try:
            return await Client.connect(address, namespace=namespace, data_converter=DATA_CONVERTER)
        except RuntimeError as error:  # what the SDK raises when nobody listens
            log.warning("workflow_engine_unavailable", address=address, error=str(error))
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
