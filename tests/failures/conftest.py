"""A shop of one's own to break, and ways to cut off an API, or a whole shop, from the engine."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from runtime.resources import Resources
from tests.api.test_operators import Desk
from tests.support.engines import Remote, an_api_far_from_the_engine
from tests.support.gate import Gate
from tests.support.own_shop import OwnShop, an_own_shop
from tests.support.processes import free_port


@pytest.fixture
async def remote(
    resources: Resources, workers: None, environment: dict[str, str], log_file: Path
) -> AsyncIterator[Remote]:
    async with an_api_far_from_the_engine(resources, environment, log_file) as far:
        yield far


@dataclass
class RemoteShop:
    """A shop none of whose processes reaches the engine while the gate is closed."""

    own: OwnShop
    gate: Gate


@pytest.fixture(scope="session")
async def distant_shop(
    resources: Resources, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RemoteShop]:
    host, _, engine = resources.settings.temporal.address.partition(":")
    gate = Gate(free_port(), host, int(engine))
    await gate.open()
    through_the_gate = {**environment, "APP_TEMPORAL__ADDRESS": f"127.0.0.1:{gate.port}"}
    try:
        async with an_own_shop(resources, through_the_gate, tmp_path_factory.mktemp("distant")) as own:
            yield RemoteShop(own, gate)
    finally:
        await gate.close()


@pytest.fixture
async def remote_shop(distant_shop: RemoteShop) -> RemoteShop:
    """Its gate is open until the test closes it."""
    await distant_shop.gate.open()
    return distant_shop


@pytest.fixture
async def desk(api: httpx.AsyncClient, operator: dict[str, str]) -> Desk:
    return Desk(api, operator)
