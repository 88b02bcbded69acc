"""How every process speaks to the engine: one converter for the API, the workers and the replay tests."""

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

DATA_CONVERTER = pydantic_data_converter


async def connect(address: str, namespace: str) -> Client:
    """A client that connects on its first call, so that a process starts while the engine is away."""
    return await Client.connect(address, namespace=namespace, data_converter=DATA_CONVERTER, lazy=True)
