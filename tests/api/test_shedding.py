"""Over its limit a process answers at once that one should come again, and everybody else as always."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.shedding import kind_of, shedding
from api.tracing import tracing
from domain.inventory import StockLevel
from domain.limits import Kind
from runtime.resources import Resources
from tests.api.test_machines import counted
from tests.api.test_problems import is_a_problem
from tests.support.catalog import a_product, stock_of
from tests.support.orders import a_cart
from tests.support.processes import answers, free_port, process
from tests.support.shopper import Shopper


class Slow:
    """An application that answers when it is told to."""

    def __init__(self) -> None:
        self.may_answer = asyncio.Event()
        self.asked: list[str] = []
        self.is_asked = asyncio.Condition()

    async def __call__(self, scope: Any, _: Any, send: Any) -> None:
        async with self.is_asked:
            self.asked.append(scope["path"])
            self.is_asked.notify_all()
        await self.may_answer.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def works_on(self, count: int) -> None:
        async with self.is_asked:
            await self.is_asked.wait_for(lambda: len(self.asked) == count)


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
async def limited(slow: Slow) -> AsyncIterator[httpx.AsyncClient]:
    """Two checkouts at a time, and one of everything else."""
    app: Any = tracing(shedding(slow, {kind: 2 if kind is Kind.CHECKOUTS else 1 for kind in Kind}))

    async def with_state(scope: Any, receive: Any, send: Any) -> None:
        scope["state"] = {}
        await app(scope, receive, send)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(with_state), base_url="http://shop") as http:
        yield http


async def test_over_the_limit_of_its_kind_a_request_is_told_at_once_to_come_again(
    slow: Slow, limited: httpx.AsyncClient
) -> None:
    within = [asyncio.create_task(limited.post("/v1/checkouts")) for _ in range(2)]
    await slow.works_on(2)

    over = await limited.post("/v1/checkouts")

    problem = is_a_problem(over, 503, "unavailable")
    assert over.headers["retry-after"] == "1"
    assert problem["trace_id"] == over.headers["x-request-id"]
    assert slow.asked == ["/v1/checkouts"] * 2
    slow.may_answer.set()
    assert [answer.status_code for answer in await asyncio.gather(*within)] == [200, 200]
    assert (await limited.post("/v1/checkouts")).status_code == 200


async def test_a_full_kind_takes_nothing_from_the_others_and_machines_have_no_limit(
    slow: Slow, limited: httpx.AsyncClient
) -> None:
    paths = ["/v1/checkouts", "/v1/checkouts", "/v1/admin/orders", "/v1/carts/1", "/v1/webhooks/stripe", "/v1/users/me"]
    paths += ["/v1/products"] + ["/health", "/ready", "/metrics"] * 2
    within = [asyncio.create_task(limited.get(path)) for path in paths]
    await slow.works_on(len(paths))

    over = [(await limited.get(path)).status_code for path in ("/v1/admin/x", "/v1/carts/2", "/v1/search/suggestions")]

    assert over == [503, 503, 503]
    slow.may_answer.set()
    assert {answer.status_code for answer in await asyncio.gather(*within)} == {200}


async def test_a_request_that_its_client_gives_up_leaves_its_place(slow: Slow, limited: httpx.AsyncClient) -> None:
    given_up = asyncio.create_task(limited.get("/v1/carts/1"))
    await slow.works_on(1)
    given_up.cancel()
    await asyncio.gather(given_up, return_exceptions=True)
    slow.may_answer.set()

    assert (await limited.get("/v1/carts/1")).status_code == 200


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics", "/openapi.json", "/docs", "/.well-known/jwks.json"])
def test_what_machines_ask_has_no_limit(path: str) -> None:
    assert kind_of(path) is None


@pytest.mark.parametrize("path", ["/v1/checkouts", "//v1/checkouts", "/v1//checkouts/", "/v1/checkouts/1"])
def test_however_an_address_is_written_it_is_of_its_kind(path: str) -> None:
    assert kind_of(path) is Kind.CHECKOUTS


@pytest.fixture
async def small(
    environment: dict[str, str], workers: None, sandbox_url: str, log_file: Path
) -> AsyncIterator[httpx.AsyncClient]:
    """An API that works on one checkout at a time."""
    port = free_port()
    own = {**environment, "APP_API__PORT": str(port), "APP_AT_ONCE__CHECKOUTS": "1"}
    url = f"http://127.0.0.1:{port}"
    part = process("cli", "api", environment=own, ready=answers(f"{url}/health"), log=log_file)
    await asyncio.to_thread(part.__enter__)
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        yield http
    await asyncio.to_thread(part.__exit__, None, None, None)


async def test_of_a_crowd_at_the_checkout_some_are_served_and_the_rest_come_again(
    small: httpx.AsyncClient, resources: Resources
) -> None:
    product = await a_product(resources.sessions, stock=10)
    carts = [str(await a_cart(resources.sessions, (product.variant_id, 1))) for _ in range(6)]
    shopper = Shopper(small)

    made = await asyncio.gather(*(shopper.check_out(cart, key=cart) for cart in carts))

    told = Counter(answer.status_code for answer in made)
    assert set(told) == {201, 503}
    assert {answer.headers.get("Retry-After") for answer in made if answer.status_code == 503} == {"1"}
    assert await counted(small, 'sutler_requests_shed_total{kind="checkouts"}') == told[503]
    assert await counted(small, 'sutler_requests_in_flight{kind="checkouts"}') == 0
    again = [(await shopper.check_out(cart, key=cart)).status_code for cart in carts]
    assert again == [201] * 6
    assert await stock_of(resources.sessions, product.variant_id) == StockLevel(on_hand=10, reserved=6)
