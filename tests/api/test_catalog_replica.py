"""The catalogue read from a real streaming replica: only what it is known to have replayed, and never when it fails."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from litestar.serialization import decode_json
from prometheus_client import REGISTRY
from sqlalchemy import text

from api.catalog import changed
from api.catalog_cache import CatalogCache
from db.catalog_news import catalog_news
from db.catalog_query import ProductQuery
from db.engine import autocommitting, connect
from db.listening import Listening
from db.replica import Replica
from deploy import embedded
from domain.inventory import StockRules
from domain.taxes import TaxPolicy
from runtime.cache.shared import SharedCache
from runtime.resources import Resources
from tests.api.catalog_calls import usd
from tests.support.catalog import AProduct, a_category, a_product, unique
from tests.support.processes import answers, free_port, process
from tests.support.replica import Copy, a_copy
from tests.support.statements import counted_statements
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
def running_copy(stack: embedded.Running) -> Iterator[Copy]:
    with a_copy(stack.postgres_port) as copy:
        yield copy


@pytest.fixture
async def copy(running_copy: Copy) -> AsyncIterator[Copy]:
    """As it was before, for the next test."""
    yield running_copy
    if running_copy.is_alive:
        running_copy.thaw()
        await running_copy.let_go_on()
    else:
        running_copy.start()


@dataclass
class Reader:
    """What an API process has: its cache, its replica, and Postgres, which tells it of changes."""

    resources: Resources
    cache: CatalogCache
    replica: Replica

    async def caught_up(self) -> None:
        async def knows_all() -> bool:
            return self.replica.behind_seconds == 0

        await eventually(knows_all)

    async def behind(self) -> None:
        async def lacks_something() -> bool:
            return self.replica.behind_seconds > 0

        await eventually(lacks_something)

    async def price_of(self, product: AProduct, *, name: str | None = None) -> str | None:
        known = await self.cache.product(name or str(product.product_id), "USD")
        return None if known is None else str(decode_json(known.body)["price"]["amount"])

    async def names_on(self, query: ProductQuery) -> list[str]:
        body, _ = await self.cache.page(query)
        return [item["name"] for item in decode_json(body)["items"]]


@asynccontextmanager
async def a_reader(
    resources: Resources, url: str, *, prefix: str | None = None, is_told: bool = True
) -> AsyncIterator[Reader]:
    """Without being told it believes to hear everything, and hears nothing."""
    async with AsyncExitStack() as parts:
        engine = await parts.enter_async_context(
            connect(
                url,
                shop_schema=resources.settings.database.shop_schema,
                pool_size=5,
                pool_wait_seconds=5,
                stock=StockRules(),
                taxes=TaxPolicy(),
            )
        )
        replica = Replica(autocommitting(engine), primary=resources.autocommit)
        shared = SharedCache(resources.redis, prefix=prefix or f"test-{uuid4().hex}:", seconds=60)
        cache = CatalogCache(resources.sessions, shared, replica=replica, seconds=60, most_bytes=1_000_000)
        reader = Reader(resources, cache, replica)
        news = Listening(resources.engine.url, catalog_news(resources.settings.database.shop_schema, [cache]))
        tasks = [asyncio.create_task(replica.follow())]
        if is_told:
            tasks.append(asyncio.create_task(news.run()))
        else:
            await cache.begin()
        try:

            async def hears() -> bool:
                return cache.is_told

            await eventually(hears)
            yield reader
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def set_price(resources: Resources, product: AProduct, minor: int) -> None:
    async with resources.sessions.begin() as session:
        await session.execute(
            text("UPDATE prices SET amount = :amount WHERE variant_id = :id"),
            {"amount": minor, "id": product.variant_id},
        )


def reads_from(server: str) -> float:
    return REGISTRY.get_sample_value("sutler_catalog_reads_total", {"server": server}) or 0.0


async def test_what_memory_lacks_is_read_from_the_replica_alone(resources: Resources, copy: Copy) -> None:
    brand = unique("Brand")
    lamp, desk = [await a_product(resources.sessions, price="5.00", brand=brand) for _ in range(2)]
    async with a_reader(resources, copy.url) as reader:
        await reader.caught_up()
        before = reads_from("replica"), reads_from("primary")
        with counted_statements(resources.engine) as statements:
            prices = [await reader.price_of(lamp), await reader.price_of(desk, name=desk.slug)]
            names = await reader.names_on(ProductQuery(currency="USD", limit=5, brand=brand, facets=("category",)))
            suggested = await reader.cache.suggestions(tuple(brand.lower().split()), 10)
            await reader.cache.tree()
            await reader.cache.attributes()

    assert statements == []
    assert prices == ["5.00", "5.00"]
    assert names == [desk.name, lamp.name]
    assert brand in suggested.body.decode()
    assert (reads_from("replica"), reads_from("primary")) == (before[0] + 6, before[1])


async def test_a_change_that_the_replica_lacks_is_read_from_postgres(resources: Resources, copy: Copy) -> None:
    lamp = await a_product(resources.sessions, price="5.00")
    async with a_reader(resources, copy.url) as reader:
        await reader.caught_up()
        assert await reader.price_of(lamp) == "5.00"
        await copy.hold_up()

        await set_price(resources, lamp, 700)
        await reader.behind()
        before = reads_from("replica"), reads_from("primary")

        assert await reader.price_of(lamp) == "7.00"
        assert await reader.price_of(lamp) == "7.00"
        assert (reads_from("replica"), reads_from("primary")) == (before[0], before[1] + 1)

        await copy.let_go_on()
        await reader.caught_up()
        await set_price(resources, lamp, 800)
        await reader.behind()
        await reader.caught_up()
        assert await reader.price_of(lamp) == "8.00"
        assert (reads_from("replica"), reads_from("primary")) == (before[0] + 1, before[1] + 1)


async def test_products_that_did_not_change_are_read_from_a_replica_that_lags(resources: Resources, copy: Copy) -> None:
    sold, other = [await a_product(resources.sessions, price="5.00", stock=50) for _ in range(2)]
    brand = unique("Brand")
    listed = [await a_product(resources.sessions, brand=brand, stock=50) for _ in range(2)]
    async with a_reader(resources, copy.url) as reader:
        await reader.caught_up()
        await copy.hold_up()
        async with resources.sessions.begin() as session:  # a sale: no list shows other products because of it
            await session.execute(
                text("UPDATE stock SET reserved = reserved + 1 WHERE variant_id = ANY(:ids)"),
                {"ids": [sold.variant_id, listed[0].variant_id]},
            )
        await reader.behind()
        with counted_statements(resources.engine) as statements:
            assert await reader.price_of(other) == "5.00"
        assert statements == []

        body, _ = await reader.cache.page(ProductQuery(currency="USD", limit=5, brand=brand))
        by_slug = await reader.cache.product(sold.slug, "USD")

    assert [item["stock_quantity"] for item in decode_json(body)["items"]] == [50, 49]
    assert by_slug is not None
    assert decode_json(by_slug.body)["stock_quantity"] == 49
    async with resources.sessions.begin() as session:
        await session.execute(
            text("UPDATE stock SET reserved = reserved - 1 WHERE variant_id = ANY(:ids)"),
            {"ids": [sold.variant_id, listed[0].variant_id]},
        )


async def test_lists_and_names_that_the_replica_lacks_are_read_from_postgres(resources: Resources, copy: Copy) -> None:
    brand = unique("Brand")
    old = await a_product(resources.sessions, brand=brand)
    query = ProductQuery(currency="USD", limit=5, brand=brand)
    async with a_reader(resources, copy.url) as reader:
        await reader.caught_up()
        assert await reader.names_on(query) == [old.name]
        await copy.hold_up()

        new = await a_product(resources.sessions, brand=brand)
        await reader.behind()

        async def is_listed() -> bool:
            return await reader.names_on(query) == [new.name, old.name]

        await eventually(is_listed)
        assert await reader.price_of(new, name=new.slug) == "19.99"


async def test_who_changed_something_reads_it_back_before_anybody_was_told(resources: Resources, copy: Copy) -> None:
    product = await a_product(resources.sessions, price="5.00")
    async with a_reader(resources, copy.url, is_told=False) as reader:
        await reader.caught_up()
        assert await reader.price_of(product) == "5.00"
        await copy.hold_up()

        await set_price(resources, product, 900)
        reader.cache.forget(changed(product.product_id))

        assert await reader.price_of(product) == "9.00"
        assert await reader.price_of(product, name=product.slug) == "9.00"


async def test_what_one_process_read_from_a_lagging_replica_reaches_no_other_process(
    resources: Resources, copy: Copy
) -> None:
    product = await a_product(resources.sessions, price="5.00")
    prefix = f"test-{uuid4().hex}:"
    async with (
        a_reader(resources, copy.url, prefix=prefix, is_told=False) as late,
        a_reader(resources, copy.url, prefix=prefix) as told,
    ):
        await late.caught_up()
        await told.caught_up()
        await copy.hold_up()
        await set_price(resources, product, 900)
        await told.behind()

        assert await late.price_of(product) == "5.00"  # it has not heard yet, and cannot know
        assert await told.price_of(product) == "9.00"


async def test_a_replica_that_is_killed_is_not_missed_and_is_used_again_once_it_is_back(
    resources: Resources, copy: Copy
) -> None:
    products = [await a_product(resources.sessions, price="5.00") for _ in range(4)]
    async with a_reader(resources, copy.url) as reader:
        await reader.caught_up()
        assert await reader.price_of(products[0]) == "5.00"
        copy.kill()
        before = reads_from("replica"), reads_from("primary")

        assert [await reader.price_of(product) for product in products[1:3]] == ["5.00", "5.00"]
        assert (reads_from("replica"), reads_from("primary")) == (before[0], before[1] + 2)
        assert reader.replica.behind_seconds > 0

        copy.start()
        await reader.caught_up()
        assert await reader.price_of(products[3]) == "5.00"
        assert (reads_from("replica"), reads_from("primary")) == (before[0] + 1, before[1] + 2)


async def test_a_replica_that_hangs_holds_nobody_up_for_long(resources: Resources, copy: Copy) -> None:
    products = [await a_product(resources.sessions, price="5.00") for _ in range(3)]
    async with a_reader(resources, copy.url) as reader:
        await reader.caught_up()
        assert await reader.price_of(products[0]) == "5.00"
        copy.freeze()

        assert [await reader.price_of(product) for product in products[1:]] == ["5.00", "5.00"]
        assert reader.replica.behind_seconds > 0

        copy.thaw()
        await reader.caught_up()


async def test_a_server_that_is_no_replica_of_this_one_is_never_read(resources: Resources) -> None:
    product = await a_product(resources.sessions, price="5.00")
    before = reads_from("replica")
    async with a_reader(resources, resources.settings.database.url.get_secret_value()) as reader:
        assert await reader.price_of(product) == "5.00"

        assert reader.replica.behind_seconds > 0
    assert reads_from("replica") == before


async def test_staff_and_shoppers_of_a_lagging_replica_see_each_change_at_once(
    resources: Resources,
    copy: Copy,
    admin: dict[str, str],
    environment: dict[str, str],
    workers: None,
    log_file: Path,
) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with_replica = {**environment, "APP_API__PORT": str(port), "APP_DATABASE__REPLICA_URL": copy.url}
    async with AsyncExitStack() as parts:
        started = process("cli", "api", environment=with_replica, ready=answers(f"{url}/health"), log=log_file)
        await asyncio.to_thread(started.__enter__)
        parts.push_async_callback(asyncio.to_thread, started.__exit__, None, None, None)
        http = await parts.enter_async_context(httpx.AsyncClient(base_url=url, timeout=30))

        async def metric(name: str) -> float:
            lines = (await http.get("/metrics")).text.splitlines()
            return next((float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"{name} ")), 0.0)

        async def is_known() -> bool:
            return await metric("sutler_replica_behind_seconds") == 0

        name, category_id = unique("Mug"), str(await a_category(resources.sessions))
        new = {"name": name, "category_id": category_id, "price": usd("7.00"), "stock_quantity": 3}
        await eventually(is_known)
        await copy.hold_up()
        made = (await http.post("/v1/products", json=new, headers=admin)).json()
        path, variant = f"/v1/products/{made['id']}", made["variants"][0]["id"]

        for amount in ("8.00", "9.00"):
            assert (await http.patch(path, json={"price": usd(amount)}, headers=admin)).status_code == 200
            assert (await http.get(path)).json()["price"] == usd(amount)
            found = (await http.get("/v1/products", params={"q": name})).json()["items"]
            assert [item["price"] for item in found] == [usd(amount)]
        cart = (await http.post("/v1/carts", json={"currency": "USD"})).json()
        filled = await http.post(f"/v1/carts/{cart['id']}/items", json={"variant_id": variant, "quantity": 2})
        assert filled.json()["totals"]["total"] == usd("18.00")
        assert await metric("sutler_replica_behind_seconds") > 0
        assert await metric('sutler_catalog_reads_total{server="primary"}') > 0

        await copy.let_go_on()
        await eventually(is_known)
        unread = await a_product(resources.sessions)
        await eventually(is_known)
        before = await metric('sutler_catalog_reads_total{server="replica"}')
        assert (await http.get(f"/v1/products/{unread.product_id}")).status_code == 200
        assert await metric('sutler_catalog_reads_total{server="replica"}') == before + 1
