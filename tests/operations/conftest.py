"""A shop whose books add up, until a test plants a fault in it; the test leaves it in order."""

from collections.abc import AsyncIterator

import pytest

from runtime.resources import Resources
from tests.support.own_shop import OwnShop, an_own_shop


@pytest.fixture(scope="session")
async def shop(
    resources: Resources, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[OwnShop]:
    async with an_own_shop(resources, environment, tmp_path_factory.mktemp("own")) as own:
        yield own
