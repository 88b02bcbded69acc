"""Every operation, asked in ways that nobody thought of: no bug, and no answer that is not in the description."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from runtime.resources import Resources
from tests.support.catalog import a_product
from tests.support.own_shop import OwnShop, an_own_shop
from tests.support.people import a_verified_person
from tests.support.shopper import Shopper

FEW = 1
MANY = int(os.environ.get("FUZZ_EXAMPLES", "100"))
"""Examples of each operation about nothing that there is, and as many about things that there are."""
ENDS_ITS_OWN_SESSION = ("POST /v1/auth/logout", "DELETE /v1/users/me", "DELETE /v1/users/me/sessions")
CLOSES_THE_SHOP = "PUT /v1/admin/maintenance"
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
async def shop(
    resources: Resources, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[OwnShop]:
    """One of its own: promotions, zones and prices that are made here would hold in every other test's cart."""
    async with an_own_shop(resources, environment, tmp_path_factory.mktemp("own")) as own:
        yield own


@pytest.fixture
async def things(shop: OwnShop) -> dict[str, str]:
    """What paths can be about, by the names that they give it."""
    product = await a_product(shop.resources.sessions, stock=20)
    cart = await Shopper(shop.http).a_cart((product.variant_id, 2))
    order = await shop.buy(product=product)
    parcel = await shop.pack(order)
    person = await (await a_verified_person(shop.http, shop.sandbox)).sign_in()
    return {
        "cart_id": cart,
        "item_id": (await shop.http.get(f"/v1/carts/{cart}")).json()["items"][0]["id"],
        "order_id": order["id"],
        "fulfillment_id": parcel,
        "product": product.slug,
        "product_id": str(product.product_id),
        "variant_id": str(product.variant_id),
        "user_id": str(UUID((await person.me()).json()["id"])),
    }


@pytest.mark.timeout(300)
async def test_no_request_meets_a_bug_or_an_answer_that_is_not_described(shop: OwnShop, things: dict[str, str]) -> None:
    """The same few requests each time."""
    await fuzzed(shop, things, examples=FEW, is_the_same_each_time=True)


@pytest.mark.soak
@pytest.mark.timeout(4 * 3600)
async def test_nor_do_thousands_of_requests(shop: OwnShop, things: dict[str, str]) -> None:
    """Others each time."""
    print(await fuzzed(shop, things, examples=MANY, is_the_same_each_time=False))


@dataclass
class Fuzz:
    """What was asked, and what was wrong with the answers."""

    headers: Mapping[str, str]
    things: Mapping[str, str]
    how: settings
    cases: int = 0
    wrong: list[str] = field(default_factory=list)

    def ask_about_all(self, operations: Iterable[Any]) -> None:
        """The one after which the shop may change nothing any more comes last."""
        for operation in sorted(operations, key=lambda operation: operation.label == CLOSES_THE_SHOP):
            self._ask_about(operation)

    def _ask_about(self, operation: Any) -> None:
        self._ask(operation, {})
        named = {parameter.name for parameter in operation.path_parameters}
        if known := {name: thing for name, thing in self.things.items() if name in named}:
            self._ask(operation, known)

    def _ask(self, operation: Any, known: Mapping[str, str]) -> None:
        headers = {} if operation.label in ENDS_ITS_OWN_SESSION else self.headers

        @given(case=operation.as_strategy())
        @self.how
        def ask(case: Any) -> None:
            self.cases += 1
            case.path_parameters = {**(case.path_parameters or {}), **known}
            case.call_and_validate(headers=headers, checks=CHECKS, timeout=60)

        try:
            ask()
        except FailureGroup as failures:
            self.wrong.append("\n".join([operation.label, *(str(failure) for failure in failures.exceptions)]))


async def fuzzed(shop: OwnShop, things: dict[str, str], *, examples: int, is_the_same_each_time: bool) -> str:
    schema = await asyncio.to_thread(schemathesis.openapi.from_url, f"{shop.http.base_url}/openapi.json")
    operations: list[Any] = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
    assert len(operations) > 80
    fuzz = Fuzz(
        shop.operator,
        things,
        settings(
            max_examples=examples,
            deadline=None,
            database=None,
            derandomize=is_the_same_each_time,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
    await asyncio.to_thread(fuzz.ask_about_all, operations)
    if fuzz.wrong:
        pytest.fail("\n\n".join(fuzz.wrong), pytrace=False)
    return f"{len(operations)} operations, {fuzz.cases} cases: no server error, no answer that is not described"
