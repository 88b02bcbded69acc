"""Limits that hold for all processes together, and what who meets them is told."""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import httpx
import pytest

from api.limiting import Doorway, kind_of
from api.limits import LimitsInForce
from db import limits
from domain.customers import Role
from domain.limits import Kind, Quota
from runtime.addresses import Addresses
from runtime.limiter import Limiter
from runtime.resources import Resources
from tests.api.test_machines import counted
from tests.api.test_problems import is_a_problem
from tests.support.catalog import a_product
from tests.support.gate import Gate
from tests.support.processes import answers, free_port, process
from tests.support.staff import headers_of
from tests.support.waiting import eventually

LIMITS = {
    "APP_LIMITS__ADDRESS": "20/min",
    "APP_LIMITS__ADDRESS_CATALOGUE": "30/min",
    "APP_LIMITS__ADDRESS_LOGIN": "3/min",
    "APP_LIMITS__ADDRESS_WEBHOOKS": "25/min",
    "APP_LIMITS__USER": "10/min",
    "APP_LIMITS__TRUSTED_PROXIES": '["127.0.0.1/32"]',
}


class Customers:
    """They come over a proxy, to one process or the other, each from an address of their own."""

    def __init__(self, processes: list[httpx.AsyncClient], gate: Gate) -> None:
        self.processes = processes
        self.gate = gate

    @staticmethod
    def address() -> dict[str, str]:
        return {"X-Forwarded-For": f"2001:db8:{uuid4().hex[:4]}:{uuid4().hex[:4]}::1"}

    async def ask(self, times: int, method: str, path: str, **more: Any) -> Counter[int]:
        """So often at once, by turns to each process; how often each status was answered."""
        asked = (self.processes[n % 2].request(method, path, **more) for n in range(times))
        return Counter(answer.status_code for answer in await asyncio.gather(*asked))


@pytest.fixture(scope="module")
async def customers(
    environment: dict[str, str], resources: Resources, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Customers]:
    valkey = httpx.URL(environment["APP_CACHE__URL"])
    gate = Gate(free_port(), valkey.host, valkey.port or 6379)
    await gate.open()
    own = {
        **environment,
        **LIMITS,
        "APP_CACHE__PREFIX": f"limits-{uuid4().hex[:8]}:",
        "APP_CACHE__URL": f"redis://127.0.0.1:{gate.port}/0",
    }
    async with AsyncExitStack() as parts:
        parts.push_async_callback(gate.close)
        processes = []
        for name in ("one", "other"):
            port, log = free_port(), tmp_path_factory.mktemp("limits") / f"{name}.log"
            url = f"http://127.0.0.1:{port}"
            part = process(
                "cli", "api", environment={**own, "APP_API__PORT": str(port)}, ready=answers(f"{url}/health"), log=log
            )
            await asyncio.to_thread(part.__enter__)
            parts.push_async_callback(asyncio.to_thread, part.__exit__, None, None, None)
            processes.append(await parts.enter_async_context(httpx.AsyncClient(base_url=url, timeout=60)))
        yield Customers(processes, gate)


async def test_of_many_requests_to_two_processes_exactly_so_many_pass_and_the_others_change_nothing(
    customers: Customers, resources: Resources
) -> None:
    product = await a_product(resources.sessions, stock=100)
    from_one_address = customers.address()
    cart = (await customers.processes[0].post("/v1/carts", json={"currency": "USD"}, headers=from_one_address)).json()
    item = {"variant_id": str(product.variant_id), "quantity": 1}

    told = await customers.ask(40, "POST", f"/v1/carts/{cart['id']}/items", json=item, headers=from_one_address)

    assert told == {201: 19, 429: 21}
    elsewhere = customers.address()
    seen = await customers.processes[0].get(f"/v1/carts/{cart['id']}", headers=elsewhere)
    assert [line["quantity"] for line in seen.json()["items"]] == [19]


async def test_the_headers_say_what_is_left_and_when_to_come_again(customers: Customers) -> None:
    headers, [api, _] = customers.address(), customers.processes
    for left in range(19, -1, -1):
        answer = await api.get("/v1/orders", headers=headers)
        assert answer.status_code == 401
        assert answer.headers["ratelimit-policy"] == '"address";q=20;w=60'
        assert re.fullmatch(rf'"address";r={left};t=6[0-6]|"address";r={left};t=5\d', answer.headers["ratelimit"])

    refused = await api.get("/v1/orders", headers=headers)

    problem = is_a_problem(refused, 429, "rate_limited")
    assert problem["violated-policies"] == ["address"]
    assert problem["trace_id"] == refused.headers["x-request-id"]
    assert refused.headers["ratelimit-policy"] == '"address";q=20;w=60'
    assert refused.headers["ratelimit"] == f'"address";r=0;t={refused.headers["retry-after"]}'
    assert 0 < int(refused.headers["retry-after"]) <= 66


async def test_a_forged_header_does_not_help(customers: Customers) -> None:
    client = customers.address()["X-Forwarded-For"]

    told = Counter[int]()
    for n in range(25):
        forged = {"X-Forwarded-For": f"203.0.113.{n}, {client}"}
        told += await customers.ask(1, "GET", "/v1/orders", headers=forged)

    assert told == {401: 20, 429: 5}


async def test_what_an_account_changes_is_limited_wherever_it_comes_from(
    customers: Customers, resources: Resources
) -> None:
    person = await headers_of(resources, Role.CUSTOMER)
    [api, _] = customers.processes

    first = await api.post("/v1/carts", json={"currency": "USD"}, headers={**person, **customers.address()})
    told = Counter[int]()
    for _ in range(12):
        told += await customers.ask(
            1, "POST", "/v1/carts", json={"currency": "USD"}, headers={**person, **customers.address()}
        )

    assert first.headers["ratelimit-policy"] == '"address";q=20;w=60, "user";q=10;w=60'
    assert re.match(r'"address";r=19;t=\d\d, "user";r=9;t=\d\d$', first.headers["ratelimit"])
    assert told == {201: 9, 429: 3}
    reading = await api.get("/v1/users/me", headers={**person, **customers.address()})
    assert reading.status_code == 200
    other = await headers_of(resources, Role.CUSTOMER)
    changing = await api.post("/v1/carts", json={"currency": "USD"}, headers={**other, **customers.address()})
    assert changing.status_code == 201


async def test_signing_in_has_a_small_limit_of_its_own(customers: Customers) -> None:
    headers, nobody = customers.address(), {"email": "nobody@example.com", "password": "wrong-one"}

    told = await customers.ask(6, "POST", "/v1//auth/login/", json=nobody, headers=headers)

    assert told == {401: 3, 429: 3}
    assert (await customers.ask(1, "GET", "/v1/orders", headers=headers)) == {401: 1}


async def test_answers_that_are_ready_in_memory_are_limited_as_well(customers: Customers, resources: Resources) -> None:
    product = await a_product(resources.sessions)
    path = f"/v1/products/{product.product_id}"
    for api in customers.processes:
        await api.get(path, headers=customers.address())  # from now on it is ready
    headers = customers.address()

    told = await customers.ask(40, "GET", path, headers=headers)

    assert told == {200: 30, 429: 10}
    refused = await customers.processes[0].get(path, headers=headers)
    assert is_a_problem(refused, 429, "rate_limited")["violated-policies"] == ["address.catalogue"]
    assert (await customers.ask(1, "POST", "/v1/carts", json={"currency": "USD"}, headers=headers)) == {201: 1}


async def test_machines_have_no_limit_and_webhooks_one_of_their_own(customers: Customers) -> None:
    headers = customers.address()
    for path in ("/health", "/ready", "/metrics"):
        assert await customers.ask(24, "GET", path, headers=headers) == {200: 24}

    assert await customers.ask(30, "POST", "/v1/webhooks/stripe", content=b"{}", headers=headers) == {400: 25, 429: 5}
    assert await customers.ask(1, "GET", "/v1/orders", headers=headers) == {401: 1}


async def test_refusals_are_counted_by_their_limit(customers: Customers) -> None:
    [api, _] = customers.processes
    line = 'sutler_requests_limited_total{limit="address"}'
    before, headers = await counted(api, line), customers.address()

    for _ in range(22):
        await api.get("/v1/orders", headers=headers)

    assert await counted(api, line) == before + 2


async def test_without_valkey_each_process_counts_by_itself(customers: Customers) -> None:
    await customers.gate.close()
    try:
        told = await customers.ask(60, "GET", "/v1/orders", headers=customers.address())
    finally:
        await customers.gate.open()

    assert told == {401: 40, 429: 20}

    async def together() -> bool:
        return await customers.ask(24, "GET", "/v1/orders", headers=customers.address()) == {401: 20, 429: 4}

    await eventually(together)


async def test_a_limit_that_an_admin_changes_soon_holds_in_every_process(
    customers: Customers, resources: Resources
) -> None:
    admin = await headers_of(resources, Role.ADMIN)
    one = customers.processes[0]
    at, wish = "/v1/admin/limits/address.accounts", {"quota": "4/min", "reason": "somebody guesses tokens"}

    async def holds(policy: str) -> bool:
        answers = [await process.get("/v1/users/me", headers=customers.address()) for process in customers.processes]
        return all(answer.headers["ratelimit-policy"] == policy for answer in answers)

    changed = await one.put(at, json=wish, headers={**admin, **customers.address()})
    try:
        assert changed.status_code == 200, changed.text
        [shown] = [item for item in changed.json()["items"] if item["name"] == "address.accounts"]
        assert (shown["quota"], shown["setting"]) == ("4/min", None)
        await eventually(lambda: holds('"address.accounts";q=4;w=60'))
        told = await customers.ask(8, "GET", "/v1/users/me", headers=customers.address())
        assert told == {401: 4, 429: 4}
    finally:
        back = {"quota": None, "reason": "over"}
        again = await one.put(at, json=back, headers={**admin, **customers.address()})

    assert "address.accounts" not in [item["name"] for item in again.json()["items"]]
    await eventually(lambda: holds('"address";q=20;w=60'))
    log = await one.get("/v1/admin/audit?limit=2", headers={**admin, **customers.address()})
    assert [(entry["action"], entry["note"]) for entry in log.json()["items"]] == [
        ("limit.change", "address.accounts to its setting: over"),
        ("limit.change", "address.accounts to 4/min: somebody guesses tokens"),
    ]


async def test_a_process_that_hears_of_no_change_looks_for_it_now_and_then(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.in_force.PAUSE_SECONDS", 0.01)
    monkeypatch.setattr("runtime.in_force.LOOK_SECONDS", 0.05)
    doorway = Doorway(Limiter(resources.settings.quotas), Addresses([]))
    following = asyncio.create_task(LimitsInForce(resources, doorway).follow())
    quotas = resources.settings.quotas

    def is_held_to(wanted: dict[str, Quota]) -> Callable[[], Awaitable[bool]]:
        async def it_is() -> bool:
            return doorway.limiter.quotas == wanted

        return it_is

    try:
        for quota, wanted in ((Quota(7, 60), {**quotas, "user.webhooks": Quota(7, 60)}), (None, quotas)):
            async with resources.sessions.begin() as session:
                await limits.change(session, "user.webhooks", quota)
            await eventually(is_held_to(wanted))
    finally:
        following.cancel()


@pytest.mark.parametrize(
    ("name", "wish", "status"),
    [
        ("nothing", {"quota": "4/min", "reason": "why"}, 404),
        ("address", {"quota": "many", "reason": "why"}, 422),
        ("address", {"quota": "0/min", "reason": "why"}, 422),
        ("address", {"quota": "4/min", "reason": ""}, 422),
        ("address", {"quota": "4/min"}, 422),
        ("address", {"reason": "why"}, 422),
    ],
)
async def test_a_limit_is_not_changed_to_what_is_none_or_without_a_reason(
    api: httpx.AsyncClient, admin: dict[str, str], name: str, wish: dict[str, str], status: int
) -> None:
    before = (await api.get("/v1/admin/limits", headers=admin)).json()

    assert (await api.put(f"/v1/admin/limits/{name}", json=wish, headers=admin)).status_code == status

    assert (await api.get("/v1/admin/limits", headers=admin)).json() == before


async def test_operators_see_the_limits_and_only_admins_change_them(
    api: httpx.AsyncClient, operator: dict[str, str]
) -> None:
    seen = await api.get("/v1/admin/limits", headers=operator)
    wish = {"quota": "4/min", "reason": "why"}

    is_a_problem(await api.put("/v1/admin/limits/address", json=wish, headers=operator), 403, "forbidden")
    is_a_problem(await api.get("/v1/admin/limits"), 401, "unauthenticated")
    assert {item["name"]: item["quota"] for item in seen.json()["items"]} == {
        "everything": "100000/s",
        "address": "1000000/min",
        "address.catalogue": "1000000/min",
        "address.login": "1000000/min",
        "address.webhooks": "1000000/min",
        "user": "1000000/min",
    }


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("GET", "/v1/products", Kind.CATALOGUE),
        ("HEAD", "/v1/categories", Kind.CATALOGUE),
        ("GET", "/v1//search/suggestions", Kind.CATALOGUE),
        ("POST", "/v1/products", Kind.STAFF),
        ("POST", "/v1/auth/login", Kind.LOGIN),
        ("POST", "//v1/auth//login/", Kind.LOGIN),
        ("POST", "/v1/auth/register", Kind.ACCOUNTS),
        ("POST", "/v1/webhooks/stripe", Kind.WEBHOOKS),
        ("GET", "/docs", Kind.OTHERS),
        ("GET", "/health/", None),
        ("GET", "/metrics", None),
    ],
)
def test_each_request_is_of_a_kind(method: str, path: str, kind: Kind | None) -> None:
    assert kind_of(method, path) is kind
