"""How every process speaks to the engine: one converter for the API, the workers and the replay tests."""

import asyncio
from dataclasses import replace
from functools import lru_cache
from typing import Any

import structlog
from pydantic import TypeAdapter
from temporalio.api.common.v1 import Payload
from temporalio.client import Client
from temporalio.contrib.pydantic import PydanticJSONPlainPayloadConverter, pydantic_data_converter
from temporalio.converter import CompositePayloadConverter, DefaultPayloadConverter, JSONPlainPayloadConverter
from temporalio.service import GrpcCompression

from runtime.encryption_keys import keys_in
from runtime.payload_codec import Encryption
from runtime.settings import Temporal
from runtime.tracing import through_stories

log = structlog.get_logger()

adapter_of = lru_cache(maxsize=1024)(TypeAdapter)


class SharedAdapters(PydanticJSONPlainPayloadConverter):
    """The SDK makes a converter for every workflow run; what it learns about our types is kept between them."""

    def from_payload(self, payload: Payload, type_hint: type | None = None) -> Any:
        return adapter_of(Any if type_hint is None else type_hint).validate_json(payload.data)


class PayloadConverter(CompositePayloadConverter):
    def __init__(self) -> None:
        super().__init__(
            *(
                SharedAdapters() if isinstance(converter, JSONPlainPayloadConverter) else converter
                for converter in DefaultPayloadConverter.default_encoding_payload_converters
            )
        )


DATA_CONVERTER = replace(pydantic_data_converter, payload_converter_class=PayloadConverter)


def encryption(engine: Temporal) -> Encryption | None:
    """``None`` where payloads are not encrypted."""
    keys = keys_in(engine.encryption_keys.get_secret_value())
    return Encryption(keys) if keys else None


LONGEST_PAUSE_SECONDS = 5.0


async def connect(engine: Temporal, *, is_lazy: bool = True) -> Client:
    """A client of the engine; a lazy one connects on its first call, so that a process starts while it is away."""
    return await Client.connect(
        engine.address,
        namespace=engine.namespace,
        data_converter=replace(DATA_CONVERTER, payload_codec=encryption(engine)),
        grpc_compression=GrpcCompression.GZIP if engine.is_compressed else GrpcCompression.NONE,
        interceptors=through_stories(),
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
