"""A Temporal server that skips time while nothing happens: a month passes in a tenth of a second."""

import sysconfig
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.testing import WorkflowEnvironment

from runtime.temporal import DATA_CONVERTER
from tests.workflows.shop import Shop, serving
from workflows.names import SEARCH_ATTRIBUTES, Queue

SCRIPTS = Path(sysconfig.get_path("scripts"))
LONGEST_START = timedelta(seconds=60)
"""On a machine that is busy a server takes longer than the five seconds of the SDK."""


@asynccontextmanager
async def skipping_time() -> AsyncIterator[WorkflowEnvironment]:
    async with await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=str(SCRIPTS / "temporal-test-server"),
        test_server_startup_timeout=LONGEST_START,
        data_converter=DATA_CONVERTER,
    ) as environment:
        attributes: dict[str, Any] = {key.name: key.indexed_value_type.value for key in SEARCH_ATTRIBUTES}
        await environment.client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(namespace=environment.client.namespace, search_attributes=attributes)
        )
        yield environment


@pytest.fixture(scope="session")
async def time_skipping() -> AsyncIterator[WorkflowEnvironment]:
    async with skipping_time() as environment:
        yield environment


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    """A shop whose steps are fakes and whose stories are real.

    Its server is its own: one on which a story was ended in the middle of a step may never skip time again.
    """
    async with skipping_time() as environment:
        shop = Shop(environment)
        async with serving(shop):
            yield shop


@asynccontextmanager
async def engine(*options: str) -> AsyncIterator[WorkflowEnvironment]:
    """The engine of production, whose races are the real ones; its time passes as time does."""
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(SCRIPTS / "temporal"),
        dev_server_startup_timeout=LONGEST_START,
        dev_server_log_level="error",
        dev_server_extra_args=options,
        data_converter=DATA_CONVERTER,
        search_attributes=SEARCH_ATTRIBUTES,
    ) as environment:
        yield environment


@pytest.fixture
async def real_shop() -> AsyncIterator[Shop]:
    """The same on the engine of production."""
    async with engine() as environment:
        shop = Shop(environment)
        async with serving(shop):
            yield shop


@pytest.fixture
async def shop_without_checkouts() -> AsyncIterator[Shop]:
    """The same, where nobody has looked after its checkouts yet: what happens meanwhile is heard of all at once."""
    async with engine() as environment:
        shop = Shop(environment)
        async with serving(shop, Queue.PAYMENTS, Queue.FULFILLMENT):
            yield shop
