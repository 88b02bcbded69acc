"""``sutler catalog warm``: what was asked for once is answered from the process's memory afterwards."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from runtime.resources import Resources
from runtime.settings import Settings
from tests.support.apart import apart
from tests.support.catalog import a_product
from tests.support.gate import Gate
from tests.support.processes import answers, free_port, process
from tests.support.terminal import begun, told_by
from tests.support.waiting import eventually

PRODUCTS = 107
FROM_POSTGRES = 'sutler_catalog_reads_total{server="primary"}'
READY = "sutler_ready_answers_total"
SHOWN = 'http_requests_total{method="GET",path="/v1/products/{product}",status="200"}'
LISTED = 'http_requests_total{method="GET",path="/v1/products",status="200"}'
LIMITED = 'sutler_requests_limited_total{limit="address.catalogue"}'
GIVEN_UP = 'sutler_statements_given_up_total{sqlstate="55P03"}'


@dataclass(frozen=True)
class Shop:
    """With its own products, which nobody changes."""

    resources: Resources
    environment: dict[str, str]
    folder: Path

    @asynccontextmanager
    async def an_api(self, **settings: str) -> AsyncIterator["AnApi"]:
        """A process of its API that has nothing in memory, and hears of changes."""
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        own = {
            **self.environment,
            "APP_API__PORT": str(port),
            "APP_SHOP__PUBLIC_URL": url,
            "APP_CACHE__PREFIX": f"warm-{uuid4().hex[:8]}:",
            **settings,
        }
        part = process("cli", "api", environment=own, ready=answers(f"{url}/health"), log=self.folder / "api.log")
        await asyncio.to_thread(part.__enter__)
        try:
            async with httpx.AsyncClient(base_url=url, timeout=30) as http:
                api = AnApi(http, url, own)
                await eventually(api.keeps_what_it_has_read)
                yield api
        finally:
            await asyncio.to_thread(part.__exit__, None, None, None)


@dataclass(frozen=True)
class AnApi:
    http: httpx.AsyncClient
    url: str
    environment: dict[str, str]

    async def keeps_what_it_has_read(self) -> bool:
        await self.get("/v1/products?limit=1")
        return await self.counted(READY) > 0

    async def counted(self, sample: str) -> float:
        lines = (await self.http.get("/metrics")).text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"{sample} "))

    async def get(self, path: str, **headers: str) -> Any:
        answer = await self.http.get(path, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def warm(self, *argv: str) -> tuple[int, str]:
        return await told_by(begun("catalog", "warm", *argv, environment=self.environment))


@pytest.fixture(scope="module")
async def shop(
    resources: Resources,
    settings: Settings,
    environment: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Shop]:
    async with apart("warm", resources, settings, environment) as (own, theirs):
        for _ in range(PRODUCTS):
            await a_product(own.sessions)
        yield Shop(own, theirs, tmp_path_factory.mktemp("warm"))


def row(told: str, url: str) -> tuple[int, int, bool]:
    """How many products and pages the table has of a process, and whether it had to wait."""
    found = re.search(rf"^ {re.escape(url)} +│ +(\d+) │ +(\d+) │ +\d+\.\d │ +(\d+\.\d) *$", told, re.MULTILINE)
    assert found is not None, told
    return int(found[1]), int(found[2]), float(found[3]) > 0


@pytest.mark.parametrize(
    ("argv", "query", "headers"),
    [
        ((), "", {}),
        (("--currency", "EUR", "--language", "de"), "currency=EUR", {"Accept-Language": "de-DE, en;q=0.5"}),
    ],
)
async def test_afterwards_each_page_and_product_is_a_ready_answer_and_nothing_is_asked_of_postgres(
    shop: Shop, argv: tuple[str, ...], query: str, headers: dict[str, str]
) -> None:
    async with shop.an_api() as api:
        code, told = await api.warm(*argv)

        assert (code, row(told, api.url)) == (0, (PRODUCTS, 2, False)), told
        read, ready = await api.counted(FROM_POSTGRES), await api.counted(READY)
        shown, cursor = list[str](), ""
        while cursor is not None:
            words = filter(None, ["limit=100", cursor and f"cursor={cursor}", query])
            page = await api.get(f"/v1/products?{'&'.join(words)}", **headers)
            shown += [product["id"] for product in page["items"]]
            cursor = page["next_cursor"]
        for product_id in shown:
            await api.get(f"/v1/products/{product_id}{query and f'?{query}'}", **headers)

        assert len(set(shown)) == PRODUCTS
        assert await api.counted(FROM_POSTGRES) == read
        assert await api.counted(READY) == ready + PRODUCTS + 2


async def test_of_all_products_the_newest_are_warmed_and_exactly_as_many_as_wanted(shop: Shop) -> None:
    async with shop.an_api() as api:
        newest = [product["id"] for product in (await api.get("/v1/products?limit=6"))["items"]]
        shown, listed = await api.counted(SHOWN), await api.counted(LISTED)

        code, told = await api.warm("--products", "5")

        assert (code, row(told, api.url)) == (0, (5, 1, False)), told
        assert (await api.counted(SHOWN), await api.counted(LISTED)) == (shown + 5, listed + 1)
        read, ready = await api.counted(FROM_POSTGRES), await api.counted(READY)
        for product_id in newest[:5]:
            await api.get(f"/v1/products/{product_id}")
        assert (await api.counted(FROM_POSTGRES), await api.counted(READY)) == (read, ready + 5)
        await api.get(f"/v1/products/{newest[5]}")
        assert await api.counted(READY) == ready + 5


async def test_a_limit_is_waited_for(shop: Shop) -> None:
    async with shop.an_api(APP_LIMITS__ADDRESS_CATALOGUE="20/5s") as api:
        code, told = await api.warm("--products", "25")

        assert (code, row(told, api.url)) == (0, (25, 1, True)), told
        assert told.splitlines()[0] == (
            f"{api.url} is asked again when it says. The limit address.catalogue lets 20/5s pass; nothing was done."
        )
        assert told.count("is asked again") == 1
        assert await api.counted(LIMITED) > 0


async def test_a_shop_that_is_unavailable_for_a_moment_is_waited_for(shop: Shop) -> None:
    async with shop.an_api(APP_DATABASE__LOCK_SECONDS="0.2") as api:
        async with shop.resources.sessions.begin() as in_the_way:
            await in_the_way.execute(text("LOCK TABLE products IN ACCESS EXCLUSIVE MODE"))
            warming = begun("catalog", "warm", environment=api.environment)
            assert warming.stdout is not None
            first = await asyncio.to_thread(warming.stdout.readline)
        code, told = await told_by(warming)

        assert first == f"{api.url} is asked again when it says. This took too long and was given up; ask again.\n"
        assert (code, row(told, api.url)) == (0, (PRODUCTS, 2, True)), told
        assert await api.counted(GIVEN_UP) >= 1


async def test_no_more_is_asked_at_once_than_was_allowed(shop: Shop) -> None:
    async with shop.an_api() as api:
        gate = Gate(free_port(), "127.0.0.1", httpx.URL(api.url).port or 0)
        await gate.open()
        through = f"http://127.0.0.1:{gate.port}"
        code, told = await api.warm(through, "--at-once", "3")
        await gate.close()

        assert (code, row(told, through)) == (0, (PRODUCTS, 2, False)), told
        assert gate.connections == 3


async def test_where_nobody_answers_it_is_said_what_to_do_and_the_others_are_warmed(shop: Shop) -> None:
    async with shop.an_api() as api:
        nobody = f"http://127.0.0.1:{free_port()}"

        code, told = await api.warm(nobody, f"{api.url}/")

        assert (code, row(told, nobody), row(told, api.url)) == (1, (0, 0, False), (PRODUCTS, 2, False)), told
        assert told.splitlines()[-1] == (
            f"{nobody} is not warm. Nobody answers at {nobody}: start the shop with `make up` in another terminal, or "
            "load the settings of one that runs on other ports with `. .sutler/environment`. Or name the processes by "
            "their own addresses: sutler catalog warm http://10.0.0.7:8080."
        )


async def test_what_the_shop_refuses_is_said(shop: Shop) -> None:
    async with shop.an_api() as api:
        code, told = await api.warm("--currency", "XXQ")

        assert (code, row(told, api.url)) == (1, (0, 0, False)), told
        assert told.splitlines()[-1].startswith(f"{api.url} is not warm. 422 validation_failed from GET /v1/products: ")


async def test_an_address_without_a_protocol_is_none(environment: dict[str, str]) -> None:
    code, told = await told_by(begun("catalog", "warm", "127.0.0.1:8080", environment=environment))

    assert (code, "it begins with http:// or https://" in " ".join(told.replace("│", " ").split())) == (2, True), told
