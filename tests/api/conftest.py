"""Who calls the API."""

import pytest

from domain.customers import Role
from runtime.resources import Resources
from tests.support.staff import headers_of


@pytest.fixture
async def admin(resources: Resources) -> dict[str, str]:
    return await headers_of(resources, Role.ADMIN)


@pytest.fixture
async def operator(resources: Resources) -> dict[str, str]:
    return await headers_of(resources, Role.OPERATOR)
