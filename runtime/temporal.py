"""How every process speaks to the engine: one converter for the API, the workers and the replay tests."""

import asyncio

import structlog
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import GrpcCompression

from runtime.settings import Temporal

log = structlog.get_logger()

DATA_CONVERTER = pydantic_data_converter

LONGEST_PAUSE_SECONDS = 5.0


async def connect(engine: Temporal, *, is_lazy: bool = True) -> Client:
    """A client of the engine; a lazy one connects on its first call, so that a process starts while it is away."""
    return await Client.connect(
        engine.address,
        namespace=engine.namespace,
        data_converter=DATA_CONVERTER,
        grpc_compression=GrpcCompression.GZIP if engine.is_compressed else GrpcCompression.NONE,
        lazy=is_lazy,
    )


async def connect_now(engine: Temporal) -> Client:
    """A connected client, as workers need it; waits for an engine that is away."""
    pause = 0.1
    while True:
        try:
            return await connect(engine, is_lazy=False)
        except RuntimeError as error:  # what the SDK raises when nobody listens
            log.warning("workflow_engine_unavailable", address=engine.address, error=str(error))
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
